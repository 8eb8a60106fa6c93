import { existsSync } from 'node:fs';
import { chown, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EmbeddedPostgres } from '../../src/testbed/postgres/server.ts';
import type { Acked } from '../../src/testbed/postgres/load.ts';
import { runCli } from '../../src/testbed/processes.ts';
import { copyAt, onServer } from '../support/copies.ts';
import { examine, roleEnv } from '../support/superuser.ts';
import { TestSidecar } from '../support/sidecar.ts';
import type { Negative, SpoiltCopy } from './negatives.ts';
import type { Backup } from './subject.ts';

const VERIFIED_WITHIN_MS = 20_000;
/** A check of a corrupt copy may never end. */
const EXAMINED_WITHIN_MS = 90_000;

/** Restores a backup as a user does. @returns the faults found; empty if the restore is complete. */
export async function restore(backup: Backup, major: number): Promise<string[]> {
  const data = await backup.fresh();
  try {
    const { code, stdout, stderr } = await prepare({ data, flags: backup.flags });
    if (code !== 0) return [`prepare-restore: ${code} ${stdout}${stderr}`];
    // Without its primary: the server must have only the data of the copy.
    await rm(join(data, 'pgdata/standby.signal'), { force: true });
    return await onServer(copyAt(data), major, async (_, server) => {
      const verified = await verifyWithSidecar(data, server);
      const wrong = await faultsOf(server, backup.acked);
      return [...(verified === true ? [] : [`the sidecar reports: ${verified}`]), ...wrong];
    });
  } catch (error) {
    return [tail(error)];
  } finally {
    await rm(data, { recursive: true, force: true });
  }
}

/** What happened to a copy that was started although it was refused. */
export interface StartedAnyway {
  readonly fate: 'does not start' | 'not whole' | 'whole';
  /** The copy is not whole, and its sidecar reported it as verified. */
  readonly silent: boolean;
}

export interface Refused {
  /** How the refusal differs from the required one; empty if it does not. */
  readonly wrong: readonly string[];
  readonly anyway: StartedAnyway | undefined;
}

/** Spoils a copy of a backup. The copy must be refused, without a label put in place. */
export async function refuse(backup: Backup, negative: Negative, major: number): Promise<Refused> {
  const spoilt = await negative.spoil(backup);
  const { data } = spoilt;
  try {
    const { code, stdout, stderr } = await prepare(spoilt);
    const wrong: string[] = [];
    if (code !== 7 || !stderr.includes(negative.code)) {
      wrong.push(`prepare-restore: ${code} ${stdout}${stderr}, not 7 and ${negative.code}`);
    }
    if (existsSync(join(data, 'pgdata/backup_label'))) {
      wrong.push('prepare-restore put a label in place');
    }
    if (negative.anyway === undefined || wrong.length > 0) return { wrong, anyway: undefined };
    const label = negative.anyway === 'labelled' ? backup.receipt.restore.backupLabel : null;
    const anyway = await startAnyway(data, backup.acked, major, label);
    if (anyway.silent) wrong.push('started anyway, it is not whole but reported as verified');
    if (label !== null && anyway.fate !== 'does not start') {
      wrong.push(`with the label in place the server starts and is ${anyway.fate}`);
    }
    return { wrong, anyway };
  } catch (error) {
    return { wrong: [tail(error)], anyway: undefined };
  } finally {
    await rm(data, { recursive: true, force: true });
  }
}

/** Starts a server on a copy as it is, or with a label put in place by hand. */
export async function startAnyway(
  data: string,
  acked: Acked,
  major: number,
  label: string | null,
): Promise<StartedAnyway> {
  const { pgdata } = copyAt(data);
  for (const name of ['postmaster.pid', 'standby.signal']) {
    await rm(join(pgdata, name), { force: true });
  }
  if (label !== null) {
    const file = join(pgdata, 'backup_label');
    await writeFile(file, label);
    const { uid, gid } = await stat(pgdata);
    await chown(file, uid, gid);
  }
  let fate: StartedAnyway['fate'] = 'does not start';
  let silent = false;
  const look = async (_: unknown, server: EmbeddedPostgres): Promise<void> => {
    const verified = await verifyWithSidecar(data, server);
    fate = (await faultsOf(server, acked)).length === 0 ? 'whole' : 'not whole';
    silent = verified === true && fate === 'not whole';
  };
  await onServer(copyAt(data), major, look, 'kill').catch(() => undefined);
  return { fate, silent };
}

function prepare({ data, flags }: SpoiltCopy): ReturnType<typeof runCli> {
  return runCli(['prepare-restore', '--data', data, ...flags], {});
}

/** Starts a sidecar for a restored server. @returns `true` if it verifies the copy, otherwise why not. */
async function verifyWithSidecar(
  data: string,
  server: EmbeddedPostgres,
): Promise<boolean | string> {
  if (!existsSync(join(data, '.quiesce/receipt.json'))) return 'the copy has no receipt';
  const dir = await mkdtemp(join(server.options.socketDir, 'q'));
  const sidecar = new TestSidecar(dir, { ...roleEnv(server), QUIESCE_DATA_DIR: data });
  try {
    await sidecar.start('live');
    for (const deadline = performance.now() + VERIFIED_WITHIN_MS; performance.now() < deadline;) {
      const { restore } = await sidecar.status();
      if (restore !== null && restore.verified !== null) return restore.verified || restore.message;
      await sleep(50);
    }
    return `no result within ${VERIFIED_WITHIN_MS / 1_000} s`;
  } finally {
    await sidecar.signal('SIGKILL');
  }
}

async function faultsOf(server: EmbeddedPostgres, acked: Acked): Promise<string[]> {
  const late = sleep(EXAMINED_WITHIN_MS, undefined, { ref: false }).then(() => {
    throw new Error(`the examination did not end within ${EXAMINED_WITHIN_MS / 1_000} s`);
  });
  try {
    const { checks, amcheck } = await Promise.race([examine(server, acked), late]);
    return [...checks.filter(({ ok }) => !ok).map(({ message }) => message), ...amcheck];
  } catch (error) {
    return [tail(error)];
  }
}

export function tail(error: unknown): string {
  return (error as Error).message.trim().slice(-600);
}
