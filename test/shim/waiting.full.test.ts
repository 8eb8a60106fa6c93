import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it, onTestFinished } from 'vitest';
import { buildControlApp } from '../../src/http/app.ts';
import { createLogger } from '../../src/logger.ts';
import { listenOnSocket } from '../../src/sidecar/control-socket.ts';
import { runCli } from '../../src/testbed/processes.ts';
import { aReceipt, FakeControl } from '../support/fake-control.ts';

it('a freeze without --timeout waits as long as the sidecar is freezing', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'quiesce-shim-'));
  const socket = join(dir, 'control.sock');
  const control = new FakeControl();
  const logger = createLogger({ level: 'silent' });
  const app = buildControlApp({ control, transport: 'socket', logger });
  await listenOnSocket(app, socket);
  onTestFinished(async () => {
    await app.close();
    await rm(dir, { recursive: true, force: true });
  });
  control.state = 'freezing';
  control.onFreeze = async () => {
    await sleep(30_000);
    return aReceipt();
  };
  const { code, stdout, stderr } = await runCli(['freeze'], { QUIESCE_SOCKET: socket });
  expect([code, stdout.split(':')[0]]).toEqual([0, 'frozen']);
  // Proxies cut an exec stream that is silent for a minute.
  expect(stderr).toBe('quiesce freeze: waiting for the sidecar, 20 s\n');
});
