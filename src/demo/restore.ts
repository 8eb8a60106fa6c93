import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Status } from '../http/control.ts';
import type { RestoreView } from '../restore/verify-at-start.ts';
import type { Receipt } from '../receipt/receipt.ts';
import type { DemoServer } from './database.ts';
import { get, runCli, type SidecarProcess } from '../testbed/processes.ts';
import { type DemoRun, type FrozenCopy, step } from './scenario.ts';

export interface Restored {
  readonly server: DemoServer;
  readonly sidecar: SidecarProcess;
}

const VERIFIED_WITHIN_MS = 60_000;

/** Prepares the copy, starts a second server and sidecar on it, and verifies it in every way. */
export async function restoreAndVerify(demo: DemoRun, frozenCopy: FrozenCopy): Promise<Restored> {
  const { checks, database, workspace, signal } = demo;
  const { copy, receipt } = frozenCopy;
  await step(demo, 'prepare-restore', 'quiesce prepare-restore on the copy', async () => {
    const carried = await readReceiptIn(copy.path);
    checks.require(
      'evidence',
      carried?.id === receipt.id,
      carried?.id === receipt.id
        ? 'the copy carries the receipt of this freeze: it was cut inside it'
        : `the copy carries ${carried ? `the receipt of ${carried.id}` : 'no receipt'}`,
    );
    const finished = await runCli(['prepare-restore', '--data', copy.path], {}, signal);
    const output = (finished.stderr || finished.stdout).trim();
    const message = finished.code === 0 ? 'quiesce prepare-restore accepted the copy' : output;
    checks.require('prepare-restore', finished.code === 0, message);
    return [undefined, 'the copy may start'];
  });
  const title = `Start a second ${database.product} on the copy`;
  const server = await step(demo, 'restored', title, async () => {
    const second = await database.startOn(workspace, copy.path, receipt);
    return [second, `port ${second.port}`];
  });
  const sidecar = await verifyAtStart(demo, server, frozenCopy);
  await verifyByHand(demo, sidecar, receipt);
  await compareLedger(demo, server, frozenCopy);
  return { server, sidecar };
}

async function readReceiptIn(path: string): Promise<Receipt | undefined> {
  const text = await readFile(join(path, '.quiesce/receipt.json'), 'utf8').catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as Receipt);
}

/** The sidecar next to the restored server verifies the copy at start, without a request. */
async function verifyAtStart(
  demo: DemoRun,
  server: DemoServer,
  { receipt }: FrozenCopy,
): Promise<SidecarProcess> {
  const { checks, signal } = demo;
  const title = 'Its sidecar verifies the copy by itself';
  return await step(demo, 'verified-at-start', title, async () => {
    const sidecar = await server.startSidecar('sr');
    await sidecar.ready(signal);
    const restore = await pollRestore(sidecar, signal);
    const ok = restore?.verified === true && restore.id === receipt.id;
    const message = restore
      ? `the sidecar of the restored server verified it by itself at start: ${restore.message}`
      : `the sidecar of the restored server found nothing to verify: ${await sidecar.logTail(3)}`;
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
  demo: DemoRun,
  sidecar: SidecarProcess,
  receipt: Receipt,
): Promise<void> {
  const { checks, workspace, signal } = demo;
  await step(demo, 'verify', 'quiesce verify with the receipt', async () => {
    const file = join(workspace.dir, 'receipt.json');
    await writeFile(file, JSON.stringify(receipt, null, 2));
    const finished = await runCli(['verify', file, '-o', 'json'], sidecar.env, signal);
    const output = (finished.stderr || finished.stdout).trim();
    const result =
      finished.code === 0 ? (JSON.parse(finished.stdout) as { checks: unknown[] }) : null;
    const message = result
      ? `quiesce verify confirms the receipt of the thaw: ${result.checks.length} checks`
      : `exit ${finished.code}: ${output}`;
    checks.add('verify', result !== null, message);
    return [undefined, result ? `${result.checks.length} checks` : message];
  });
}

/** The proof that does not rely on quiesce: compares the data with the acknowledged writes. */
async function compareLedger(
  demo: DemoRun,
  server: DemoServer,
  { acked }: FrozenCopy,
): Promise<void> {
  const { checks, database } = demo;
  await step(demo, 'ledger', 'Compare with the acknowledged writes', async () => {
    const { found, beyond, ...compared } = await server.compare(acked);
    for (const { name, ok, message } of compared.checks) checks.add(name, ok, message);
    const { writes } = database.words;
    return [undefined, `${found} ${writes}, ${beyond} of them after the call of the freeze`];
  });
  await step(demo, 'examine', 'Examine the data, then write to it', async () => {
    const examined = await server.examine();
    for (const { name, ok, message } of examined) checks.add(name, ok, message);
    return [undefined, examined[0]?.message ?? ''];
  });
}
