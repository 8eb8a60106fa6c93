import { readdirSync } from 'node:fs';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { exitOf } from '../../src/cluster/snapshot/exit.ts';
import { APPLICATION_EXITS } from '../../src/commands/application-flags.ts';
import { verb } from '../../src/commands/verb.ts';
import { catalogue, type ErrorCode, QuiesceError } from '../../src/errors.ts';
import { oneOf } from '../../src/lib/command-line/flags.ts';
import { read } from '../support/docs/repository.ts';

/** 1 unexpected, 2 usage or a bad plan, 3 not reachable, 4 held or under way, 5 failed, 6 too late. */
const EXITS = {
  USAGE: 2,
  MANIFEST_INVALID: 2,
  NO_MEMBERS: 2,
  NO_VOLUMES: 2,
  PLAN_CYCLE: 2,
  PLAN_SELF_DEPENDENCY: 2,
  PLAN_UNKNOWN_NAME: 2,
  MEMBER_WITHOUT_SIDECAR: 2,
  CLAIM_NOT_BOUND: 2,
  CLAIM_WITHOUT_CLASS: 2,
  VOLUME_NOT_SNAPSHOTTABLE: 2,
  SNAPSHOT_CLASS_AMBIGUOUS: 2,
  SNAPSHOT_CLASS_PARAMETERS: 2,
  SNAPSHOT_API_MISSING: 2,
  GROUP_NAME_TAKEN: 2,
  INVALID_FIELD: 2,
  RUN_NOT_FOUND: 2,
  BACKUP_NOT_FOUND: 2,
  BACKUP_NOT_COMPLETED: 2,
  CLUSTER_UNREACHABLE: 3,
  SIDECAR_UNREACHABLE: 3,
  FORBIDDEN: 3,
  MEMBER_NOT_READY: 3,
  BACKUP_UNREACHABLE: 3,
  MEMBER_HELD: 4,
  RUN_UNDER_WAY: 4,
  FREEZE_HELD: 4,
  ENGINE_MAJORITY: 5,
  RUN_INTERRUPTED: 5,
  RUN_LEASE_LOST: 5,
  RESTORE_TARGET_TAKEN: 2,
  RESTORE_NOT_GATED: 2,
  RESTORE_IMPOSSIBLE: 2,
  BACKUP_INVALID: 5,
  RESTORE_FAILED: 5,
  RESTORE_NOT_CREATED: 5,
  PRUNE_FAILED: 5,
  RECORD_FAILED: 5,
  FREEZE_TIMEOUT: 6,
  RUN_TOO_LATE: 6,
  INTERNAL: 1,
} as const satisfies Partial<Record<ErrorCode, number>>;
const CODES = Object.keys(EXITS) as (keyof typeof EXITS)[];

afterEach(() => vi.restoreAllMocks());

const run = verb({
  name: 'try',
  usage: ['--with CODE'],
  about: 'Fails as asked.',
  flags: { with: oneOf(CODES, 'the code', { fallback: 'USAGE' }) },
  formats: ['text', 'json', 'html'],
  exits: { 0: 'done' },
  exitCodes: APPLICATION_EXITS,
  work: async (options) => {
    throw new QuiesceError(options.with, 'It failed.');
  },
});

async function ended(...args: string[]) {
  let [out, err] = ['', ''];
  vi.spyOn(process.stdout, 'write').mockImplementation((part: unknown, done?: unknown) => {
    out += String(part);
    if (typeof done === 'function') done();
    return true;
  });
  vi.spyOn(process.stderr, 'write').mockImplementation((part) => ((err += String(part)), true));
  const code = await run(args);
  vi.restoreAllMocks();
  return { code, out, err };
}

describe('verbs of applications', () => {
  it.each(CODES)('report %s as a document on stdout, or as a line on stderr', async (code) => {
    const json = await ended('--with', code, '-o', 'json');
    expect(json).toMatchObject({ code: EXITS[code], err: '' });
    expect(JSON.parse(json.out)).toMatchObject({ error: { code, message: 'It failed.' } });
    for (const format of ['text', 'html']) {
      const people = await ended('--with', code, '-o', format);
      expect(people).toMatchObject({ code: EXITS[code], out: '' });
      expect(people.err).toContain(`quiesce: ${code}: It failed.`);
    }
  });

  it('exit with a code for every error that their parts can give', () => {
    const parts = [
      'backup',
      'plan',
      'plan/kept',
      'snapshot',
      'snapshot/report',
      'restore',
      'restore/from-backup',
    ];
    const files = parts
      .map((one) => `src/cluster/${one}`)
      .flatMap((folder) =>
        readdirSync(folder)
          .filter((one) => one.endsWith('.ts'))
          .map((one) => `${folder}/${one}`),
      );
    const verbs = ['application-flags', 'plan', 'snapshot', 'snapshots', 'restore', 'exporter'];
    const all = [...files, ...verbs.map((one) => `src/commands/${one}.ts`)].map(read).join('\n');
    const used = [...all.matchAll(/'([A-Z]+(?:_[A-Z]+)*)'/g)]
      .map(([, code = '']) => code)
      .filter((code) => Object.hasOwn(catalogue, code));
    expect(used.length).toBeGreaterThan(20);
    expect([...new Set(used)].filter((code) => !Object.hasOwn(EXITS, code))).toEqual([]);
  });

  it('say the same of a run that failed after it had begun, where a caller can act on it', () => {
    for (const code of CODES) {
      const exit = exitOf({ verdict: 'failed', problems: [{ code, message: '' }] });
      expect(exit, code).toBe([3, 4, 6].includes(EXITS[code]) ? EXITS[code] : 5);
    }
    const of = (verdict: 'proven' | 'unproven' | 'failed', code = 'NOT_CUT') =>
      exitOf({ verdict, problems: [{ code, message: '' }] });
    expect([of('proven'), of('unproven'), of('failed'), of('failed', 'toString')]).toEqual([
      0, 7, 5, 5,
    ]);
  });
});
