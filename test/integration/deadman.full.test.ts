import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
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

/** How long the server waits after the lease, plus what a busy machine may add. */
const BEYOND_MS = 5_000 + 4_000;

/**
 * Whether packets can be dropped here; otherwise a proxy that stops forwarding without closing
 * stands in.
 */
const nft = (...args: string[]): boolean => spawnSync('/usr/sbin/nft', args).status === 0;
const CAN_DROP = process.getuid?.() === 0 && nft('list', 'tables');
const HOW = CAN_DROP ? 'packets dropped' : 'silent proxy, since packets cannot be dropped here';

/**
 * Call it before the sidecar starts. The function it returns drops every packet from and to the
 * server's TCP port, without a FIN or RST: what a connection looks like when a host vanishes. The
 * test itself uses the Unix socket.
 */
async function prepareToVanish(): Promise<() => void> {
  const { port } = rig.server.options;
  if (!CAN_DROP) return await silentProxy(port);
  const table = `quiesce_test_${port}`;
  return () => {
    undo.push(() => nft('delete', 'table', 'inet', table));
    const chain = '{ type filter hook output priority 0; }';
    const done =
      nft('add', 'table', 'inet', table) &&
      nft('add', 'chain', 'inet', table, 'out', chain) &&
      nft('add', 'rule', 'inet', table, 'out', 'tcp', 'dport', String(port), 'drop') &&
      nft('add', 'rule', 'inet', table, 'out', 'tcp', 'sport', String(port), 'drop');
    expect(done).toBe(true);
  };
}

async function silentProxy(port: number): Promise<() => void> {
  const sockets: Socket[] = [];
  const proxy = createServer((client) => {
    const server = connect(port, '127.0.0.1');
    sockets.push(client, server);
    for (const socket of [client, server]) socket.on('error', () => undefined);
    client.pipe(server, { end: true }).pipe(client);
  }).listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  undo.push(() => {
    for (const socket of sockets) socket.destroy();
    proxy.close();
  });
  rig.sidecar.env['PGPORT'] = String((proxy.address() as AddressInfo).port);
  return () => {
    for (const socket of sockets) socket.unpipe().pause();
  };
}

interface Left {
  readonly slots: number;
  readonly sessions: number;
}

/** Connects over the Unix socket, which stays connected. */
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

async function waitUntilReleased(look: () => Promise<Left>, withinMs: number): Promise<number> {
  const began = performance.now();
  await expect.poll(look, { timeout: withinMs, interval: 100 }).toEqual({ slots: 0, sessions: 0 });
  return performance.now() - began;
}

describe.each(MAJORS)('the dead-man’s switch of PostgreSQL %i', (major) => {
  it.each(['volumes', 'snapshot'])(
    `copy: %s: a host that vanishes (${HOW}) holds nothing past the lease`,
    async (copy) => {
      const walWithData = copy === 'snapshot';
      rig = await VolumesRig.make({ major, walWithData, env: { QUIESCE_COPY: copy } });
      const vanish = await prepareToVanish();
      await rig.sidecar.start();
      const look = await observer();
      const frozen = await rig.sidecar.cli('freeze', '--ttl', '4s');
      expect(frozen, frozen.stderr).toMatchObject({ code: 0 });
      vanish();
      await sleep(2_000);
      expect(await look(), 'within the lease').toMatchObject({ slots: 1 });
      await waitUntilReleased(look, 2_000 + BEYOND_MS);
      const thaw = await rig.sidecar.cli('thaw');
      expect(thaw, thaw.stderr + rig.sidecar.output.slice(-3000)).toMatchObject({ code: 7 });
    },
  );

  it('a sidecar stopped for less than its lease keeps the hold, and a renewal reaches the server', async () => {
    rig = await VolumesRig.make({ major });
    await rig.sidecar.start();
    const look = await observer();
    const first = await rig.sidecar.cli('freeze', '--id', 'kept', '--ttl', '3s');
    expect(first, first.stderr).toMatchObject({ code: 0 });
    const renewed = await rig.sidecar.cli('freeze', '--renew', '--id', 'kept', '--ttl', '40s');
    expect(renewed, renewed.stderr).toMatchObject({ code: 0 });
    await rig.sidecar.signal('SIGSTOP');
    await sleep(12_000);
    expect(await look()).toMatchObject({ slots: 1 });
    await rig.sidecar.signal('SIGCONT');
    const thaw = await rig.sidecar.cli('thaw', '--id', 'kept');
    expect(thaw, thaw.stdout).toMatchObject({ code: 0 });
    // The slot stays for the cut of the WAL volume, at most until the sidecar ends.
    expect(await look()).toMatchObject({ slots: 1 });
    await rig.sidecar.stop();
    await waitUntilReleased(look, 3_000);
  });
});
