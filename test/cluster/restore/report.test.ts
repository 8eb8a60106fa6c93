import { describe, expect, it, test } from 'vitest';
import type { RecoveryRun, RestoredMember } from '../../../src/cluster/restore/document.ts';
import { recoveryPage } from '../../../src/cluster/restore/report/html.ts';
import { storedRecovery } from '../../../src/cluster/restore/report/stored.ts';
import { describeRecovery } from '../../../src/cluster/restore/report/text.ts';
import { drillOf, memberOf, restoreOf } from './recovery-of-test.ts';

const EVIL = '</title><script>alert(1)</script>"\'&\u001b[31m\u202e';

const lineOf = (text: string, part: string): string =>
  text.split('\n').find((line) => line.includes(part)) ?? '';

const flat = (text: string): string => text.replaceAll(/\s+/g, ' ');

describe('a restore on a screen', () => {
  it('says first what is back, how old the data is and how long it took', () => {
    const [first, ...rest] = describeRecovery(restoreOf()).split('\n');
    expect(first).toBe('✔ proven  shop-20261130180300-ab12');
    const head = flat(rest.slice(0, 4).join(' '));
    expect(head).toContain(
      'This restore of backup nightly is done: 3 members are healthy, and the data of 1 was verified against its receipt; the volumes of 1 were judged by nobody.',
    );
    expect(head).toContain('Data: 16 h 2 min, of 2026-11-30 02:00:10 UTC · back after 1 min 2 s');
    expect(head).toContain('9 GiB');
  });

  it('draws each member under its layer, in the order in which they came up', () => {
    const text = describeRecovery(restoreOf(), { width: 110 });
    const order = ['Layer 1 of 3', 'StatefulSet/etcd', 'Layer 2', 'StatefulSet/db', 'Layer 3'];
    const places = [...order, 'StatefulSet/api'].map((part) => text.indexOf(part));
    expect(places).toEqual(places.toSorted((a, b) => a - b));
    expect(places).not.toContain(-1);
    expect(text).toContain('Layer 2 of 3: healthy after 38.0 s');
    const row = lineOf(text, 'StatefulSet/db');
    expect(row).toMatch(/░+█+▓+◆▓* +position +\+50\.0 s$/);
    expect(lineOf(text, 'StatefulSet/api')).toMatch(/░+█+▓+ +– +\+1 min 2 s$/);
  });

  it('shows what a member waits for when the run has ended without it', () => {
    const stuck = memberOf('db', {
      timeline: { gatedMs: 1_000, releasedMs: 2_000 },
      problems: [{ code: 'IMAGE_NOT_PULLED', message: 'No such tag.', hint: 'Push it.' }],
    });
    const run = restoreOf({ verdict: 'failed', members: [stuck] });
    const text = describeRecovery(run);
    expect(flat(text)).toContain('has failed: 1 member did not come up.');
    // Nothing but `starting` up to the end of its line: that is where it hangs.
    expect(lineOf(text, 'StatefulSet/db')).toMatch(/░█{20,} +– +no$/);
    expect(text).toMatch(/IMAGE_NOT_PULLED StatefulSet\/db\n {4}No such tag\.\n {4}→ Push it\./);
    expect(text).toContain('      quiesce restore --resume shop-20261130180300-ab12');
    expect(text).toContain('      quiesce restore --release shop-20261130180300-ab12');
  });

  it('names what is not proven, and why', () => {
    const unproven = memberOf('db', {
      level: 'unproven',
      message: 'There is no receipt.',
      timeline: { healthyMs: 10 },
    });
    const files = memberOf('files', { bytes: 5, timeline: { healthyMs: 10 } });
    const proven = memberOf('good', { level: 'position', timeline: { healthyMs: 10 } });
    const lost = { member: files, volume: 'cache', why: 'it is an emptyDir' };
    const run = restoreOf({
      verdict: 'unproven',
      members: [unproven, files, proven],
      notKept: [lost, { ...lost, volume: 'tmp', declared: 'discard' }],
    });
    const text = flat(describeRecovery(run));
    expect(text).toContain('but nothing proves that all of the data is there');
    const part = text.slice(text.indexOf('Not proven'), text.indexOf('Next'));
    expect(part).toContain('StatefulSet/db: nothing proves its data: There is no receipt.');
    expect(part).toContain('StatefulSet/files: its volumes are back, and no sidecar judges them');
    expect(part).toContain('volume cache is not in the backup: it is an emptyDir');
    expect(part).not.toContain('good');
    expect(part).not.toContain('volume tmp');
    expect(text).toContain('do not let anything write');
  });

  it('counts no volume as verified that no sidecar judged', () => {
    const healthy = { timeline: { healthyMs: 1 } };
    const blind = memberOf('files', { ...healthy, bytes: 5 });
    const said = (...members: RestoredMember[]): string =>
      flat(describeRecovery(restoreOf({ members })));
    expect(said(blind)).toContain('the volumes of 1 are back, and nobody judged them');
    expect(said(blind)).not.toContain('verified against');
    expect(said(memberOf('api', healthy))).toContain('none of them holds data');
    const two = (['position', 'content'] as const).map((level) =>
      memberOf(level, { ...healthy, level }),
    );
    expect(said(...two)).toContain('the data of 2 was verified against their receipts.');
  });

  it.each(['refused', 'unproven'] as const)('never calls %s data verified', (level) => {
    const verdict = level === 'refused' ? 'failed' : 'unproven';
    const run = restoreOf({ verdict, members: [memberOf('db', { level })] });
    for (const text of [describeRecovery(run), recoveryPage(run)]) {
      expect(text).not.toContain('was verified');
    }
  });

  it('says that it is under way while there is no verdict, and that a verdict of nobody is a failure', () => {
    const { verdict: _verdict, endedAt: _endedAt, ...open } = restoreOf();
    expect(describeRecovery(open).split('\n')[0]).toMatch(/^… under way/);
    expect(describeRecovery(open)).toContain('--resume');
    const odd = restoreOf({ verdict: 'splendid' as 'proven' });
    expect(describeRecovery(odd).split('\n')[0]).toMatch(/^✘ failed/);
  });

  it.each([80, 100, 120])('fits into %i columns', (width) => {
    const long = 'a'.repeat(60);
    const problem = { code: 'X', message: 'word '.repeat(60), hint: 'Wait.', object: long };
    const run = restoreOf({
      verdict: 'unproven',
      members: [memberOf(long, { level: 'unproven', message: 'word '.repeat(60) })],
      problems: [problem],
    });
    for (const line of describeRecovery(run, { width }).split('\n')) {
      expect(line.length, line).toBeLessThanOrEqual(width);
    }
  });

  it('has no control characters of others, and colour only where it is asked for', () => {
    const evil = evilRun();
    expect(describeRecovery(evil)).not.toMatch(/[^\P{C}\n]/u);
    expect(describeRecovery(restoreOf(), { color: true })).toContain('\u001b[');
  });

  it('stays one screen for hundreds of members', () => {
    const members = Array.from({ length: 500 }, (_, n) =>
      memberOf(`m-${n}`, { level: 'unproven', timeline: { gatedMs: 1, releasedMs: 2 } }),
    );
    const text = describeRecovery(restoreOf({ members, verdict: 'unproven' }));
    expect(text.split('\n').length).toBeLessThan(110);
    expect(text).toContain('and 440 more');
  });
});

describe('a drill', () => {
  it('says what its source is worth, and what was not tried', () => {
    const text = flat(describeRecovery(drillOf()));
    expect(text).toContain('This drill of backup nightly is done');
    expect(text).toContain('the backup nightly can be restored');
    expect(text).toContain('whether the applications come up was not tried');
    expect(describeRecovery(drillOf({ mode: 'application' }))).not.toContain('was not tried');
    const bad = flat(describeRecovery(drillOf({ verdict: 'unproven' })));
    expect(bad).toContain('Do not rely on the backup nightly until a drill of it is proven.');
    expect(bad).not.toContain('can be restored');
  });

  it('names what it left behind', () => {
    for (const text of [
      describeRecovery(drillOf({ removed: false })),
      recoveryPage(drillOf({ removed: false })),
    ]) {
      expect(flat(text)).toContain('Something that it made is left');
      expect(text).toContain('quiesce.dev/drill=shop-20261130030000-cd34');
    }
    expect(describeRecovery(drillOf())).not.toContain('is left');
  });
});

function evilRun(): RecoveryRun {
  const evil: RestoredMember = {
    namespace: EVIL,
    kind: EVIL,
    name: EVIL,
    engine: EVIL,
    level: EVIL as 'refused',
    message: EVIL,
    dataAt: EVIL,
    timeline: { gatedMs: 1, releasedMs: 2, readyMs: 3, verifiedMs: 4, healthyMs: 5 },
    problems: [{ code: EVIL, message: EVIL, hint: EVIL, object: EVIL }],
  };
  return drillOf({
    id: EVIL,
    group: EVIL,
    verdict: EVIL as 'failed',
    source: { kind: EVIL as 'backup', name: EVIL, namespaces: { [EVIL]: EVIL } },
    layers: [{ members: [evil], startedAt: EVIL, healthyAt: EVIL }],
    members: [evil],
    problems: [{ code: EVIL, message: EVIL, hint: `${EVIL}\n  ${EVIL}`, object: EVIL }],
    notKept: [{ member: evil, volume: EVIL, why: EVIL, declared: EVIL }],
    mode: EVIL as 'data',
    scratch: [EVIL],
    removed: false,
    startedAt: EVIL,
    endedAt: EVIL,
    shortened: EVIL,
  });
}

describe('a restore as a page', () => {
  it('is one file: no script, and nothing to load', () => {
    for (const page of [recoveryPage(restoreOf()), recoveryPage(drillOf())]) {
      expect(page).toMatch(/^<!doctype html>/);
      expect(page).not.toMatch(/<script|<link|<img|@import|url\(|https?:|\bon\w+=/);
      expect(page).toContain("default-src 'none'");
    }
  });

  it('has the bars of each member, the moment of its proof, and the same facts as the screen', () => {
    const page = recoveryPage(restoreOf());
    for (const phase of ['waiting', 'starting', 'checking']) {
      expect(page.match(new RegExp(`<rect class="${phase}"`, 'g'))).toHaveLength(3);
    }
    expect(page.match(/<path class="mark"/g)).toHaveLength(1);
    for (const part of ['16 h 2 min', '1 min 2 s', 'Layer 2 of 3', 'position', '8 GiB'])
      expect(page).toContain(part);
  });

  it('escapes everything that comes from a cluster', () => {
    const page = recoveryPage(evilRun());
    expect(page).not.toContain('<script');
    expect(page).not.toMatch(/[^\P{C}\n]/u);
    expect(page.match(/<title/g)?.length).toBe(page.match(/<\/title>/g)?.length);
  });
});

describe('a record of a run', () => {
  const mapOf = (report: unknown): object => ({
    data: { 'report.json': typeof report === 'string' ? report : JSON.stringify(report) },
  });
  const readBack = (report: unknown): RecoveryRun => {
    const run = storedRecovery(mapOf(report));
    if (typeof run === 'string') throw new Error(run);
    return run;
  };

  test('is shown as the run itself was', () => {
    for (const run of [restoreOf(), drillOf({ removed: false })]) {
      expect(recoveryPage(readBack(run))).toBe(recoveryPage(run));
      expect(describeRecovery(readBack(run))).toBe(describeRecovery(run));
    }
  });

  test('is shown as far as it can be read', () => {
    const odd = {
      ...drillOf(),
      members: [{ namespace: 'shop', kind: 'StatefulSet', name: 'db' }, 'nonsense', { name: 3 }],
      layers: 'none',
      problems: [{ code: 'X', message: 'It failed.' }, null],
      notKept: 7,
      rtoSeconds: 'long',
      scratch: undefined,
    };
    const text = describeRecovery(readBack(odd));
    expect(text).toContain('StatefulSet/db');
    expect(text).toContain('It failed.');
    expect(recoveryPage(readBack(odd))).toContain('not measured');
  });

  test.each([
    ['nothing', undefined],
    ['no JSON', '{'],
    ['another document', { kind: 'SnapshotRun' }],
    ['a verdict that nobody knows', { ...restoreOf(), verdict: 'splendid' }],
  ])('with %s is no run', (_, report) => {
    expect(storedRecovery(report === undefined ? {} : mapOf(report))).toBeTypeOf('string');
  });
});
