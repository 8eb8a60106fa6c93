import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Status } from '../http/control.ts';
import type { RestoreView } from '../restore/verify-at-start.ts';
import type { Receipt } from '../receipt/receipt.ts';
import type { DemoServer } from './database.ts';
import { get, runCli, type SidecarProcess } from '../testbed/processes.ts';
import { type Stage, step, type Taken } from './scenario.ts';

export interface Restored {
  readonly server: DemoServer;
  readonly sidecar: SidecarProcess;
}

const VERIFIED_WITHIN_MS = 60_000;

/** Prepares the copy, starts a second server and sidecar on it and verifies it in every way. */
export async function restoreAndVerify(stage: Stage, taken: Taken): Promise<Restored> {
  const { checks, database, workspace, signal } = stage;
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
  const title = `Start a second ${database.product} on the copy`;
  const server = await step(stage, 'restored', title, async () => {
    const second = await database.startOn(workspace, copy.path, receipt);
    return [second, `port ${second.port}`];
  });
  const sidecar = await verifyAtStart(stage, server, taken);
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
  server: DemoServer,
  { receipt }: Taken,
): Promise<SidecarProcess> {
  const { checks, signal } = stage;
  const title = 'A sidecar beside it verifies by itself';
  return await step(stage, 'verified-at-start', title, async () => {
    const sidecar = await server.startSidecar('sr');
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
async function compareLedger(stage: Stage, server: DemoServer, { acked }: Taken): Promise<void> {
  const { checks, database } = stage;
  await step(stage, 'ledger', 'Compare with what the writers were told', async () => {
    const { found, beyond, ...compared } = await server.compare(acked);
    for (const { name, ok, message } of compared.checks) checks.add(name, ok, message);
    const { writes } = database.words;
    return [undefined, `${found} ${writes}, ${beyond} of them after the freeze was called`];
  });
  await step(stage, 'examine', 'Examine the data, then write to it', async () => {
    const examined = await server.examine();
    for (const { name, ok, message } of examined) checks.add(name, ok, message);
    return [undefined, examined[0]?.message ?? ''];
  });
}
