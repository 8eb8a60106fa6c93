import { stringify } from 'yaml';
import { annotated, inNamespace, postgres, redis } from '../../apps/index.ts';
import { IMAGES } from '../../images/names.ts';
import { writeFile } from 'node:fs/promises';
import { NETWORK, S3_PORT, state } from '../../layout.ts';
import { type Ran, tryRun } from '../../run.ts';
import type { Stage } from '../../stage/stage.ts';
import { inNamespaces } from '../../stage/under-load.ts';
import type { Story } from '../story.ts';

const FROM = 'from-backup';
const STORAGE = 'from-backup-storage';
const LOCATION = ['-n', 'velero', 'backupstoragelocation/default'];

/** After its namespace is gone, a backup tells the same plan as the application did. */
export const fromBackup: Story = {
  name: 'group-from-backup',
  group: 'group',
  title: 'quiesce plan --from-backup: the plan of a deleted application, from Velero’s storage',
  inCi: false,
  play: async (stage) => {
    await inNamespaces(stage, [FROM, STORAGE], async () => {
      const where = inNamespace(FROM);
      const after = annotated({ 'quiesce.dev/depends-on': 'sts/redis' });
      await Promise.all([postgres(where, after), redis(where)].map((app) => stage.deploy(app)));
      const live = await plan(stage, ['-n', FROM]);
      stage.equal('the live plan has both databases, in their order', orderIn(live), [
        ['redis'],
        ['db'],
      ]);
      const name = `${FROM}-${stage.tag}`;
      const { phase, errors } = await stage.velero.backup(name, { namespaces: [FROM] });
      stage.equal('the backup completes', [phase, errors], ['Completed', 0]);
      await stage.remove(FROM);
      const stored = await plan(stage, ['--from-backup', name]);
      judgeSame(stage, 'without the application', stored, live);
      await behindService(stage, name, live);
    });
  },
};

interface PlanSeen {
  readonly layers?: readonly { readonly members: readonly { readonly name: string }[] }[];
  readonly notKept?: readonly unknown[];
}

/** The command on a machine that does not know the names of the cluster. */
async function outside(stage: Stage, args: readonly string[]): Promise<Ran> {
  const resolver = state('resolv-outside.conf');
  await writeFile(resolver, 'nameserver 127.0.0.1\noptions timeout:1 attempts:1\n');
  const script = `mount --bind ${resolver} /etc/resolv.conf && exec "$@"`;
  const command = [process.execPath, 'dist/cli.js', 'plan', ...args];
  const flags = ['--mount', 'sh', '-c', script, 'sh', ...command];
  return await tryRun('unshare', flags, { env: stage.tools.env });
}

async function plan(stage: Stage, args: readonly string[]): Promise<PlanSeen> {
  const { status, stdout, stderr } = await outside(stage, [...args, '-o', 'json']);
  const said = status === 0 ? stderr : stdout;
  stage.equal(`quiesce plan ${args.join(' ')} succeeds`, [status, said], [0, '']);
  return status === 0 ? (JSON.parse(stdout) as PlanSeen) : {};
}

const orderIn = ({ layers = [] }: PlanSeen): readonly (readonly string[])[] =>
  layers.map(({ members }) => members.map(({ name }) => name));

function judgeSame(stage: Stage, when: string, stored: PlanSeen, live: PlanSeen): void {
  stage.equal(`${when}: the same layers, members, pods and claims`, stored.layers, live.layers);
  stage.equal(`${when}: the same that is not kept`, stored.notKept, live.notKept);
}

/** Velero's URL names a Service, as that of a MinIO in the cluster, and this machine knows none. */
async function behindService(stage: Stage, name: string, live: PlanSeen): Promise<void> {
  await stage.tools.apply(relay());
  await stage.ready(STORAGE, ['s3']);
  const publicUrl = `http://s3.${STORAGE}.svc:${S3_PORT}`;
  await locate(stage, publicUrl);
  try {
    const stored = await plan(stage, ['--from-backup', name]);
    judgeSame(stage, 'a storage that only the cluster knows', stored, live);
    await stage.tools.kubectl(['-n', STORAGE, 'delete', 'service', 's3']);
    const refused = await outside(stage, ['--from-backup', name]);
    stage.equal('without its Service the command fails', refused.status, 3);
    stage.match('it names the storage', refused.stderr, new RegExp(`s3\\.${STORAGE}\\.svc`));
    stage.match('and what helps', refused.stderr, /publicUrl.*pods\/portforward/);
  } finally {
    await locate(stage, null);
  }
}

async function locate(stage: Stage, publicUrl: string | null): Promise<void> {
  const patch = JSON.stringify({ spec: { config: { publicUrl } } });
  await stage.tools.kubectl(['patch', ...LOCATION, '--type=merge', '-p', patch]);
}

/** A pod that forwards to the S3 server of the cluster, and its Service. */
function relay(): string {
  const script = `require('node:net').createServer((near) => {
    const far = require('node:net').connect(${S3_PORT}, '${NETWORK.node}');
    near.pipe(far).pipe(near);
    for (const one of [near, far]) one.on('error', () => { near.destroy(); far.destroy(); });
  }).listen(9000)`;
  const metadata = { name: 's3', namespace: STORAGE, labels: { app: 's3' } };
  const container = {
    name: 's3',
    image: IMAGES.quiesce,
    command: ['/nodejs/bin/node', '-e', script],
    readinessProbe: { tcpSocket: { port: 9_000 } },
  };
  const objects = [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: STORAGE } },
    { apiVersion: 'v1', kind: 'Pod', metadata, spec: { containers: [container] } },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata,
      spec: { selector: { app: 's3' }, ports: [{ port: S3_PORT, targetPort: 9_000 }] },
    },
  ];
  return objects.map((one) => stringify(one)).join('---\n');
}
