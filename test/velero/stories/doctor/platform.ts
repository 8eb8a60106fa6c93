import { finds } from '../../stage/doctor.ts';
import type { Stage } from '../../stage/stage.ts';
import { until } from '../../wait.ts';

const SCHEDULE = 'nightly';
const VELERO = ['-n', 'velero'];

/** Does something while a Schedule backs these namespaces up. */
export async function schedules(
  stage: Stage,
  namespaces: readonly string[],
  act: () => Promise<void>,
): Promise<void> {
  // Once a year: it must not start a backup during the story.
  const when = ['--schedule', '0 3 1 1 *', '--include-namespaces', namespaces.join(',')];
  const { status, stderr } = await stage.tools.velero(['schedule', 'create', SCHEDULE, ...when]);
  if (status !== 0) throw new Error(`velero schedule create: ${stderr}`);
  try {
    await act();
  } finally {
    await stage.tools.kubectl([...VELERO, 'delete', 'schedule', SCHEDULE, '--wait=true']);
  }
}

/** Faults around the database: of Schedules, of Velero and of snapshot classes. Each is mended again. */
export async function platform(stage: Stage): Promise<void> {
  await schedule(stage);
  await snapshotClass(stage);
  await server(stage);
  await storage(stage);
}

type Patch = Readonly<Record<string, unknown>>;

async function patch({ tools }: Stage, kind: string, name: string, spec: Patch): Promise<void> {
  const text = JSON.stringify({ spec });
  await tools.kubectl([...VELERO, 'patch', kind, name, '--type=merge', '-p', text]);
}

async function schedule(stage: Stage): Promise<void> {
  const { spec } = await stage.tools.get<{ spec: { template: Patch } }>(
    'schedule',
    SCHEDULE,
    ...VELERO,
  );
  const exec = { container: 'postgres', command: ['psql', '-U', 'postgres', '-c', 'CHECKPOINT'] };
  const resources = [{ name: 'flush', includedNamespaces: ['doctor'], pre: [{ exec }] }];
  const faults: readonly (readonly [string, string, Patch])[] = [
    ['a Schedule has hooks of its own', 'HOOK_REPLACED', { hooks: { resources } }],
    ['a Schedule leaves a namespace out', 'NOT_SCHEDULED', { includedNamespaces: ['doctor'] }],
    ['a Schedule takes no snapshots', 'VOLUMES_NOT_COPIED', { snapshotVolumes: false }],
  ];
  for (const [what, code, change] of faults) {
    await patch(stage, 'schedule', SCHEDULE, { template: change });
    await finds(stage, what, code);
    // A merge alone would leave what the fault has added.
    const cleared = Object.fromEntries(Object.keys(change).map((name) => [name, null]));
    await patch(stage, 'schedule', SCHEDULE, { template: cleared });
    await patch(stage, 'schedule', SCHEDULE, { template: spec.template });
  }
}

async function snapshotClass(stage: Stage): Promise<void> {
  const label = 'velero.io/csi-volumesnapshot-class';
  const command = ['label', 'volumesnapshotclass', 'block'];
  await stage.tools.kubectl([...command, `${label}-`]);
  try {
    const what = 'no snapshot class has Velero’s label';
    await finds(stage, what, 'SNAPSHOT_CLASS_UNLABELLED');
  } finally {
    await stage.tools.kubectl([...command, `${label}=true`]);
  }
}

async function server(stage: Stage): Promise<void> {
  const scale = [...VELERO, 'scale', 'deployment/velero'];
  await stage.tools.kubectl([...scale, '--replicas=0']);
  try {
    await finds(stage, 'Velero is scaled to 0', 'VELERO_NOT_RUNNING');
  } finally {
    await stage.tools.kubectl([...scale, '--replicas=1']);
    const wait = ['rollout', 'status', 'deployment/velero', '--timeout=180s'];
    await stage.tools.kubectl([...VELERO, ...wait]);
  }
}

async function storage(stage: Stage): Promise<void> {
  const inBucket = async (bucket: string, phase: string): Promise<void> => {
    // Velero looks at a location once a minute unless it is told otherwise.
    const spec = { objectStorage: { bucket }, validationFrequency: '5s' };
    await patch(stage, 'backupstoragelocation', 'default', spec);
    await until(`the backup location is ${phase}`, 120_000, async () => {
      const { status } = await stage.tools.get<{ status?: { phase?: string } }>(
        'backupstoragelocation',
        'default',
        ...VELERO,
      );
      return status?.phase === phase;
    });
  };
  try {
    await inBucket('gone', 'Unavailable');
    await finds(stage, 'the bucket is gone', 'VELERO_STORAGE');
  } finally {
    await inBucket('velero', 'Available');
    await patch(stage, 'backupstoragelocation', 'default', { validationFrequency: null });
  }
}
