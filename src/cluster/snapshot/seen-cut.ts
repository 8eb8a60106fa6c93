import type { KubeObject } from '../objects/kube-object.ts';
import { CLAIMS, CONTENTS, each, type ObjectApi, SNAPSHOTS } from '../api/objects.ts';
import type { RunProblem } from './document.ts';
import { contentOf, type Expected, look, type Seen } from './look.ts';
import { poll, WHILE_FROZEN } from '../run/poll.ts';
import { keyOf } from './read-volumes.ts';
import type { CutSnapshot, PlannedClaim } from './volumes.ts';

/** A snapshot that was created for a planned claim. */
export interface Made {
  readonly claim: PlannedClaim;
  readonly expected: Expected;
}

export interface Watched {
  readonly seen: ReadonlyMap<string, Seen>;
  readonly problems: readonly RunProblem[];
}

export const madeKey = ({ expected }: Pick<Made, 'expected'>): string =>
  `${expected.namespace}/${expected.name}`;

/**
 * Waits until each snapshot was seen as cut, one of them has failed, or the signal aborts. What is left is
 * a problem, with the driver's own words.
 */
export async function untilCut(
  api: ObjectApi,
  made: readonly Made[],
  signal: AbortSignal,
  labels?: string,
): Promise<Watched> {
  const seen = new Map<string, Seen>();
  const done = await poll(
    async () => {
      const left = made.filter((one) => seen.get(madeKey(one))?.state !== 'cut');
      for (const [key, one] of await lookAt(api, left, labels)) seen.set(key, one);
      const states = [...seen.values()].map(({ state }) => state);
      return (
        states.includes('failed') || made.every((one) => seen.get(madeKey(one))?.state === 'cut')
      );
    },
    signal,
    WHILE_FROZEN,
  );
  return { seen, problems: problemsOf(made, seen, !done) };
}

/** Looks once at each snapshot and its content. */
export async function lookAt(
  api: ObjectApi,
  made: readonly Pick<Made, 'expected'>[],
  labels?: string,
): Promise<ReadonlyMap<string, Seen>> {
  const namespaces = [...new Set(made.map(({ expected }) => expected.namespace))];
  const listed = new Map<string, KubeObject>();
  for (const one of await api.listIn(SNAPSHOTS, namespaces, labels)) {
    listed.set(`${one.metadata?.namespace ?? ''}/${one.metadata?.name ?? ''}`, one);
  }
  const seen = await each(made, async (one) => {
    const snapshot = listed.get(madeKey(one));
    const name = contentOf(snapshot);
    const content = name === undefined ? undefined : await api.get(CONTENTS, undefined, name);
    return [madeKey(one), look(one.expected, snapshot, content)] as const;
  });
  return new Map(seen);
}

function problemsOf(
  made: readonly Made[],
  seen: ReadonlyMap<string, Seen>,
  late: boolean,
): readonly RunProblem[] {
  return made.flatMap((one) => {
    const state = seen.get(madeKey(one));
    if (state?.state === 'cut') return [];
    if (state?.state === 'failed') return [state.problem];
    if (!late) return [];
    const { claim, namespace } = one.expected;
    const why = state?.why === undefined ? '' : `; ${one.claim.driver} says: ${state.why}`;
    const message = `The claim ${claim} in ${namespace} was not seen as cut in time${why}.`;
    const hint = 'Check that the snapshot controller and the driver’s csi-snapshotter run.';
    return [{ code: 'NOT_CUT', message, hint }];
  });
}

/** The snapshots as they were seen, with the uids that their claims have now. */
export async function withClaims(
  api: ObjectApi,
  made: readonly Made[],
  seen: ReadonlyMap<string, Seen>,
): Promise<readonly CutSnapshot[]> {
  const uids = await claimUids(api, [...new Set(made.map(({ claim }) => claim.namespace))]);
  return made.map((one) => {
    const { expected, claim } = one;
    const state = seen.get(madeKey(one));
    const uid = uids.get(keyOf(claim));
    return {
      namespace: expected.namespace,
      name: expected.name,
      claim: claim.claim,
      uid: expected.uid,
      driver: claim.driver,
      ...(claim.handle !== undefined && { handle: claim.handle }),
      ...(claim.pods !== undefined && { pods: claim.pods }),
      ...(claim.record !== undefined && { record: claim.record }),
      ...(uid !== undefined && { claimUid: uid }),
      ...cutOf(state),
    };
  });
}

function cutOf(
  state: Seen | undefined,
): Pick<CutSnapshot, 'cut' | 'ready' | 'cutAt' | 'restoreSize'> {
  if (state?.state !== 'cut') return { cut: false, ready: false };
  const { cutAt, ready, restoreSize } = state;
  return { cut: true, cutAt, ready, ...(restoreSize !== undefined && { restoreSize }) };
}

/** Nothing is known of a namespace that cannot be read: its claims then have no uid. */
async function claimUids(
  api: ObjectApi,
  namespaces: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const lists = await each(namespaces, async (namespace) => {
    try {
      return (await api.list(CLAIMS, namespace)) ?? [];
    } catch {
      return [];
    }
  });
  return new Map(
    lists.flat().flatMap(({ metadata }) => {
      const { namespace = '', name = '', uid } = metadata ?? {};
      return uid === undefined ? [] : [[keyOf({ namespace, claim: name }), uid] as const];
    }),
  );
}
