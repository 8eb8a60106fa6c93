import { readApplication } from '../../inject/application.ts';
import { APPLICATION } from '../../objects/names.ts';

/** What the user says of each volume in `quiesce.dev/state`. An invalid value says nothing. */
export function declaredIn(
  annotations: Readonly<Record<string, string>>,
): ReadonlyMap<string, string> {
  const value = annotations[APPLICATION.state];
  const invalid = value === undefined || readApplication({ [APPLICATION.state]: value }).length > 0;
  if (invalid) return new Map();
  return new Map(
    value.split(',').map((one) => {
      const [volume = '', fate = ''] = one.split('=').map((part) => part.trim());
      return [volume, fate];
    }),
  );
}

/** The volumes that `quiesce.dev/freeze: "uploads=none"` names: they are cut, and nothing freezes them. */
function unfrozenIn(annotations: Readonly<Record<string, string>>): readonly string[] {
  const value = annotations[APPLICATION.freeze] ?? '';
  if (readApplication({ [APPLICATION.freeze]: value }).length > 0 || value === 'none') return [];
  return value.split(',').map((one) => (one.split('=')[0] ?? '').trim());
}

/**
 * The statement of the user by which a volume needs no freeze: it is declared so, or its content is not
 * missed after a restore. `keep` is none: such a volume must come back whole.
 */
export function declaredUnfrozen(
  annotations: Readonly<Record<string, string>>,
  volume: string,
): string | undefined {
  if (unfrozenIn(annotations).includes(volume)) return `${APPLICATION.freeze}: ${volume}=none`;
  const fate = declaredIn(annotations).get(volume);
  if (fate !== 'rebuild' && fate !== 'discard') return undefined;
  return `${APPLICATION.state}: ${volume}=${fate}`;
}
