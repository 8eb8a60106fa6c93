import {
  type App,
  inNamespace,
  otherVolume,
  postgres,
  tablespaceVolume,
  walVolume,
} from '../apps/index.ts';
import { newestCut } from '../stage/cuts.ts';
import type { Stage } from '../stage/stage.ts';
import type { Ended } from '../stage/velero.ts';
import { eventsOf, PATIENT_MS, receiptOf } from '../stage/steps.ts';
import { inNamespaces, underLoad } from '../stage/under-load.ts';
import type { Story } from './story.ts';

const GROUP = { copy: 'snapshot', group: 'db' };
/** Instead of ten minutes. */
const SOON = ['--csi-snapshot-timeout', '20s'];

export const volumes: readonly Story[] = [
  {
    name: 'wal-volume',
    group: 'volumes',
    title:
      'PostgreSQL with pg_wal and a tablespace on volumes of their own, copy: volumes: refused',
    inCi: false,
    play: async (stage) => {
      const app = postgres(inNamespace('wal'), walVolume(), tablespaceVolume());
      await refused(stage, app, { name: 'wal-volume', event: 'CopiedTooEarly' });
    },
  },
  {
    name: 'wal-volume-group',
    group: 'volumes',
    title: 'the same data in a volume group, copy: snapshot: refused',
    inCi: false,
    play: async (stage) => {
      const app = postgres(inNamespace('wal-group'), walVolume(GROUP), tablespaceVolume(GROUP));
      await refused(stage, app, { name: 'wal-volume-group', event: 'SeveralVolumes' });
    },
  },
  {
    name: 'volume-group',
    group: 'volumes',
    title: 'a volume group of the data and a volume without data: Velero says that it cannot',
    inCi: false,
    play: volumeGroup,
  },
];

interface Refused {
  readonly name: string;
  /** The reason of the Event by which the webhook says so when the pod is made. */
  readonly event: string;
}

/** Velero cannot copy such data in an order from which it restores: the backup says so, not the restore. */
async function refused(stage: Stage, app: App, { name: story, event }: Refused): Promise<void> {
  const { namespace } = app;
  const name = `${story}-${stage.tag}`;
  await inNamespaces(stage, [namespace], async () => {
    await stage.deploy(app);
    const events = await eventsOf(stage, namespace, event);
    stage.expect(`an Event ${event} says so when the pod is made`, events.length > 0);
    const ended = await backUp(stage, app, story, name);
    stage.equal('both hooks fail', ended.hooks, { attempted: 2, failed: 2 });
    const log = (await stage.velero.hookLog(name)).join('\n');
    stage.match('the freeze is refused', log, /COPY_UNSUPPORTED/);
    const receipts = await stage.sidecar(namespace, 'db-0').receipts();
    const consistent = receipts.filter(({ verdict }) => verdict === 'consistent');
    stage.equal('no receipt is consistent', consistent, []);
    await stage.remove(namespace);
    await stage.velero.restore(name, name);
    // A server may not start on such copies, and then nothing is said of them.
    const restored = stage.sidecar(namespace, 'db-0').restored(90_000);
    const seen = await restored.catch(({ message }: Error) => ({ verified: null, message }));
    stage.expect(`its restore is not called verified (${seen.message})`, seen.verified !== true);
  });
}

/**
 * Velero 1.18 knows the members of a group by an owner reference of groupsnapshot.storage.k8s.io/v1beta2.
 * The snapshot controller 8.7 writes v1: Velero waits for its timeout and leaves the volumes out.
 */
async function volumeGroup(stage: Stage): Promise<void> {
  const app = postgres(inNamespace('grouped'), otherVolume(GROUP));
  const { namespace } = app;
  const name = `volume-group-${stage.tag}`;
  await inNamespaces(stage, [namespace], async () => {
    await stage.deploy(app);
    const ended = await backUp(stage, app, 'volume-group', name);
    stage.equal('but its hooks succeed', ended.hooks, { attempted: 2, failed: 0 });
    const log = await stage.tools.velero(['backup', 'logs', name]);
    const message = /timeout waiting for VolumeSnapshots associated with VGS/;
    stage.match('Velero does not find the snapshots of the group', log.stdout, message);
    const cuts = await Promise.all(
      app.claims.map((claim) => newestCut(stage.tools, namespace, claim)),
    );
    const moments = new Set(cuts.map(({ group, from }) => `${group} ${from.toISOString()}`));
    stage.equal(
      'although both volumes were cut at one moment',
      [cuts.length, moments.size],
      [2, 1],
    );
    const { state } = await stage.sidecar(namespace, 'db-0').status();
    stage.equal('nothing stays frozen', state, 'thawed');
    const { thawedAt, frozenAt } = await receiptOf(stage, namespace, 'db-0');
    stage.measure('held', Date.parse(thawedAt ?? '') - Date.parse(frozenAt ?? ''));
  });
}

async function backUp(stage: Stage, app: App, ledger: string, name: string): Promise<Ended> {
  const options = { namespaces: [app.namespace], flags: SOON };
  const act = (): Promise<Ended> => stage.velero.backup(name, options);
  const { result } = await underLoad(stage, app, ledger, act, PATIENT_MS);
  stage.equal('the backup does not complete', result.phase, 'PartiallyFailed');
  return result;
}
