import { describe, expect, it } from 'vitest';
import { runPage } from '../../../src/cluster/snapshot/report/html.ts';
import { describePruning } from '../../../src/cluster/snapshot/report/list.ts';
import { describeRun } from '../../../src/cluster/snapshot/report/text.ts';
import type { RunMember, SnapshotRun } from '../../../src/cluster/snapshot/document.ts';
import { runOf } from './runs-of-test.ts';

const RUN = { id: 'shop-20261130t180300z-ab12', group: 'shop' };

function example(count = 3, more: Partial<SnapshotRun> = {}): SnapshotRun {
  const snapshots = Array.from({ length: count }, (_, index) => ({
    namespace: 'shop',
    name: `data-db-${index}-20261130t180300z-ab12`,
    claim: `data-db-${index}`,
    cutAt: '2026-11-30T18:03:01Z',
    ready: true,
    restoreSize: 2 ** 31,
    cut: true,
  }));
  return runOf(RUN, { run: RUN, group: false, snapshots, problems: [] }, more);
}

function withMember(run: SnapshotRun, change: Partial<RunMember>): SnapshotRun {
  return { ...run, members: run.members.map((one, i) => (i === 0 ? { ...one, ...change } : one)) };
}

const EVIL = '</title><script>alert(1)</script>"\'&\u001b[31m\u202e';

describe('a run on a screen', () => {
  it('says the verdict first, and how the members stand to one another', () => {
    const lines = describeRun(example()).split('\n');
    expect(lines[0]).toBe('✔ proven  shop-20261130t180300z-ab12');
    expect(lines.slice(0, 4).join(' ')).toContain('complete to 2026-11-30 18:03:00.000 UTC');
    expect(describeRun(example(1, { verdict: 'failed' })).split('\n')[0]).toContain('✘ failed');
    const exact = { kind: 'exact', at: '2026-11-30T18:03:01.000Z' } as const;
    const told = (together: SnapshotRun['together']) =>
      describeRun(example(2, { ...(together && { together }) })).replaceAll(/\s+/g, ' ');
    expect(told(exact)).toContain(
      'exact: all members are of one moment, 2026-11-30 18:03:01.000 UTC by the driver’s clock.',
    );
    const off = { until: '2026-11-30T18:03:02Z', driverAt: '2026-11-30T19:03:01Z' };
    expect(told({ ...exact, ...off })).toMatch(
      /between 2026-11-30 18:03:01.000 UTC and 2026-11-30 18:03:02.000 UTC by the clock of the command; .* says 2026-11-30 19:03:01.000 UTC/,
    );
  });

  it('tells a failure of a member once, and whose it is', () => {
    const problem = { code: 'ENGINE_UNREACHABLE', message: 'shop StatefulSet/db: it is gone.' };
    const run = withMember(example(2, { verdict: 'failed', problems: [problem] }), {
      problems: [problem],
    });
    for (const text of [describeRun(run), runPage(run)]) {
      expect(text.split('it is gone.')).toHaveLength(2);
    }
    expect(describeRun(run)).toMatch(/ENGINE_UNREACHABLE StatefulSet\//);
  });

  it('counts one as one', () => {
    const one = { id: 'r', group: 'g', verdict: 'failed', startedAt: '', why: 'is old' } as const;
    const kept = { apiVersion: 'quiesce.dev/v1', kind: 'SnapshotPruning', dryRun: false } as const;
    const text = describePruning({
      ...kept,
      deleted: [one],
      kept: [],
      retained: ['snapcontent-1'],
    });
    expect(text).toContain('1 VolumeSnapshotContent stays, and the storage behind: its class');
    expect(text.indexOf('deletionPolicy":"Delete"')).toBeLessThan(text.indexOf('kubectl delete'));
  });

  it('draws freeze, cut and thaw of each member in order, in aligned columns', () => {
    const rows = describeRun(example(), { width: 100 })
      .split('\n')
      .filter((line) => line.includes('StatefulSet/'));
    expect(rows).toHaveLength(3);
    for (const row of rows) {
      expect(row).toMatch(/┄*█+▲█*░*/);
      expect(row.indexOf('█')).toBeLessThan(row.indexOf('▲'));
      expect(row).toHaveLength(rows[0]?.length ?? 0);
      expect(row).toMatch(/1\.\d s +\+4\.0 s$/);
    }
  });

  it.each([80, 100, 120])('fits into %i columns', (width) => {
    const long = 'a'.repeat(60);
    const run = withMember(example(), {
      name: long,
      problems: [{ code: 'NOT_READY', message: 'word '.repeat(60), hint: 'Wait.' }],
    });
    for (const line of describeRun(run, { width }).split('\n')) {
      expect(line.length).toBeLessThanOrEqual(width);
    }
  });

  it('has colour only where it is asked for, and no control characters of others', () => {
    const run = withMember(example(2, { group: EVIL }), {
      name: EVIL,
      problems: [{ code: 'X', message: EVIL, hint: EVIL }],
    });
    expect(describeRun(run)).not.toMatch(/[^\P{C}\n]/u);
    expect(describeRun(example(), { color: true })).toContain('\u001b[');
  });

  it('lists problems with what to do, and where the snapshots are', () => {
    const problem = { code: 'NOT_READY', message: 'It was not ready.', hint: 'Give it time.' };
    const text = describeRun(example(2, { verdict: 'unproven', problems: [problem] }));
    expect(text).toContain('NOT_READY\n    It was not ready.\n    → Give it time.');
    expect(text).toContain('Kept in shop: 2 VolumeSnapshots, 4 GiB');
    expect(text).toContain('quiesce.dev/run=shop-20261130t180300z-ab12');
  });

  it('shows a run that froze nothing, and one of hundreds', () => {
    expect(describeRun(example(0, { verdict: 'failed' }))).toContain('Nothing is kept.');
    const many = describeRun(example(200));
    expect(many).toContain('and 140 more');
    expect(many.split('\n').length).toBeLessThan(90);
  });

  it('survives a report of which parts are missing', () => {
    const odd = withMember(example(), { timeline: undefined as unknown as RunMember['timeline'] });
    expect(describeRun(odd)).toContain('StatefulSet/');
    expect(runPage(odd)).toContain('StatefulSet/');
  });
});

describe('a run as a page', () => {
  it('is one file: no script, and nothing to load', () => {
    const page = runPage(example());
    expect(page).toMatch(/^<!doctype html>/);
    expect(page).not.toMatch(/<script|<link|<img|@import|url\(|https?:|\bon\w+=/);
    expect(page).toContain("default-src 'none'");
    expect(page).toContain('prefers-color-scheme: dark');
    expect(page).toContain('@media print');
  });

  it('has each member’s bars, its cut and its snapshot', () => {
    const page = runPage(example(3));
    for (const part of ['freezing', 'held', 'thawing']) {
      expect(page.match(new RegExp(`<rect class="${part}"`, 'g'))).toHaveLength(3);
    }
    expect(page.match(/<path class="mark"/g)).toHaveLength(3);
    for (const index of [0, 1, 2])
      expect(page).toContain(`shop/data-db-${index}-20261130t180300z-ab12`);
    expect(page).toContain('6 GiB');
  });

  it('escapes everything that comes from a cluster', () => {
    const run = withMember(
      example(2, { id: EVIL, group: EVIL, shortened: EVIL, startedAt: EVIL }),
      {
        name: EVIL,
        kind: EVIL,
        namespace: EVIL,
        snapshots: [{ namespace: EVIL, name: EVIL, claim: EVIL, cutAt: EVIL, ready: true }],
        problems: [{ code: EVIL, message: EVIL, hint: EVIL }],
      },
    );
    const page = runPage({ ...run, verdict: EVIL as 'failed' });
    expect(page).not.toContain('<script');
    expect(page).not.toMatch(/[^\P{C}\n]/u);
    expect(page.match(/<title/g)?.length).toBe(page.match(/<\/title>/g)?.length);
  });
});
