import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import type { Receipt } from '../../src/receipt/receipt.ts';
import { Rig } from '../support/rig.ts';

/** What the fault harness has found: each once reproduced, each a promise since. */
let rig: Rig;
afterEach(async () => {
  await rig.dispose();
});

it('a thaw and the watch that both connect anew after a crash leave no session and no slot', async () => {
  rig = await Rig.make({ major: 17 });
  await rig.sidecar.start();
  await rig.load.start();
  // The watch connects again 300 ms after it has lost its session.
  for (const delay of [230, 260, 290, 310]) {
    await rig.sidecar.api('POST', '/v1/freeze', { id: `crashed-${delay}` });
    const [held] = await rig.sql<{ pid: number }>(
      'SELECT active_pid AS pid FROM pg_replication_slots',
    );
    process.kill(held?.pid ?? 0, 'SIGKILL');
    await sleep(delay);
    expect((await rig.sidecar.api('POST', '/v1/thaw')).status).toBe(409);
    await expect
      .poll(async () => await rig.sql('SELECT slot_name FROM pg_replication_slots'), {
        timeout: 5_000,
      })
      .toEqual([]);
    await expect
      .poll(async () => (await rig.sidecar.status()).engine.reachable, { timeout: 15_000 })
      .toBe(true);
  }
});

const journal = (): string => join(rig.sidecar.env['QUIESCE_STATE_DIR'] ?? '', 'open.json');

it('a renewal that crosses the thaw is refused or held, and never stays in the journal', async () => {
  rig = await Rig.make({ major: 17 });
  await rig.sidecar.start();
  for (let round = 0; round < 12; round += 1) {
    const id = `crossed-${round}`;
    await rig.sidecar.api('POST', '/v1/freeze', { id });
    const thaw = rig.sidecar.api('POST', '/v1/thaw', { id });
    await sleep(round % 4);
    const renewal = await rig.sidecar.api('POST', '/v1/freeze', { id, renew: true });
    expect((await thaw).status).toBe(200);
    if (renewal.status === 200) expect((renewal.body as Receipt).verdict).toBe('held');
    else expect(renewal.body.error.code).toMatch(/^(NOT_FROZEN|FREEZE_ABORTED)$/);
    // A renewal never begins a freeze of its own.
    expect((await rig.sidecar.status()).state).toBe('thawed');
    expect(await rig.sidecar.api('POST', '/v1/thaw', { id })).toMatchObject({
      status: 409,
      body: { error: { code: 'ALREADY_THAWED' } },
    });
    expect(existsSync(journal())).toBe(false);
  }
});

it('a freeze of the same id that crosses the thaw is refused, or a hold of its own', async () => {
  rig = await Rig.make({ major: 17 });
  await rig.sidecar.start();
  for (let round = 0; round < 12; round += 1) {
    const id = `again-${round}`;
    await rig.sidecar.api('POST', '/v1/freeze', { id });
    const thaw = rig.sidecar.api('POST', '/v1/thaw', { id });
    await sleep(round % 4);
    const again = await rig.sidecar.api('POST', '/v1/freeze', { id });
    const first = await thaw;
    // A freeze that was refused before the thaw came may thaw as well: by that id nobody can tell.
    if (first.status !== 200) expect(first.body.receipt.reasons).toEqual(['thaw-ambiguous']);
    const own = await rig.sidecar.api('POST', '/v1/thaw', { id });
    if (again.status === 200) {
      expect((again.body as Receipt).verdict).toBe('held');
      expect(own.status).toBe(200);
    } else {
      expect(again.body.error.code).toBe('FREEZE_HELD');
      expect(own.status).toBe(409);
    }
    expect(existsSync(journal())).toBe(false);
  }
});
