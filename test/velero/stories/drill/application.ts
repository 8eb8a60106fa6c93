import { stringify } from 'yaml';
import { inNamespace, postgres, redis } from '../../apps/index.ts';
import { drill, inventoryOf, judgeSame, saidBy } from '../../stage/drill-run.ts';
import { judgeProven, snapshot } from '../../stage/group-run.ts';
import type { Stage } from '../../stage/stage.ts';
import { inNamespaces } from '../../stage/under-load.ts';
import type { Story } from '../story.ts';
import { patient } from './apps.ts';

const NAMESPACE = 'drilled-whole';

/** Everything that a drill must not wake up: each would be seen. */
export const application: Story = {
  name: 'drill-application',
  group: 'drill',
  title: 'quiesce drill --mode application: in layers, isolated; no Job, no way in, nothing left',
  inCi: false,
  play: async (stage) => {
    await inNamespaces(stage, [NAMESPACE], async () => {
      const where = inNamespace(NAMESPACE);
      await Promise.all([postgres(where), redis(where)].map((app) => stage.deploy(app)));
      await addDangers(stage);
      judgeProven(stage, 'the snapshot', await snapshot(stage, patient(NAMESPACE)));
      const before = await inventoryOf(stage);
      const nodePorts = await portsOf(stage, NAMESPACE);
      const done = await drill(stage, [
        '-n',
        NAMESPACE,
        '--mode',
        'application',
        '--timeout',
        '6m',
      ]);
      const { run, ran } = done;
      const proven = ran.status === 0 && run?.verdict === 'proven' && run.removed === true;
      stage.expect('the whole application is proven', proven, saidBy(done));
      const said = JSON.stringify(run?.problems ?? []);
      stage.match('it says what was left out', said, /CronJob.*Ingress.*Job.*NetworkPolicy/);
      stage.equal('production keeps its ports', await portsOf(stage, NAMESPACE), nodePorts);
      judgeSame(stage, 'the drill', before, await inventoryOf(stage));
    });
  },
};

async function portsOf({ tools }: Stage, namespace: string): Promise<string> {
  const path = 'jsonpath={.items[*].spec.ports[*].nodePort}';
  return await tools.kubectl(['get', 'services', '-n', namespace, '-o', path]);
}

async function addDangers({ tools }: Stage): Promise<void> {
  const job = {
    template: {
      spec: {
        restartPolicy: 'Never',
        containers: [{ name: 'mail', image: 'redis:7', command: ['sh', '-c', 'sleep 3600'] }],
      },
    },
  };
  const objects = [
    { apiVersion: 'batch/v1', kind: 'Job', metadata: { name: 'mail' }, spec: job },
    {
      apiVersion: 'batch/v1',
      kind: 'CronJob',
      metadata: { name: 'bill' },
      spec: { schedule: '* * * * *', suspend: true, jobTemplate: { spec: job } },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'public' },
      spec: { type: 'NodePort', selector: { app: 'db' }, ports: [{ port: 5432 }] },
    },
    {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'Ingress',
      metadata: { name: 'shop' },
      spec: { defaultBackend: { service: { name: 'public', port: { number: 5432 } } } },
    },
    {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { name: 'allow-all' },
      spec: { podSelector: {}, egress: [{}], ingress: [{}], policyTypes: ['Ingress', 'Egress'] },
    },
  ];
  const placed = objects.map((one) => ({
    ...one,
    metadata: { ...one.metadata, namespace: NAMESPACE },
  }));
  await tools.apply(placed.map((one) => stringify(one)).join('---\n'));
}
