import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { examine } from '../../../src/cluster/doctor/examine.ts';
import { survey } from '../../../src/cluster/inventory/survey.ts';
import { probe, restoredNotAsked } from '../../../src/cluster/doctor/probe.ts';
import type { Finding } from '../../../src/cluster/doctor/rule.ts';
import { inject } from '../../../src/cluster/inject/inject.ts';
import { runCli } from '../../../src/testbed/processes.ts';
import { CONFIG, postgresPod } from '../../support/pods.ts';
import { makeTempDir, startServer } from '../../support/postgres.ts';
import { TestSidecar } from '../../support/sidecar.ts';
import { inventory } from './support.ts';

const undo: (() => unknown)[] = [];
afterEach(async () => {
  for (const one of undo.splice(0).toReversed()) await one();
});

/** A running pod with a sidecar. */
function podWith(labels: Record<string, string>) {
  const result = inject(postgresPod({}), CONFIG);
  if (result.outcome !== 'injected') throw new Error('not injected');
  const own = { ...result.pod.metadata?.labels, ...labels };
  const metadata = { ...result.pod.metadata, labels: own, namespace: 'shop', uid: '1' };
  return { apiVersion: 'v1', kind: 'Pod', ...result.pod, metadata };
}

function facts(labels: Record<string, string> = {}) {
  return survey(inventory([podWith(labels)])).around.facts;
}

/** Probes the sidecar with local processes instead of an exec in the pod. */
function ask(sidecar: TestSidecar): Promise<readonly Finding[]> {
  return probe(facts(), async (place, [program, ...args]) => {
    expect([place, program]).toEqual([
      { namespace: 'shop', pod: 'db-0', container: 'quiesce' },
      'quiesce',
    ]);
    return await runCli(args, { QUIESCE_SOCKET: sidecar.socket });
  });
}

async function sidecarWith(env: Record<string, string>): Promise<TestSidecar> {
  const dir = await makeTempDir();
  undo.push(() => rm(dir, { recursive: true, force: true }));
  const sidecar = new TestSidecar(dir, env);
  undo.push(() => sidecar.signal('SIGKILL'));
  return sidecar;
}

describe('the probe of a sidecar', () => {
  it('reports that it cannot reach its database', async () => {
    const sidecar = await sidecarWith({ PGHOST: '/nowhere', PGUSER: 'nobody' });
    await sidecar.start('live');
    await expect
      .poll(() => ask(sidecar), { timeout: 30_000 })
      .toMatchObject([{ code: 'DATABASE_UNREACHABLE', object: { kind: 'Pod', name: 'db-0' } }]);
  });

  it('reports the grant that its role lacks, and nothing once the role has it', async () => {
    const server = await startServer({ major: 17 });
    undo.push(() => server.stop());
    await server.admin.query('REVOKE pg_monitor FROM quiesce');
    const sidecar = await sidecarWith(server.roleEnv);
    await sidecar.start();
    expect(await ask(sidecar)).toMatchObject([
      { code: 'GRANTS_MISSING', message: expect.stringContaining('GRANT pg_monitor TO') as string },
    ]);
    await server.admin.query('GRANT pg_monitor TO quiesce');
    await expect.poll(() => ask(sidecar), { timeout: 30_000 }).toEqual([]);
  });

  it('reports a grant that only a freeze needs, before the first freeze', async () => {
    const server = await startServer({ major: 17 });
    undo.push(() => server.stop());
    const call = 'EXECUTE ON FUNCTION pg_catalog.pg_backup_start(text, boolean)';
    await server.admin.query(`REVOKE ${call} FROM quiesce`);
    const sidecar = await sidecarWith(server.roleEnv);
    await sidecar.start();
    expect(await ask(sidecar)).toMatchObject([
      { code: 'GRANTS_MISSING', message: expect.stringContaining(`GRANT ${call} TO`) as string },
    ]);
    await server.admin.query(`GRANT ${call} TO quiesce`);
    await expect.poll(() => ask(sidecar), { timeout: 30_000 }).toEqual([]);
  });

  it('reports that the last freeze did not hold, until a later one does', async () => {
    const server = await startServer({ major: 17 });
    undo.push(() => server.stop());
    const sidecar = await sidecarWith(server.roleEnv);
    await sidecar.start();
    await sidecar.cli('freeze', '--id', 'late', '--ttl', '100ms');
    await expect
      .poll(() => ask(sidecar), { timeout: 30_000 })
      .toMatchObject([
        {
          code: 'LAST_FREEZE_INCONSISTENT',
          message: 'The last freeze (late) is inconsistent: lease-expired.',
        },
      ]);
    await sidecar.cli('freeze', '--id', 'good');
    expect(await sidecar.cli('thaw', '--id', 'good')).toMatchObject({ code: 0 });
    expect(await ask(sidecar)).toEqual([]);
  });

  it('reports a restored pod without a receipt until a person acknowledges it', async () => {
    const server = await startServer({ major: 17 });
    undo.push(() => server.stop());
    const sidecar = await sidecarWith({ ...server.roleEnv, QUIESCE_RESTORE_MARK: 'r-1' });
    await sidecar.start();
    await expect
      .poll(() => ask(sidecar), { timeout: 30_000 })
      .toMatchObject([
        {
          code: 'RESTORE_UNPROVEN',
          severity: 'error',
          message: expect.stringMatching(/unproven \((?:empty|no-receipt)\): .*r-1/) as string,
        },
      ]);
    const pod = inventory([podWith({})]);
    const stateWith = (found: readonly Finding[]) => examine(pod, found).workloads[0]?.state;
    expect([stateWith(await ask(sidecar)), stateWith([])]).toEqual(['half', 'protected']);
    expect(await sidecar.cli('status', '--acknowledge-restore')).toMatchObject({ code: 0 });
    expect(await ask(sidecar)).toEqual([]);
  });

  it('tells a restore that is refused from content that could not be checked', async () => {
    const answer = (restore: object) => () =>
      Promise.resolve({
        stdout: JSON.stringify({ state: 'thawed', engine: { reachable: true }, restore }),
        stderr: '',
      });
    const of = (restore: object): Promise<readonly Finding[]> => probe(facts(), answer(restore));
    const message = 'x is missing';
    expect(await of({ level: 'refused', verified: false, message })).toMatchObject([
      { code: 'RESTORE_NOT_VERIFIED', severity: 'error' },
    ]);
    const content = (state: string) => ({ level: 'position', content: { state, message } });
    expect(await of(content('failed'))).toMatchObject([{ code: 'RESTORE_NOT_VERIFIED' }]);
    expect(await of(content('unchecked'))).toMatchObject([
      { code: 'RESTORE_CONTENT_UNCHECKED', severity: 'warning' },
    ]);
    expect(await of(content('pending'))).toEqual([]);
    expect(await of({ level: 'content', verified: true, message })).toEqual([]);
    // The status of an earlier version.
    expect(await of({ verified: false, message })).toMatchObject([
      { code: 'RESTORE_NOT_VERIFIED' },
    ]);
    expect(await of({ verified: true, message })).toEqual([]);
  });

  it('reports a restored pod whose sidecar was not asked', () => {
    expect(restoredNotAsked(facts())).toEqual([]);
    expect(restoredNotAsked(facts({ 'velero.io/restore-name': 'r-1' }))).toMatchObject([
      { code: 'RESTORE_NOT_ASKED', severity: 'warning', object: { kind: 'Pod', name: 'db-0' } },
    ]);
  });

  it('reports a restored copy whose receipt cannot be read', async () => {
    const data = await makeTempDir();
    undo.push(() => rm(data, { recursive: true, force: true }));
    await mkdir(join(data, '.quiesce'));
    await writeFile(join(data, '.quiesce/receipt.json'), 'no receipt at all');
    const env = { PGHOST: '/nowhere', PGUSER: 'nobody', QUIESCE_DATA_DIR: data };
    const sidecar = await sidecarWith(env);
    await sidecar.start('live');
    await expect
      .poll(() => ask(sidecar), { timeout: 30_000 })
      .toMatchObject([
        { code: 'DATABASE_UNREACHABLE' },
        {
          code: 'RESTORE_UNPROVEN',
          message:
            'Its restore is unproven (unchecked): The receipt on the volume cannot be read, so nothing can be verified.',
        },
      ]);
  });

  it('reports a sidecar that gives no answer', async () => {
    const refused = await probe(facts(), () => Promise.reject(new Error('403 forbidden')));
    expect(refused).toMatchObject([
      { code: 'PROBE_FAILED', message: 'The sidecar gave no answer: 403 forbidden.' },
    ]);
    const silent = await probe(facts(), () => Promise.resolve({ stdout: '', stderr: '' }));
    expect(silent).toMatchObject([{ code: 'PROBE_FAILED' }]);
    const odd = await probe(facts(), () => Promise.resolve({ stdout: '{}', stderr: '' }));
    expect(odd).toMatchObject([{ code: 'PROBE_FAILED' }]);
  });
});
