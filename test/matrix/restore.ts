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
import type { Negative, Spoilt } from './negatives.ts';
import type { Backup } from './subject.ts';

const VERIFIED_WITHIN_MS = 20_000;
/** On a corrupt copy a check may never end. */
const EXAMINED_WITHIN_MS = 90_000;

/** Restores a backup as a user does. @returns what is wrong, nothing where all is there. */
export async function restore(backup: Backup, major: number): Promise<string[]> {
  const data = await backup.fresh();
  try {
    const { code, stdout, stderr } = await prepare({ data, flags: backup.flags });
    if (code !== 0) return [`prepare-restore: ${code} ${stdout}${stderr}`];
    // Alone: what it holds is what the copy held, not what it can still get from its primary.
    await rm(join(data, 'pgdata/standby.signal'), { force: true });
    return await onServer(copyAt(data), major, async (_, server) => {
      const verified = await verifiedBeside(data, server);
      const wrong = await whatIsWrong(server, backup.acked);
      return [...(verified === true ? [] : [`the sidecar beside it says: ${verified}`]), ...wrong];
    });
  } catch (error) {
    return [tail(error)];
  } finally {
    await rm(data, { recursive: true, force: true });
  }
}

/** What came of a copy that nobody should have started. */
export interface Anyway {
  readonly fate: 'does not start' | 'not whole' | 'whole';
  /** It is not whole and a sidecar beside it called it verified. */
  readonly silent: boolean;
}

export interface Refused {
  /** Why it was not refused as it must be; nothing where it was. */
  readonly wrong: readonly string[];
  readonly anyway: Anyway | undefined;
}

/** Spoils a copy of a backup, which must be refused with nothing put in place. */
export async function refuse(backup: Backup, negative: Negative, major: number): Promise<Refused> {
  const spoilt = await negative.spoil(backup);
  const { data } = spoilt;
  try {
    const { code, stdout, stderr } = await prepare(spoilt);
    const wrong: string[] = [];
    if (code !== 7 || !stderr.includes(negative.code)) {
      wrong.push(`prepare-restore: ${code} ${stdout}${stderr}, not 7 and ${negative.code}`);
    }
    if (existsSync(join(data, 'pgdata/backup_label'))) wrong.push('a label was put in place');
    if (negative.anyway === undefined || wrong.length > 0) return { wrong, anyway: undefined };
    const label = negative.anyway === 'labelled' ? backup.receipt.restore.backupLabel : null;
    const anyway = await startAnyway(data, backup.acked, major, label);
    if (anyway.silent) wrong.push('started all the same it is not whole, and is called verified');
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

/** Starts a server on a copy as it lies there, or with a label put in by hand. */
export async function startAnyway(
  data: string,
  acked: Acked,
  major: number,
  label: string | null,
): Promise<Anyway> {
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
  let fate: Anyway['fate'] = 'does not start';
  let silent = false;
  const look = async (_: unknown, server: EmbeddedPostgres): Promise<void> => {
    const verified = await verifiedBeside(data, server);
    fate = (await whatIsWrong(server, acked)).length === 0 ? 'whole' : 'not whole';
    silent = verified === true && fate === 'not whole';
  };
  await onServer(copyAt(data), major, look, 'kill').catch(() => undefined);
  return { fate, silent };
}

function prepare({ data, flags }: Spoilt): ReturnType<typeof runCli> {
  return runCli(['prepare-restore', '--data', data, ...flags], {});
}

/** What a sidecar that starts beside a restored server says of it; without a receipt, nothing. */
async function verifiedBeside(data: string, server: EmbeddedPostgres): Promise<boolean | string> {
  if (!existsSync(join(data, '.quiesce/receipt.json'))) return 'there is no receipt';
  const dir = await mkdtemp(join(server.options.socketDir, 'q'));
  const sidecar = new TestSidecar(dir, { ...roleEnv(server), QUIESCE_DATA_DIR: data });
  try {
    await sidecar.start('live');
    for (const deadline = performance.now() + VERIFIED_WITHIN_MS; performance.now() < deadline;) {
      const { restore } = await sidecar.status();
      if (restore !== null && restore.verified !== null) return restore.verified || restore.message;
      await sleep(50);
    }
    return 'nothing, in 20 s';
  } finally {
    await sidecar.signal('SIGKILL');
  }
}

async function whatIsWrong(server: EmbeddedPostgres, acked: Acked): Promise<string[]> {
  const late = sleep(EXAMINED_WITHIN_MS, undefined, { ref: false }).then(() => {
    throw new Error('the examination does not end');
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
