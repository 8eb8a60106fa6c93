import { groupBy } from '../../lib/group-by.ts';
import type { PodFacts } from '../inventory/pod-facts.ts';
import { isHelper } from '../inject/find-database.ts';
import { dataVolumesOf } from './data-volumes.ts';
import { declaredUnfrozen } from './kept/declared.ts';
import type { UnfrozenClaim } from './document.ts';
import type { Draft } from './member.ts';
import { listed } from './many-names.ts';
import type { Use } from './uses.ts';

/** What the sidecars of a run freeze, of all that it cuts. */
export class Freezing {
  readonly #uses: ReadonlyMap<string, readonly Use[]>;
  readonly #frozen: ReadonlySet<Draft>;

  /** @param chosen the members of the run */
  constructor(uses: readonly Use[], chosen: readonly Draft[]) {
    this.#uses = groupBy(uses, ({ namespace, claim }) => `${namespace}/${claim}`);
    this.#frozen = new Set(chosen.filter(({ protection }) => protection === 'sidecar'));
  }

  /**
   * The claims of a member that are cut while somebody may write to them whom no sidecar holds. A claim is
   * frozen only if the data of a frozen database is on it, and nobody else writes there.
   */
  unfrozen(member: Draft): readonly UnfrozenClaim[] {
    const { protection, volumeClaims, namespace, leftOut } = member;
    if (protection !== 'sidecar' && protection !== 'not-needed') return [];
    const left = new Set(leftOut?.claims);
    const cut = volumeClaims.filter(
      ({ source, name }) => source !== 'ephemeral' && !left.has(name),
    );
    return cut.flatMap(({ name, volume }): UnfrozenClaim[] => {
      const uses = this.#uses.get(`${namespace}/${name}`) ?? [];
      const reasons = uses.flatMap((use) => this.#reason(use) ?? []);
      if (reasons.length === 0) return [];
      const why = [...new Set(reasons)].slice(0, MOST).join('; ');
      // Nobody can declare that the data of a frozen database needs no freeze.
      const data = uses.some((use) => this.#mayHoldData(use));
      const declared = data ? undefined : declaredUnfrozen(member.annotations, volume);
      return [{ claim: name, volume, why, ...(declared !== undefined && { declared }) }];
    });
  }

  /** Whether the data of a database that is frozen is there, or may be. */
  #mayHoldData({ member, view, volume, writers }: Use): boolean {
    if (member === undefined || !this.#frozen.has(member) || writers.length === 0) return false;
    return dataOf(member, view)?.volumes.includes(volume) ?? true;
  }

  /** Why what this pod writes to the claim is not frozen; `undefined`: it is, or it writes nothing. */
  #reason({ ended, writers, member, pod, owner, volume, view }: Use): string | undefined {
    if (ended || writers.length === 0) return undefined;
    const who = pod === undefined || owner === `Pod/${pod}` ? owner : `the pod ${pod} of ${owner}`;
    const out = pod !== undefined && member?.leftOut?.pods.includes(pod) === true;
    if (member === undefined || out || !this.#frozen.has(member)) {
      return `${who} writes to it, and nothing of this run freezes that`;
    }
    const data = dataOf(member, view);
    if (data === undefined) {
      return `it cannot be told whether the database of ${who} has its data there`;
    }
    if (!data.volumes.includes(volume)) {
      return `the container ${listed(writers)} of ${who} writes to it, and its database has its data elsewhere`;
    }
    const others = strangers(data.facts, writers);
    if (others.length === 0) return undefined;
    return `the container ${listed(others)} of ${who} writes to it beside the database`;
  }
}

/** On which volumes the database of a pod has its data; `undefined`: that is not known. */
function dataOf(
  { facts: all }: Draft,
  view: Use['view'],
): { readonly facts: PodFacts; readonly volumes: readonly string[] } | undefined {
  const facts = all.find((one) => one.view === view);
  const volumes = facts && dataVolumesOf(facts);
  return facts && volumes && { facts, volumes };
}

const MOST = 3;

/** Of those that write to the data, the containers that are neither the database nor a helper of it. */
function strangers({ pod, database }: PodFacts, writers: readonly string[]): readonly string[] {
  const all = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])];
  const main = writers.filter((name) => {
    const found = all.find((one) => one.name === name);
    return found === undefined || !isHelper(found);
  });
  if (database !== undefined) return main.filter((name) => name !== database.container.name);
  return main.length > 1 ? main : [];
}
