import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RestoreView, Status } from '../control.ts';
import type { Receipt } from '../freeze/receipt.ts';
import { amcheck } from './amcheck.ts';
import type { EmbeddedPostgres } from './embedded-postgres.ts';
import { verifyLedger } from './ledger.ts';
import { get, runCli, type SidecarProcess } from './processes.ts';
import { type Source, type Stage, step, type Taken } from './scenario.ts';
import { DATABASE, makeServer, startServer, startSidecar, withClient } from './source.ts';

export interface Restored {
  readonly server: EmbeddedPostgres;
  readonly sidecar: SidecarProcess;
}

const VERIFIED_WITHIN_MS = 60_000;

/** Prepares the copy, starts a second server and sidecar on it and verifies it in every way. */
export async function restoreAndVerify(
  stage: Stage,
  source: Source,
  taken: Taken,
): Promise<Restored> {
  const { checks, workspace, options, signal } = stage;
  const { copy, receipt } = taken;
  await step(stage, 'prepare-restore', 'quiesce prepare-restore on the copy', async () => {
    const carried = await readCarried(copy.path);
    checks.require(
      'evidence',
      carried?.id === receipt.id,
      carried?.id === receipt.id
        ? 'the copy carries the receipt of this freeze: it was cut inside it'
        : `the copy carries ${carried ? `the receipt of ${carried.id}` : 'no receipt'}`,
    );
    const finished = await runCli(['prepare-restore', '--data', copy.path], {}, signal);
    const said = (finished.stderr || finished.stdout).trim();
    const message = finished.code === 0 ? 'quiesce prepare-restore accepted the copy' : said;
    checks.require('prepare-restore', finished.code === 0, message);
    return [undefined, 'the copy may start'];
  });
  const server = await step(
    stage,
    'restored',
    'Start a second PostgreSQL on the copy',
    async () => {
      const second = await makeServer(workspace, 'restored', options.postgres, copy.path);
      await startServer(workspace, second);
      return [second, `port ${second.options.port}`];
    },
  );
  const sidecar = await verifyAtStart(stage, source, server, taken);
  await verifyByHand(stage, sidecar, receipt);
  await compareLedger(stage, server, taken);
  return { server, sidecar };
}

async function readCarried(path: string): Promise<Receipt | undefined> {
  const text = await readFile(join(path, '.quiesce/receipt.json'), 'utf8').catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as Receipt);
}

/** The sidecar beside the restored server verifies by itself: nobody asks it to. */
async function verifyAtStart(
  stage: Stage,
  source: Source,
  server: EmbeddedPostgres,
  { copy, receipt }: Taken,
): Promise<SidecarProcess> {
  const { checks, workspace, signal } = stage;
  const title = 'A sidecar beside it verifies by itself';
  return await step(stage, 'verified-at-start', title, async () => {
    const sidecar = await startSidecar(workspace, 'sr', server, copy.path, source.role);
    await sidecar.ready(signal);
    const restore = await pollRestore(sidecar, signal);
    const ok = restore?.verified === true && restore.id === receipt.id;
    const message = restore
      ? `a sidecar beside the restored server verified it by itself at start: ${restore.message}`
      : `the sidecar beside the restored server found nothing to verify: ${await sidecar.logTail(3)}`;
    checks.add('verified-at-start', ok, message);
    return [sidecar, ok ? 'verified' : message];
  });
}

async function pollRestore(
  { socket }: SidecarProcess,
  signal: AbortSignal,
): Promise<RestoreView | null> {
  const deadline = performance.now() + VERIFIED_WITHIN_MS;
  for (;;) {
    signal.throwIfAborted();
    const { body } = await get({ socketPath: socket }, '/v1/status');
    const { restore } = JSON.parse(body) as Status;
    const decided = restore !== null && restore.verified !== null;
    if (decided || performance.now() > deadline) return restore;
    await sleep(50);
  }
}

async function verifyByHand(
  stage: Stage,
  sidecar: SidecarProcess,
  receipt: Receipt,
): Promise<void> {
  const { checks, workspace, signal } = stage;
  await step(stage, 'verify', 'quiesce verify with the receipt', async () => {
    const file = join(workspace.dir, 'receipt.json');
    await writeFile(file, JSON.stringify(receipt, null, 2));
    const finished = await runCli(['verify', file, '-o', 'json'], sidecar.env, signal);
    const said = (finished.stderr || finished.stdout).trim();
    const result =
      finished.code === 0 ? (JSON.parse(finished.stdout) as { checks: unknown[] }) : null;
    const message = result
      ? `quiesce verify agrees with the receipt of thaw: ${result.checks.length} checks`
      : `exit ${finished.code}: ${said}`;
    checks.add('verify', result !== null, message);
    return [undefined, result ? `${result.checks.length} checks` : message];
  });
}

/** The proof that asks nothing of quiesce: what the writers were told against what is there. */
async function compareLedger(
  stage: Stage,
  server: EmbeddedPostgres,
  { acked }: Taken,
): Promise<void> {
  const { checks } = stage;
  await step(stage, 'ledger', 'Compare with what the writers were told', async () => {
    const report = await withClient(server, DATABASE, (client) => verifyLedger(client, acked));
    for (const { name, ok, message } of report.checks) checks.add(name, ok, message);
    return [undefined, `${report.rows} rows, ${report.beyond} of them after the freeze was called`];
  });
  await step(stage, 'amcheck', 'amcheck, then write to it', async () => {
    const found = await withClient(server, DATABASE, (client) => amcheck(client));
    const scope = [
      `${found.indexes} indexes`,
      ...(found.tables > 0 ? [`${found.tables} tables`] : []),
    ];
    const clean = found.problems.length === 0;
    const message = clean
      ? `amcheck: ${scope.join(' and ')} clean`
      : `amcheck: ${found.problems.slice(0, 3).join('; ')}`;
    checks.add('amcheck', clean, message);
    await withClient(server, DATABASE, async (client) => {
      await client.query(`UPDATE bank.accounts SET balance = balance WHERE id = 1`);
      await client.query(`INSERT INTO bank.ledger_0 VALUES (-1, 1, 1, 1, 0, '')`);
      await client.query('VACUUM');
    });
    checks.add('writable', true, 'the restored server takes writes and a VACUUM');
    return [undefined, message];
  });
}
