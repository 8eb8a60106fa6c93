import { describe, expect, test } from 'vitest';
import { toEngineError } from '../../../src/engines/mongodb/connection/errors.ts';
import {
  majorityWithout,
  type Member,
  type SetView,
} from '../../../src/engines/mongodb/freeze/replica-set.ts';
import { redact } from '../../../src/engines/mongodb/metadata/metadata.ts';
import { compareOpTimes, formatOpTime, parseOpTime } from '../../../src/engines/mongodb/optime.ts';
import { nextSteps } from '../../../src/engines/mongodb/restore/next-steps.ts';
import { tablesIn } from '../../../src/engines/mongodb/restore/prepare-restore.ts';
import { parseSettings } from '../../../src/engines/mongodb/connection/settings.ts';

describe('settings', () => {
  test('select the server on this machine by default', () => {
    const { settings, issues } = parseSettings({});
    expect(issues).toEqual([]);
    expect(settings.target).toBe('127.0.0.1:27017');
    expect(settings.options).toMatchObject({ directConnection: true, retryWrites: false });
  });

  test.each([
    ['mongodb://a:1,b:2/', /several servers/],
    ['mongodb+srv://cluster.example.com/', /mongodb\+srv/],
    ['mongodb://a/?directConnection=false', /directConnection/],
    ['postgres://a/', /begin with mongodb/],
    ['mongodb://u:p@ss@a/', /not a connection string|percent-encoded/],
    ['mongodb://a/?nonsense=1', /option nonsense/],
  ])('%s is refused, by name and without its value', (uri, why) => {
    const { issues } = parseSettings({ MONGODB_URI: uri });
    expect(issues).toHaveLength(1);
    expect(issues[0]?.name).toBe('MONGODB_URI');
    expect(issues[0]?.message).toMatch(why);
    expect(issues[0]?.message).not.toContain('p@ss');
  });

  test('report a user without a password', () => {
    const { issues } = parseSettings({ MONGODB_USERNAME: 'me' });
    expect(issues.map(({ name }) => name)).toEqual(['MONGODB_PASSWORD']);
  });

  test('report a password without a user', () => {
    const { issues } = parseSettings({ MONGODB_PASSWORD: 's3cret' });
    expect(issues).toEqual([
      { name: 'MONGODB_PASSWORD', message: 'needs MONGODB_USERNAME as well' },
    ]);
  });
});

describe('errors', () => {
  const context = {
    doing: 'connect',
    target: 'a:1',
    secrets: ['s3cret', 'mongodb://u:s3cret@a:1/'],
  };

  test('contain no secret and no object of the driver', () => {
    const original = Object.assign(new Error('bad auth for mongodb://u:s3cret@a:1/ with s3cret'), {
      code: 18,
    });
    const made = toEngineError(original, context);
    expect(made.code).toBe('ENGINE_AUTH');
    expect(made.message).not.toContain('s3cret');
    expect(made.cause).toBeUndefined();
  });

  test.each([
    [
      {
        code: 13,
        message:
          'not authorized on admin to execute command { fsync: 1, lsid: { id: UUID("x") }, $db: "admin" }',
      },
      'ENGINE_PRIVILEGE',
    ],
    [{ code: 13, message: 'command fsync requires authentication' }, 'ENGINE_AUTH'],
    [{ code: 11_600, message: 'interrupted at shutdown' }, 'ENGINE_STARTING'],
    [
      { name: 'MongoNetworkError', message: 'connect ECONNREFUSED 127.0.0.1:1' },
      'ENGINE_UNREACHABLE',
    ],
    [
      { name: 'MongoNetworkError', message: 'x', cause: { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' } },
      'ENGINE_TLS',
    ],
    [{ code: 72, message: 'no' }, 'ENGINE_FAILED'],
  ])('%j is %s', (error, code) => {
    expect(toEngineError(Object.assign(new Error(), error), context).code).toBe(code);
  });
});

describe('positions', () => {
  test('are read back as they were written', () => {
    const opTime = { seconds: 1_700_000_000, increment: 7, term: 3 };
    expect(parseOpTime(formatOpTime(opTime))).toEqual(opTime);
    expect(parseOpTime('1:2')).toBeUndefined();
  });

  test('compare by term, then by time', () => {
    const at = (seconds: number, increment: number, term: number) => ({ seconds, increment, term });
    expect(compareOpTimes(at(5, 1, 1), at(4, 9, 1))).toBeGreaterThan(0);
    expect(compareOpTimes(at(5, 1, 1), at(5, 2, 1))).toBeLessThan(0);
    expect(compareOpTimes(at(9, 1, 1), at(1, 1, 2))).toBeLessThan(0);
  });
});

describe('the majority without a member', () => {
  const member = (id: number, state: string, more: Partial<Member> = {}): Member => ({
    id,
    host: `h${id}`,
    state,
    healthy: !state.startsWith('('),
    self: id === 0,
    votes: 1,
    hidden: false,
    arbiter: state === 'ARBITER',
    delaySeconds: 0,
    opTime: undefined,
    heartbeatAt: undefined,
    ...more,
  });
  const view = (...members: Member[]): SetView => ({
    name: 'rs0',
    term: 1,
    replicaSetId: 'x',
    members,
    committed: undefined,
  });
  const DOWN = '(not reachable/healthy)';
  const none = new Set<string>();

  test.each([
    ['one alone', [member(0, 'PRIMARY')], none, true],
    ['two', [member(0, 'PRIMARY'), member(1, 'SECONDARY')], none, false],
    ['three', [member(0, 'PRIMARY'), member(1, 'SECONDARY'), member(2, 'SECONDARY')], none, true],
    [
      'three, one down',
      [member(0, 'PRIMARY'), member(1, 'SECONDARY'), member(2, DOWN)],
      none,
      false,
    ],
    [
      'three, one locked',
      [member(0, 'SECONDARY'), member(1, 'PRIMARY'), member(2, 'SECONDARY')],
      new Set(['h2']),
      false,
    ],
    [
      'primary, secondary, arbiter',
      [member(0, 'PRIMARY'), member(1, 'SECONDARY'), member(2, 'ARBITER')],
      none,
      true,
    ],
    [
      'a member without a vote next to two',
      [member(0, 'SECONDARY', { votes: 0 }), member(1, 'PRIMARY'), member(2, 'SECONDARY')],
      none,
      true,
    ],
    [
      'five, two down',
      [
        member(0, 'PRIMARY'),
        member(1, 'SECONDARY'),
        member(2, 'SECONDARY'),
        member(3, DOWN),
        member(4, DOWN),
      ],
      none,
      false,
    ],
  ] as const)('of %s', (_name, members, locked, kept) => {
    expect(majorityWithout(view(...members), locked).kept).toBe(kept);
  });

  test('acknowledges w: majority only with enough members that hold data', () => {
    const three = view(member(0, 'SECONDARY'), member(1, 'PRIMARY'), member(2, 'SECONDARY'));
    expect(majorityWithout(three, none).writesGoOn).toBe(true);
    const arbitrated = view(member(0, 'SECONDARY'), member(1, 'PRIMARY'), member(2, 'ARBITER'));
    expect(majorityWithout(arbitrated, none).writesGoOn).toBe(false);
  });
});

test('settings that are named like a secret are redacted', () => {
  const shown = redact({
    net: { tls: { certificateKeyFilePassword: 'x', mode: 'requireTLS' } },
    list: [{ token: 'y' }],
  });
  expect(shown).toEqual({
    net: { tls: { certificateKeyFilePassword: '(redacted)', mode: 'requireTLS' } },
    list: [{ token: '(redacted)' }],
  });
});

test('the tables of a backup are the files listed in it', () => {
  const text =
    'colgroup:a\nsource="file:collection-1.wt"\nfile:collection-1.wt\nx=y\nfile:index-2.wt\nz\nfile:../evil.wt\n';
  expect(tablesIn(text).map(({ name }) => name)).toEqual(['collection-1.wt', 'index-2.wt']);
});

test('a member that starts alone keeps the compressor of its journal', () => {
  const restore = { set: { name: 'rs0' }, shard: false } as Parameters<typeof nextSteps>[0];
  const alone = nextSteps(restore).find((step) => step.includes('recoverFromOplogAsStandalone'));
  expect(alone).toContain('storage options as before');
  expect(alone).toContain('--wiredTigerJournalCompressor');
});
