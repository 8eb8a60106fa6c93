import { spawn } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { cleanEnv, cliPath } from '../../src/testbed/processes.ts';
import { type Shop, shop, snapshot } from './shop.ts';

async function snapshots({ api }: Shop, ...args: string[]) {
  const words = [cliPath(), 'snapshots', '--kubeconfig', api.kubeconfig, ...args];
  const child = spawn(process.execPath, words, { env: cleanEnv({}) });
  let [out, err] = ['', ''];
  child.stdout.on('data', (data: Buffer) => (out += data.toString()));
  child.stderr.on('data', (data: Buffer) => (err += data.toString()));
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return { code, out, err };
}

describe('quiesce snapshots', () => {
  it('shows one run as a page, and a list as none', async () => {
    const made = await shop();
    const { run } = await snapshot(made.api);
    const page = await snapshots(made, run.id, '-o', 'html');
    expect([page.code, page.err]).toEqual([0, '']);
    expect(page.out).toMatch(/^<!doctype html>/i);
    expect(page.out).toContain(run.id);
    const list = await snapshots(made, '-o', 'html');
    expect([list.code, list.out]).toEqual([2, '']);
    expect(list.err).toContain('-o html shows one RUN');
  });

  it('finds the runs of the flags that they were made with', async () => {
    const made = await shop();
    const path = '/apis/apps/v1/namespaces/shop/statefulsets/db';
    made.api.cluster.change(path, { metadata: { labels: { tier: 'data' } } });
    const whole = await snapshot(made.api);
    const part = await snapshot(made.api, ['--selector', 'tier=data']);
    expect([whole.code, part.code]).toEqual([0, 0]);
    const ids = async (...args: string[]): Promise<readonly string[]> => {
      const { out } = await snapshots(made, '-o', 'json', ...args);
      return (JSON.parse(out) as { items: { id: string }[] }).items.map(({ id }) => id);
    };
    expect((await ids()).toSorted()).toEqual([part.run.id, whole.run.id].toSorted());
    expect(await ids('--selector', 'tier=data')).toEqual([part.run.id]);
    expect(await ids('-n', 'shop', '--group', 'shop')).toEqual([whole.run.id]);
    const all = await snapshots(made, '-A', '--selector', 'tier=data');
    expect([all.code, all.err]).toEqual([2, expect.stringContaining('--selector needs -n')]);
  });

  it('says that a namespace does not exist, also next to one that does', async () => {
    const made = await shop();
    expect(await snapshots(made, '-n', 'shop')).toMatchObject({ code: 0 });
    for (const more of [[], ['-n', 'shop'], ['--prune', '--keep', '1']]) {
      const ended = await snapshots(made, '-n', 'nope', ...more);
      expect([ended.code, ended.out]).toEqual([2, '']);
      expect(ended.err).toContain('There is no namespace nope.');
    }
  });

  it('gives up in time, and nothing goes on behind the error', async () => {
    const made = await shop();
    made.api.hang = (path) => path.includes('/volumesnapshots');
    const start = performance.now();
    const ended = await snapshots(made, '--timeout', '1s', '-o', 'json');
    expect(performance.now() - start).toBeLessThan(20_000);
    expect(ended.code).toBe(3);
    expect(JSON.parse(ended.out)).toMatchObject({
      error: {
        code: 'CLUSTER_UNREACHABLE',
        message: expect.stringContaining('--timeout 1.0 s is over') as string,
      },
    });
  });
});
