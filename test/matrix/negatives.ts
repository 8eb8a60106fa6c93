import { readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readControlFile } from '../../src/engines/postgres/data-dir/control-file.ts';
import { parseLsn } from '../../src/engines/postgres/lsn.ts';
import { copyAt, loseWalFrom, type PostgresReceipt, segmentOf } from '../support/copies.ts';
import type { Cell, ModeName } from './cells.ts';
import type { Backup } from './subject.ts';

/** A damaged copy, which `prepare-restore` must refuse. */
export interface SpoiltCopy {
  readonly data: string;
  readonly flags: readonly string[];
}

export interface Negative {
  readonly name: string;
  /** The error code of the refusal. */
  readonly code: string;
  /**
   * How the spoilt copy is then started, as by a user who ignores the refusal: `bare` as it is,
   * `labelled` with the backup's label put in place by hand, which the server must then refuse.
   */
  readonly anyway?: 'bare' | 'labelled';
  spoil(backup: Backup): Promise<SpoiltCopy>;
}

type Change = (
  where: { readonly volume: string; readonly pgdata: string },
  receipt: PostgresReceipt,
) => Promise<unknown>;

/** The folders that a restore would use; for a staged backup, the staging folder. */
function foldersOf({ receipt }: Backup, data: string): { volume: string; pgdata: string } {
  const staged = receipt.restore.staged;
  return staged === undefined
    ? copyAt(data)
    : { volume: data, pgdata: join(data, staged.folder, 'base') };
}

function changed(change: Change): Negative['spoil'] {
  return async (backup) => {
    const data = await backup.fresh();
    await change(foldersOf(backup, data), backup.receipt);
    return { data, flags: backup.flags };
  };
}

/** A position just before the end of the WAL that the receipt promises. */
function tailOf({ mode, position }: PostgresReceipt): bigint {
  if (mode === 'open') return parseLsn(position.stopLsn ?? '') - 24n;
  return parseLsn(position.lsn) - (position.markerLsn === null ? 64n : 24n);
}

async function segments(pgdata: string): Promise<string[]> {
  const names = await readdir(join(pgdata, 'pg_wal'));
  return names.filter((name) => /^[0-9A-F]{24}$/.test(name)).toSorted();
}

/** Recycles the segment as the server does: gives it the name of a future segment. */
const recycleStart: Change = async (copy, receipt) => {
  const first = segmentOf(copy, receipt, parseLsn(receipt.position.startLsn));
  const last = (await segments(copy.pgdata)).at(-1) ?? '';
  const next = `${last.slice(0, 16)}${(Number.parseInt(last.slice(16), 16) + 1).toString(16).toUpperCase().padStart(8, '0')}`;
  await rename(first, join(copy.pgdata, 'pg_wal', next));
};

const removeWal: Change = async ({ pgdata }) => {
  for (const name of await segments(pgdata)) await rm(join(pgdata, 'pg_wal', name));
};

const loseTail: Change = (copy, receipt) => loseWalFrom(copy, receipt, tailOf(receipt));

const removeLabel: Change = async ({ volume }) => {
  const file = join(volume, '.quiesce/receipt.json');
  const held = JSON.parse(await readFile(file, 'utf8')) as PostgresReceipt;
  const restore = { ...held.restore, backupLabel: null };
  await writeFile(file, JSON.stringify({ ...held, restore }));
  await rm(join(volume, '.quiesce/postgres.backup_label'));
};

/** Without a label, recovery starts at pg_control's checkpoint: only WAL after that is needed. */
const loseBehindCheckpoint: Change = async (copy, receipt) =>
  loseWalFrom(copy, receipt, (await readControlFile(copy.pgdata)).redoLsn + 24n);

const INCOMPLETE = 'RESTORE_INCOMPLETE';

const tailGone: Negative = {
  name: 'WAL tail gone',
  code: INCOMPLETE,
  anyway: 'bare',
  spoil: changed(loseTail),
};
const startRecycled: Negative = {
  name: 'start segment recycled',
  code: INCOMPLETE,
  spoil: changed(recycleStart),
};
const withoutWal: Negative = {
  name: 'label without WAL',
  code: INCOMPLETE,
  anyway: 'labelled',
  spoil: changed(removeWal),
};

const OF_ONE_VOLUME: readonly Negative[] = [
  { name: 'no label', code: 'RESTORE_RECEIPT_INVALID', spoil: changed(removeLabel) },
  withoutWal,
  tailGone,
  startRecycled,
];

const BY_MODE: Readonly<Record<ModeName, readonly Negative[]>> = {
  sealed: OF_ONE_VOLUME,
  'replica-paused': OF_ONE_VOLUME,
  'crash-consistent': [
    { ...withoutWal, name: 'no WAL', anyway: 'bare' },
    { ...tailGone, spoil: changed(loseBehindCheckpoint) },
  ],
  open: [
    {
      name: 'no label',
      code: INCOMPLETE,
      anyway: 'bare',
      spoil: async (backup) => ({ data: await backup.fresh(), flags: [] }),
    },
    {
      name: 'label without WAL',
      code: INCOMPLETE,
      anyway: 'labelled',
      spoil: async (backup) => ({ data: await backup.fresh('with-data'), flags: backup.flags }),
    },
    {
      name: 'WAL volume cut first',
      code: INCOMPLETE,
      anyway: 'bare',
      spoil: async (backup) => ({ data: await backup.fresh('first'), flags: backup.flags }),
    },
    { ...tailGone, anyway: 'labelled' },
    startRecycled,
  ],
  staged: [
    {
      name: 'live files without staging',
      code: INCOMPLETE,
      anyway: 'bare',
      spoil: async (backup) => {
        const data = await backup.fresh();
        const folder = backup.receipt.restore.staged?.folder ?? '';
        await rm(join(data, folder), { recursive: true });
        return { data, flags: backup.flags };
      },
    },
    {
      name: 'no label',
      code: INCOMPLETE,
      spoil: changed(({ pgdata }) => rm(join(pgdata, 'backup_label'))),
    },
    { name: 'label without WAL', code: INCOMPLETE, spoil: changed(removeWal) },
    { name: 'WAL tail gone', code: INCOMPLETE, spoil: changed(loseTail) },
    startRecycled,
  ],
};

export function negativesOf({ mode }: Cell): readonly Negative[] {
  return BY_MODE[mode];
}
