import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { IMAGES } from '../images/names.ts';
import type { Tools } from '../kubectl.ts';
import { NETWORK, S3_PORT, S3_URL, state } from '../layout.ts';
import { until } from '../wait.ts';
import { startDaemon } from './daemons.ts';

const BUCKET = 'velero';

/** An S3 server that keeps its objects in memory. */
export async function startS3(tools: Tools): Promise<void> {
  const server = join(tools.programs.folders.s3, 'bin/moto_server');
  const args = ['--host', NETWORK.node, '--port', `${S3_PORT}`];
  await startDaemon('s3', server, args, {
    MOTO_S3_DEFAULT_MAX_KEYS: '1000',
    // A host such as s3.shop.svc is no bucket.
    S3_IGNORE_SUBDOMAIN_BUCKETNAME: 'true',
  });
  await until('the S3 server', 60_000, async () => {
    return (await fetch(`${S3_URL}/${BUCKET}`, { method: 'PUT' })).ok;
  });
}

/** Velero as `velero install` makes it, with its node agent; resolves when it can reach its bucket. */
export async function installVelero(tools: Tools): Promise<void> {
  const credentials = state('s3.credentials');
  const text = '[default]\naws_access_key_id=velero\naws_secret_access_key=velero-secret\n';
  await writeFile(credentials, text, { mode: 0o600 });
  const location = {
    region: 'us-east-1',
    s3ForcePathStyle: 'true',
    s3Url: S3_URL,
    checksumAlgorithm: '',
  };
  const installed = await tools.velero([
    'install',
    '--provider',
    'aws',
    '--bucket',
    BUCKET,
    '--secret-file',
    credentials,
    '--image',
    IMAGES.velero,
    '--plugins',
    IMAGES.veleroPlugin,
    '--backup-location-config',
    pairs(location),
    '--features=EnableCSI',
    '--use-volume-snapshots=false',
    '--use-node-agent',
  ]);
  if (installed.status !== 0) throw new Error(`velero install: ${installed.stderr.slice(-1_000)}`);
  await tools.kubectl(['-n', 'velero', 'rollout', 'status', 'deployment/velero', '--timeout=180s']);
  await tools.kubectl([
    '-n',
    'velero',
    'rollout',
    'status',
    'daemonset/node-agent',
    '--timeout=180s',
  ]);
  await until('the backup location', 90_000, async () => {
    const location = await tools.get<{ status?: { phase?: string } }>(
      'backupstoragelocation',
      'default',
      '-n',
      'velero',
    );
    return location.status?.phase === 'Available';
  });
}

function pairs(values: Readonly<Record<string, string>>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name}=${value}`)
    .join(',');
}
