import { spawnSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { afterEach, describe, expect, it } from 'vitest';
import { MAJORS } from '../support/postgres.ts';
import { VolumesRig } from '../support/volumes.ts';

let rig: VolumesRig;
const undo: (() => unknown)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0)) await step();
  await rig.dispose();
});

/** What the server waits beyond the lease, and what a busy machine may add. */
const BEYOND_MS = 5_000 + 4_000;

/**
 * Drops every packet from and to the server's TCP port, both ways, without a FIN or RST: what is left
 * of a connection when a host vanishes. The test itself uses the Unix socket.
 */
function vanish(port: number): void {
  const table = `quiesce_test_${port}`;
  const nft = (...args: string[]): void => {
    const { status, stderr } = spawnSync('nft', args, { encoding: 'utf8' });
    if (status !== 0) throw new Error(`this test drops packets with nft, as root: ${stderr}`);
  };
  undo.push(() => spawnSync('nft', ['delete', 'table', 'inet', table]));
  nft('add', 'table', 'inet', table);
  nft('add', 'chain', 'inet', table, 'out', '{ type filter hook output priority 0; }');
  nft('add', 'rule', 'inet', table, 'out', 'tcp', 'dport', String(port), 'drop');
  nft('add', 'rule', 'inet', table, 'out', 'tcp', 'sport', String(port), 'drop');
}

interface Left {
  readonly slots: number;
  readonly sessions: number;
}

/** Connected over the Unix socket, so that it is not cut off. */
async function observer(): Promise<() => Promise<Left>> {
  const { socketDir, port } = rig.server.options;
  const client = new Client({ host: socketDir, port, user: 'postgres', database: 'postgres' });
  client.on('error', () => undefined);
  await client.connect();
  undo.push(() => client.end().catch(() => undefined));
  return async () => {
    const { rows } = await client.query<Left>(
      `SELECT (SELECT count(*)::int FROM pg_replication_slots) AS slots,
              (SELECT count(*)::int FROM pg_stat_activity WHERE usename = 'quiesce') AS sessions`,
    );
    return rows[0] ?? { slots: -1, sessions: -1 };
  };
}

async function until(look: () => Promise<Left>, within: number): Promise<number> {
  const began = performance.now();
  await expect.poll(look, { timeout: within, interval: 100 }).toEqual({ slots: 0, sessions: 0 });
  return performance.now() - began;
}

describe.each(MAJORS)('the dead-man’s switch of PostgreSQL %i', (major) => {
  it.each(['volumes', 'snapshot'])(
    'copy: %s: a sidecar that stands still for ever keeps nothing past its lease',
    async (copy) => {
      const walWithData = copy === 'snapshot';
      rig = await VolumesRig.make({ major, walWithData, env: { QUIESCE_COPY: copy } });
      await rig.sidecar.start();
      const look = await observer();
      const frozen = await rig.sidecar.cli('freeze', '--ttl', '4s');
      expect(frozen, frozen.stderr).toMatchObject({ code: 0 });
      expect(await look()).toMatchObject({ slots: 1 });
      await rig.sidecar.signal('SIGSTOP');
      await sleep(2_500);
      expect(await look(), 'within the lease').toMatchObject({ slots: 1 });
      await until(look, 1_500 + BEYOND_MS);
      await rig.sidecar.signal('SIGCONT');
      const thaw = await rig.sidecar.cli('thaw');
      expect(thaw, thaw.stderr + rig.sidecar.output.slice(-3000)).toMatchObject({ code: 7 });
    },
  );

  it.each(['volumes', 'snapshot'])(
    'copy: %s: a host that vanishes without a goodbye keeps nothing past the lease',
    async (copy) => {
      const walWithData = copy === 'snapshot';
      rig = await VolumesRig.make({ major, walWithData, env: { QUIESCE_COPY: copy } });
      await rig.sidecar.start();
      const look = await observer();
      const frozen = await rig.sidecar.cli('freeze', '--ttl', '4s');
      expect(frozen, frozen.stderr).toMatchObject({ code: 0 });
      vanish(rig.server.options.port);
      await sleep(2_000);
      expect(await look(), 'within the lease').toMatchObject({ slots: 1 });
      await until(look, 2_000 + BEYOND_MS);
      const thaw = await rig.sidecar.cli('thaw');
      expect(thaw, thaw.stderr + rig.sidecar.output.slice(-3000)).toMatchObject({ code: 7 });
    },
  );

  it('standing still for less than the lease loses nothing, and a renewal reaches the server', async () => {
    rig = await VolumesRig.make({ major });
    await rig.sidecar.start();
    const look = await observer();
    const first = await rig.sidecar.cli('freeze', '--id', 'kept', '--ttl', '3s');
    expect(first, first.stderr).toMatchObject({ code: 0 });
    const renewed = await rig.sidecar.cli('freeze', '--id', 'kept', '--ttl', '40s');
    expect(renewed, renewed.stderr).toMatchObject({ code: 0 });
    await rig.sidecar.signal('SIGSTOP');
    await sleep(12_000);
    expect(await look()).toMatchObject({ slots: 1 });
    await rig.sidecar.signal('SIGCONT');
    const thaw = await rig.sidecar.cli('thaw', '--id', 'kept');
    expect(thaw, thaw.stdout).toMatchObject({ code: 0 });
    // Its slot stays for the cut of the WAL volume, and goes with the sidecar at the latest.
    expect(await look()).toMatchObject({ slots: 1 });
    await rig.sidecar.stop();
    await until(look, 3_000);
  });
});
