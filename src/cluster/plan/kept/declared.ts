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
