import { annotated, type App, copiedByFile, mongodb, postgres, redis } from '../apps/index.ts';
import type { ReceiptSeen } from '../stage/sidecar.ts';
import type { Stage, Way } from '../stage/stage.ts';
import type { Ended } from '../stage/velero.ts';
import { oneSecondary } from '../stage/one-secondary.ts';
import { backupAndRestore } from './backup-restore.ts';
import type { Story } from './story.ts';

/** A PodVolumeBackup or a DataUpload: Velero's upload of one volume. */
interface Upload {
  readonly metadata: { readonly name: string };
  readonly status?: {
    readonly phase?: string;
    readonly startTimestamp?: string;
    readonly completionTimestamp?: string;
    readonly progress?: { readonly bytesDone?: number };
  };
}

const title = (what: string): string =>
  `${what}: backup under load, namespace deleted, restore, nothing missing`;

const byFile = (engine: Way['engine'], wait: string): Way => ({
  engine,
  name: 'quiesce, file-system backup',
  proves: `As with a snapshot, for files that are uploaded one by one. ${wait}`,
});

/** Velero writes whole seconds. */
const SECOND = 1_000;
/** The poll for a snapshot's handle comes every five seconds. */
const POLL_MS = 5_000;

export const files: readonly Story[] = [
  fileStory({
    name: 'files-postgres',
    what: 'PostgreSQL, file-system backup and copy: files',
    // The freeze makes a copy of its own first, and a busy machine takes its time.
    app: postgres(copiedByFile(), annotated({ 'quiesce.dev/hook-timeout': '5m' })),
    mode: 'staged',
    way: byFile('PostgreSQL', 'Nobody waits: the upload has a copy of its own.'),
  }),
  fileStory({
    name: 'files-redis',
    what: 'Redis, file-system backup and copy: files',
    app: redis(copiedByFile({ ttl: '5m' })),
    mode: 'paused-fsynced',
    way: byFile('Redis', 'Writers wait until the upload is complete.'),
  }),
  fileStory({
    name: 'files-mongodb',
    what: 'MongoDB, a secondary of a set of three, file-system backup and copy: files',
    app: mongodb(copiedByFile({ ttl: '5m' })),
    mode: 'locked',
    way: byFile(
      'MongoDB',
      'A member is locked until its upload is complete: here a secondary is, and no writer waits.',
    ),
    frozen: oneSecondary,
  }),
  {
    name: 'data-mover',
    group: 'files',
    title: title('PostgreSQL, CSI snapshot and the data mover'),
    inCi: false,
    play: playDataMover,
  },
];

interface FileStory {
  readonly name: string;
  readonly what: string;
  readonly app: App;
  readonly mode: string;
  readonly way: Way;
  readonly frozen?: (stage: Stage, app: App) => Promise<readonly string[]>;
}

function fileStory({ name, what, app, mode, way, frozen }: FileStory): Story {
  return {
    name,
    group: 'files',
    title: title(what),
    inCi: false,
    play: async (stage) =>
      await backupAndRestore(stage, app, {
        name,
        way,
        mode,
        frozen: async () => (await frozen?.(stage, app)) ?? app.pods,
        backup: { flags: ['--snapshot-volumes=false'] },
        afterBackup: async (ended, receipts, pods) =>
          await judgeFiles(stage, ended, receipts, pods.length),
        afterRestore: async (namespace, pods) => await judgeOrder(stage, namespace, pods),
      }),
  };
}

/** Each volume was uploaded by file, and its pod was held until that was done. */
async function judgeFiles(
  stage: Stage,
  ended: Ended,
  receipts: readonly ReceiptSeen[],
  count: number,
): Promise<void> {
  const uploads = await uploadsOf(stage, 'podvolumebackup', ended.name);
  judgeUploads(stage, uploads, count);
  const last = Math.max(
    ...uploads.map(({ status }) => Date.parse(status?.completionTimestamp ?? '')),
  );
  const thawed = Math.max(...receipts.map(({ thawedAt }) => Date.parse(thawedAt ?? '')));
  stage.expect('the thaw waits for the upload', thawed >= last - SECOND, { thawed, last });
}

/** Velero's files come first: prepare-restore looks at what they brought. */
async function judgeOrder(stage: Stage, namespace: string, pods: readonly string[]): Promise<void> {
  for (const pod of pods) {
    const names = ['-o', 'jsonpath={.spec.initContainers[*].name}'];
    const containers = await stage.tools.kubectl(['-n', namespace, 'get', 'pod', pod, ...names]);
    const order = /^restore-wait .*quiesce-prepare-restore$/;
    stage.match(`${pod}: prepare-restore comes after Velero's files`, containers, order);
  }
}

/** The hold ends with the snapshot; the upload goes on. */
async function playDataMover(stage: Stage): Promise<void> {
  const app = postgres();
  const { namespace, claims } = app;
  await backupAndRestore(stage, app, {
    name: 'data-mover',
    mode: 'sealed',
    way: {
      engine: 'PostgreSQL',
      name: 'quiesce, CSI snapshot and data mover',
      proves: 'As with the snapshot alone. The hold ends with the snapshot, not with its upload.',
    },
    backup: { flags: ['--snapshot-move-data'] },
    afterBackup: async (ended, [receipt]) => {
      const uploads = await uploadsOf(stage, 'dataupload', ended.name);
      judgeUploads(stage, uploads, claims.length);
      const [first] = uploads;
      const uploaded = Date.parse(first?.status?.completionTimestamp ?? '');
      const thawed = Date.parse(receipt?.thawedAt ?? '');
      stage.expect('the thaw does not wait for the upload', thawed < uploaded, {
        thawed,
        uploaded,
      });
      const plain = await stage.velero.backup(`plain-${stage.tag}`, { namespaces: [namespace] });
      stage.equal('a backup without the mover completes', plain.phase, 'Completed');
      const [latest] = await stage.sidecar(namespace, app.pods[0] ?? '').receipts();
      const [moved, cut] = [heldMs(receipt), heldMs(latest)];
      const seen = `${moved} ms, and ${cut} ms without the mover`;
      stage.expect('the hold is as short as without it', moved < cut + 2 * POLL_MS, seen);
    },
    afterRestore: async () => {
      const downloads = await stage.tools.get<{ items: readonly Upload[] }>(
        'datadownload',
        '-n',
        'velero',
        '-l',
        `velero.io/restore-name=data-mover-${stage.tag}`,
      );
      judgeUploads(stage, downloads.items, claims.length, 'download');
    },
  });
}

function heldMs(receipt: ReceiptSeen | undefined): number {
  return Date.parse(receipt?.thawedAt ?? '') - Date.parse(receipt?.requestedAt ?? '');
}

async function uploadsOf(
  stage: Stage,
  kind: 'podvolumebackup' | 'dataupload',
  backup: string,
): Promise<readonly Upload[]> {
  const label = `velero.io/backup-name=${backup}`;
  return (await stage.tools.get<{ items: readonly Upload[] }>(kind, '-n', 'velero', '-l', label))
    .items;
}

function judgeUploads(
  stage: Stage,
  uploads: readonly Upload[],
  count: number,
  what = 'upload',
): void {
  const phases = uploads.map(({ status }) => status?.phase);
  stage.equal(`each volume has a completed ${what}`, phases, Array(count).fill('Completed'));
  const bytes = uploads.map(({ status }) => status?.progress?.bytesDone ?? 0);
  stage.expect(`with data`, bytes.every((size) => size > 0) && bytes.length > 0, bytes);
}
