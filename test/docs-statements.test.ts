import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createWebhookMetrics } from '../src/cluster/webhook/metrics.ts';
import { WEBHOOK_FLAGS } from '../src/cluster/webhook/options.ts';
import { SCAN_VARIABLE } from '../src/defaults.ts';
import { baseSchema } from '../src/config/schema.ts';
import { catalogue } from '../src/errors.ts';
import { overview } from '../src/shim/help.ts';
import {
  SUMMARIES,
  VERBS,
  flagExists,
  helpOf,
  problemCodes,
  requestExists,
} from './support/docs/facts.ts';
import {
  type Source,
  code,
  documents,
  falseIn,
  files,
  page,
  read,
  root,
} from './support/docs/repository.ts';
import {
  type FlagNamed,
  codesOf,
  flagsOfCommands,
  flagsOfHelp,
  flagsOfSpans,
  metricsOf,
  pathsOf,
  requestsOf,
  settingsOf,
  verbsOfCode,
  verbsOfHints,
} from './support/docs/statements.ts';
import { metricsOfTheExporter, metricsOfTheSidecar, namesOf } from './support/exported-metrics.ts';

const everything = [...documents(), ...code()];

describe('flags', () => {
  /** Of other programs, where a page quotes one alone. */
  const OTHERS: Readonly<Record<string, RegExp>> = {
    'docs/engines/mongodb.md': /^--(?:replSet|keyFile|auth|setParameter)$/,
    'docs/engines/mongodb-facts.md': /^--oplog$/,
    'docs/migration.md': /^--oplog$/,
    'docs/velero.md': /^--(?:csi-snapshot-early-frequent-polling|features|details)$/,
    'charts/quiesce/README.md': /^--(?:set|api-versions)$/,
    'charts/quiesce/README.tmpl.md': /^--(?:set|api-versions)$/,
    'CONTRIBUTING.md': /./,
  };
  const quoted = (text: string): FlagNamed[] => flagsOfSpans(text, VERBS);
  const known = async (named: FlagNamed, { name }: Source): Promise<boolean> =>
    (named.verb === undefined && OTHERS[name]?.test(named.flag) === true) ||
    (await flagExists(named));

  test('behind a verb: the verb takes it', async () => {
    const planted = [
      'Run `quiesce verify --deeply`.',
      '```sh\nkubectl exec db-0 -c quiesce -- quiesce thaw --force   # never\n```',
      'command: \'["quiesce","freeze","--patience","25s"]\'',
      'npm run demo -- --forever',
      'quiesce receipts --abandon',
      'quiesce webhook --image X \\\n  --colour red',
    ];
    for (const text of planted) {
      expect(await falseIn([page(text)], flagsOfCommands, known), text).toHaveLength(1);
    }
    expect(everything.flatMap(({ text }) => flagsOfCommands(text)).length).toBeGreaterThan(60);
    expect(await falseIn(everything, flagsOfCommands, known)).toEqual([]);
  });

  test('alone, or behind a verb without the name of the program', async () => {
    for (const text of ['Say `--patience 3`.', 'Say `thaw --force`.', 'Say `status --id X`.']) {
      expect(await falseIn([page(text)], quoted, known), text).toHaveLength(1);
    }
    const markdown = documents().filter(({ name }) => name.endsWith('.md'));
    expect(markdown.flatMap(({ text }) => quoted(text)).length).toBeGreaterThan(60);
    expect(await falseIn(markdown, quoted, known)).toEqual([]);
  });

  test('of every help text', async () => {
    expect(flagsOfHelp('  --id ID   what\n  -o, --output F\n text --no')).toEqual([
      '--id',
      '--output',
    ]);
    expect(await flagExists({ verb: 'freeze', flag: '--abandon' })).toBe(false);
    for (const verb of VERBS) {
      const named = flagsOfHelp(await helpOf(verb));
      const missing = await falseIn(
        [page('')],
        () => named,
        async (flag) => await flagExists({ verb, flag }),
      );
      expect(missing, verb).toEqual([]);
    }
    const explained = flagsOfHelp(await helpOf('webhook')).map((flag) => flag.slice(2));
    expect(explained.sort()).toEqual(Object.keys(WEBHOOK_FLAGS).sort());
  });
});

test('every verb that is named exists', async () => {
  const known = (verb: string): boolean => VERBS.includes(verb);
  for (const text of [
    '`quiesce capture`',
    '```\nquiesce rehearse -n shop\n```',
    '`kubectl exec -- quiesce undo`',
  ]) {
    expect(await falseIn([page(text)], verbsOfCode, known), text).toHaveLength(1);
  }
  expect(
    await falseIn([page("hint: 'Run quiesce frozen --id X'")], verbsOfHints, known),
  ).toHaveLength(1);
  expect(await falseIn(documents(), verbsOfCode, known)).toEqual([]);
  expect(await falseIn(everything, verbsOfHints, known)).toEqual([]);
  const listed = [...overview(SUMMARIES).matchAll(/^ {2}([a-z-]+) {2,}/gm)].map(([, verb]) => verb);
  expect(new Set(listed)).toEqual(new Set(VERBS));
});

test('every metric that is named is exported', async () => {
  const exporter = await metricsOfTheExporter();
  const text = `${await metricsOfTheSidecar()}\n${await createWebhookMetrics().text()}\n${exporter}`;
  const exported = new Set(
    namesOf(text).flatMap((name) =>
      ['', '_bucket', '_sum', '_count'].map((end) => `${name}${end}`),
    ),
  );
  const known = (name: string): boolean => exported.has(name);
  for (const name of [
    'stateful_backup_frozen_seconds',
    'quiesce_webhook_pods_total',
    'quiesce_exporter_reads_total',
    'volume_snapshot_lost_total',
  ]) {
    expect(await falseIn([page(`alert on ${name} > 0`)], metricsOf, known), name).toHaveLength(1);
  }
  const named = documents().flatMap((source) => metricsOf(source.text));
  expect(named.filter((name) => name.startsWith('volume_snapshot_')).length).toBeGreaterThan(4);
  expect(await falseIn(everything, metricsOf, known)).toEqual([]);
});

test('every setting that is named exists', async () => {
  const webhook = Object.keys(WEBHOOK_FLAGS).map(
    (flag) => `QUIESCE_WEBHOOK_${flag.toUpperCase().replaceAll('-', '_')}`,
  );
  const settings = new Set([
    ...Object.keys(baseSchema(['postgres']).shape),
    ...webhook,
    'QUIESCE_CACHE',
    SCAN_VARIABLE,
  ]);
  const tests = files
    .filter((name) => /^(?:test|scripts|vitest)/.test(name) && /\.(?:ts|mjs)$/.test(name))
    .filter((name) => !name.startsWith('test/docs'));
  const used = new Set(tests.flatMap((name) => settingsOf(read(name))));
  // A setting may also be read from a file, or lack: NAME_FILE and NAME_DEFAULT go with each.
  const known = (name: string): boolean =>
    settings.has(name.replace(/_(?:FILE|DEFAULT)$/, '')) ||
    (/^QUIESCE_(?:TEST|VELERO)_/.test(name) && used.has(name));
  for (const name of ['QUIESCE_PATIENCE', 'QUIESCE_WEBHOOK_COLOUR', 'QUIESCE_TEST_NOTHING_READS']) {
    expect(await falseIn([page(`Set \`${name}=1\`.`)], settingsOf, known), name).toHaveLength(1);
  }
  expect(await falseIn(everything, settingsOf, known)).toEqual([]);
});

test('every error code that is named exists', async () => {
  const families = new Set(Object.keys(catalogue).map((one) => one.replace(/_.*/, '_')));
  const findings = problemCodes();
  // A constant of Velero's and names of its environment share a family with ours.
  const known = (one: string): boolean =>
    one in catalogue || findings.has(one) || one === 'NOT_VERIFIED';
  const codes = (text: string): string[] => codesOf(text, families);
  expect(await falseIn([page('fails with FREEZE_HALF, or `NOT_TRUE`')], codes, known)).toHaveLength(
    2,
  );
  expect(await falseIn(documents(), codes, known)).toEqual([]);
});

test('every file of the repository that is named exists', async () => {
  const known = (path: string): boolean => existsSync(join(root, path)) || path.startsWith('dist/');
  for (const text of [
    'see docs/nowhere.md',
    "hint: 'Run sql/postgres-role.sql'",
    '`redis/acl.conf`',
  ]) {
    expect(await falseIn([page(text)], pathsOf, known), text).toHaveLength(1);
  }
  expect(await falseIn(everything, pathsOf, known)).toEqual([]);
});

test('every request that is named is answered', async () => {
  for (const text of [
    '`GET /v1/receipt`',
    'q /v1/states | jq',
    '`DELETE /v1/freeze`',
    'curl http://POD:9095/health',
  ]) {
    expect(await falseIn([page(text)], requestsOf, requestExists), text).not.toEqual([]);
  }
  expect(documents().flatMap(({ text }) => requestsOf(text)).length).toBeGreaterThan(20);
  expect(await falseIn(everything, requestsOf, requestExists)).toEqual([]);
});
