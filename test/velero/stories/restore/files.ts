import { INIT_CONTAINER } from '../../../../src/cluster/objects/names.ts';
import { spawnRestore } from '../../stage/restore-run.ts';
import { judgeComplete } from '../../stage/late.ts';
import { compareIn, inNamespaces, underLoad } from '../../stage/under-load.ts';
import { judgeWhole } from '../../stage/restored.ts';
import type { Stage } from '../../stage/stage.ts';
import { until } from '../../wait.ts';
import type { Story } from '../story.ts';
import { copiedDatabase, deployEtcd, gated } from './parts.ts';

const NAMESPACE = 'staged-files';

interface Pod {
  readonly spec: { readonly nodeName?: string };
  readonly status: {
    readonly initContainerStatuses?: readonly Status[];
    readonly containerStatuses?: readonly Status[];
  };
}
interface Status {
  readonly name: string;
  readonly restartCount: number;
  readonly state: {
    readonly running?: { readonly startedAt: string };
    readonly terminated?: object;
  };
}

/** Velero fills the volume of a pod that runs, so the pod waits in its init container. */
export const files: Story = {
  name: 'restore-files',
  group: 'restore',
  title: 'PostgreSQL in a file-system backup: its pod waits in its init container until etcd is up',
  inCi: false,
  play: async (stage) => {
    await inNamespaces(stage, [NAMESPACE], async () => {
      const app = copiedDatabase(NAMESPACE);
      await deployEtcd(stage, NAMESPACE, 45_000);
      await stage.deploy(app);
      const name = `${NAMESPACE}-${stage.tag}`;
      const { ledger } = await underLoad(stage, app, name, async () => {
        await judgeComplete(stage, await stage.velero.backup(name, { namespaces: [NAMESPACE] }));
      });
      const [receipt] = await stage.sidecar(NAMESPACE, 'db-0').receipts();
      await stage.remove(NAMESPACE);
      const restored = spawnRestore(stage, ['--from-backup', name]);
      await judgeHeld(stage);
      const { status, run } = await restored;
      stage.equal('the run is proven', [status, run?.verdict, run?.problems], [0, 'proven', []]);
      await judgeOrder(stage, run?.layers[0]?.healthyAt ?? '~');
      const hold = { freezeCalledAt: new Date(receipt?.requestedAt ?? '') };
      judgeWhole(stage, 'PostgreSQL', await compareIn(stage, app, NAMESPACE, ledger, hold));
    });
  },
};

async function database(stage: Stage): Promise<Pod> {
  return await stage.tools.get<Pod>('pod', 'db-0', '-n', NAMESPACE);
}

async function judgeHeld(stage: Stage): Promise<void> {
  const pod = await until('prepare-restore runs', 240_000, async () => {
    const found = await database(stage);
    const init = found.status.initContainerStatuses?.find(({ name }) => name === INIT_CONTAINER);
    return init?.state.running !== undefined && found;
  });
  stage.expect('the pod is on a node, so that Velero fills its volume', pod.spec.nodeName !== '');
  stage.equal('it waits behind no gate', await gated(stage, NAMESPACE), []);
  const log = ['-n', NAMESPACE, 'logs', 'db-0', '-c', INIT_CONTAINER];
  const said = await until('it has prepared the copy', 120_000, async () => {
    const text = await stage.tools.kubectl(log);
    return text !== '' && text;
  });
  stage.match('the copy is prepared while it waits', said, /prepared/);
}

async function judgeOrder(stage: Stage, etcdAt: string): Promise<void> {
  const { status } = await database(stage);
  const server = status.containerStatuses?.find(({ name }) => name !== 'quiesce');
  const startedAt = server?.state.running?.startedAt ?? '';
  // The kubelet says whole seconds.
  const inOrder = Date.parse(startedAt) >= Date.parse(etcdAt) - 1_000;
  stage.expect('the server started after etcd was healthy', inOrder, { startedAt, etcdAt });
  const all = [...(status.containerStatuses ?? []), ...(status.initContainerStatuses ?? [])];
  const count = all.reduce((sum, { restartCount }) => sum + restartCount, 0);
  stage.equal('nothing has started again', count, 0);
}
