import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { EmbeddedPostgres, freePort } from '../../src/demo/embedded-postgres.ts';
import type { Acked } from '../../src/demo/load.ts';
import { runCli } from '../../src/demo/processes.ts';
import { examine } from '../support/rig.ts';
import type { Finding, RunRecord } from './records.ts';
import type { World } from './world.ts';

export interface Restored {
  readonly findings: readonly Finding[];
  /** Copies that were started and examined, and those that `prepare-restore` refused. */
  readonly done: number;
  readonly refused: number;
}

/**
 * Restores the copies of a run as a user does. A copy that belongs to a freeze must hold what was
 * acknowledged before it was called; it may be refused only where no thaw has vouched for it.
 */
export async function restoreCopies(world: World, record: RunRecord): Promise<Restored> {
  const findings: Finding[] = [];
  let [done, refused] = [0, 0];
  for (const copy of record.copies) {
    const vouched = vouchedFor(record, copy);
    const id = copy.carries ?? vouched;
    const acked = id === undefined ? undefined : record.ackedBefore.get(id);
    if (id === undefined || acked === undefined) continue;
    const prepared = await runCli(['prepare-restore', '--data', copy.path], {});
    if (prepared.code !== 0) {
      refused += 1;
      world.story.tell(`prepare-restore of ${copy.path}: ${prepared.code} ${prepared.stderr}`);
      if (vouched !== undefined) {
        findings.push({
          kind: 'false-success',
          what: `the copy that the thaw of ${vouched} vouched for is refused: ${prepared.stderr.trim()}`,
        });
      }
      continue;
    }
    done += 1;
    const wrong = await examineCopy(world, copy.path, acked);
    world.story.tell(`restored ${copy.path}: ${wrong.join('; ') || 'all is there'}`);
    findings.push(
      ...wrong.map((what): Finding => ({ kind: 'false-success', what: `restored ${id}: ${what}` })),
    );
  }
  return { findings, done, refused };
}

/** The freeze whose thaw succeeded and within whose hold this copy was cut. */
function vouchedFor(
  { calls }: RunRecord,
  copy: { readonly begunAt: number; readonly endedAt: number },
): string | undefined {
  for (const { verb, ok, receipt, calledAt } of calls) {
    if (verb !== 'thaw' || !ok || !receipt) continue;
    const began = calls.find((c) => c.verb === 'freeze' && c.ok && c.receipt?.id === receipt.id);
    if (began && copy.begunAt > began.returnedAt && copy.endedAt < calledAt) return receipt.id;
  }
  return undefined;
}

async function examineCopy(world: World, path: string, acked: Acked): Promise<string[]> {
  // Of a copy without a receipt nothing was prepared; its lock file names the source.
  await rm(join(path, 'pgdata/postmaster.pid'), { force: true });
  const socketDir = join(world.dir, 'r');
  await mkdir(socketDir, { recursive: true });
  const server = await EmbeddedPostgres.at({
    major: world.server.options.major,
    dataDir: join(path, 'pgdata'),
    port: await freePort(),
    socketDir,
    settings: { fsync: 'off' },
  });
  try {
    await server.start();
    const { checks, amcheck } = await examine(server, acked);
    return [...checks.filter(({ ok }) => !ok).map(({ message }) => message), ...amcheck];
  } catch (error) {
    return [(error as Error).message.slice(-1_500)];
  } finally {
    await server.stop('immediate');
  }
}
