import { readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ALIASES, ANNOTATIONS, APPLICATION } from '../src/cluster/objects/names.ts';
import { createWebhookMetrics } from '../src/cluster/webhook/metrics.ts';
import { WEBHOOK_FLAGS } from '../src/cluster/webhook/options.ts';
import { baseSchema } from '../src/config/schema.ts';
import { catalogue } from '../src/errors.ts';
import { problemCodes } from './support/docs/facts.ts';
import { files, pages, read, root } from './support/docs/repository.ts';
import { metricsOfTheExporter, metricsOfTheSidecar, namesOf } from './support/exported-metrics.ts';

const withoutCode = (text: string): string =>
  text.replaceAll(/^(```|~~~)[^]*?^\1\s*$/gm, '').replaceAll(/`[^`\n]*`(?!\]\()/g, '');

/** The anchors GitHub makes of the headings. */
function anchorsOf(text: string): Set<string> {
  const seen = new Map<string, number>();
  const anchors = new Set<string>();
  for (const [, heading = ''] of text
    .replaceAll(/^(```|~~~)[^]*?^\1\s*$/gm, '')
    .matchAll(/^#{1,6} (.+)$/gm)) {
    const anchor = heading
      .trim()
      .toLowerCase()
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .replaceAll(/[^\p{L}\p{N}\p{M}_\- ]/gu, '')
      .replaceAll(' ', '-');
    const before = seen.get(anchor) ?? 0;
    seen.set(anchor, before + 1);
    anchors.add(before === 0 ? anchor : `${anchor}-${before}`);
  }
  return anchors;
}

/** What is wrong with one link, as a reader meets it. */
function brokenLink(page: string, link: string): string | undefined {
  const [path = '', anchor] = link.split('#');
  const target = path === '' ? resolve(root, page) : resolve(root, dirname(page), path);
  const name = relative(root, target);
  if (!files.some((one) => one === name || one.startsWith(`${name}/`)))
    return `${page}: ${link} is not there`;
  if (anchor !== undefined && !anchorsOf(readFileSync(target, 'utf8')).has(anchor)) {
    return `${page}: ${link} names no heading`;
  }
  return undefined;
}

test('every link and anchor of every page resolves', () => {
  const links = pages.flatMap((page) =>
    [...withoutCode(read(page)).matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = '']) => ({
      page,
      link,
    })),
  );
  const inside = links.filter(({ link }) => !/^(?:https?|mailto):/.test(link));
  expect(inside.length).toBeGreaterThan(100);
  expect(brokenLink('docs/velero.md', 'nowhere.md')).toBeDefined();
  expect(brokenLink('README.md', 'docs/velero.md#no-such-heading')).toBeDefined();
  expect(inside.map(({ page, link }) => brokenLink(page, link)).filter(Boolean)).toEqual([]);
});

test('whoever is told to thaw by hand is told a thaw that takes nobody else’s success', () => {
  // A plain thaw takes the one success of whatever is held, and a backup's own thaw then fails.
  const told = [...pages, ...files.filter((name) => name.startsWith('charts/quiesce/templates/'))]
    .filter((name) => name !== join('docs', 'commands.md') && !name.startsWith('bench'))
    .flatMap((name) => {
      const text = read(name);
      const blocks = name.endsWith('.md')
        ? [...text.matchAll(/^```sh\n([^]*?)^```/gm)].map(([, block = '']) => block)
        : [text];
      const spans = [...text.matchAll(/`(kubectl [^`\n]+)`/g)].map(([, span = '']) => span);
      return [...blocks.flatMap((block) => block.split('\n')), ...spans].map((line) => ({
        name,
        line,
      }));
    })
    .filter(({ line }) => /\bquiesce thaw\b|\/v1\/thaw\b/.test(line));
  expect(told.length).toBeGreaterThan(6);
  const safe = /thaw\b.*(?:--abandon|--id |"abandon":true|"id":)/;
  expect(told.filter(({ line }) => !safe.test(line))).toEqual([]);
});

describe('what the pages name is what the code knows, and the other way round', () => {
  const docs = pages
    .filter((page) => page !== 'CONTRIBUTING.md')
    .map(read)
    .join('\n');
  const named = (pattern: RegExp): Set<string> =>
    new Set([...docs.matchAll(pattern)].map(([name]) => name));

  test('settings of the sidecar', () => {
    const known = Object.keys(baseSchema(['postgres']).shape);
    // Read by the tests, by the chart's tools, by the webhook, and by prepare-restore.
    const others = /^QUIESCE_(?:TEST_|CACHE$|WEBHOOK_|RESTORE_SCAN$)/;
    const found = [...named(/\bQUIESCE_[A-Z_]*[A-Z]\b/g)].filter((name) => !others.test(name));
    expect(found.sort()).toEqual(known.sort());
  });

  test('flags of the webhook, with their defaults', () => {
    const page = read('docs/webhook.md');
    const table = page.slice(page.indexOf('## Running it'), page.indexOf('## Certificates'));
    const rows = [...table.matchAll(/^\| `--([a-z-]+) [^`]+` \| (?:`([^`]+)`|[^|]+) \|/gm)];
    expect(rows.map(([, flag = '']) => flag).sort()).toEqual(Object.keys(WEBHOOK_FLAGS).sort());
    for (const [, flag = '', value] of rows) {
      expect(value ?? '', flag).toBe(WEBHOOK_FLAGS[flag]);
    }
  });

  test('annotations', () => {
    const page = read('docs/webhook.md');
    const table = page.slice(
      page.indexOf('### Annotations'),
      page.indexOf("### A user's own hooks"),
    );
    const rows = [...table.matchAll(/^\| ((?:`[a-z-]+`(?:, )?)+) \|/gm)].flatMap(([, names = '']) =>
      names.split(', ').map((name) => `quiesce.dev/${name.slice(1, -1)}`),
    );
    const known = [...Object.values(ANNOTATIONS), ...Object.values(APPLICATION)];
    expect(rows.sort()).toEqual(known.sort());
    for (const alias of Object.values(ALIASES)) expect(table).toContain(`\`${alias}\``);
  });

  test('error codes', () => {
    // The families of ours: other programs have codes and variables, too.
    const families = new Set(Object.keys(catalogue).map((code) => code.replace(/_.*/, '_')));
    const findings = problemCodes();
    const found = [...named(/(?<=`)[A-Z]+_[A-Z_]+(?=`)/g)].filter(
      (name) => families.has(name.replace(/_.*/, '_')) && !findings.has(name),
    );
    expect(found.filter((name) => !(name in catalogue))).toEqual([]);
  });

  test('metrics', async () => {
    const exporter = await metricsOfTheExporter();
    const text = `${await metricsOfTheSidecar()}\n${await createWebhookMetrics().text()}\n${exporter}`;
    const pattern =
      /\b(?:stateful_backup|quiesce_webhook|quiesce_exporter|volume_snapshot)_[a-z_]*[a-z]\b/g;
    const ours = namesOf(text).filter((name) =>
      /^(?:stateful_backup|quiesce_webhook|quiesce_exporter|volume_snapshot)_/.test(name),
    );
    expect([...named(pattern)].sort()).toEqual(ours.sort());
  });

  test('warnings and Events of the webhook', () => {
    const sources = files.filter((name) => /^src\/cluster\/(?:inject|webhook)\//.test(name));
    const codes = sources.flatMap((name) =>
      [...read(name).matchAll(/\bcode: '([A-Z][A-Za-z]+)'/g)].map(([, code = '']) => code),
    );
    const page = read('docs/webhook.md');
    const table = page.slice(page.indexOf('### Warnings and Events'), page.indexOf('## Without'));
    const named = [...table.matchAll(/`([A-Z][A-Za-z]+)`/g)].map(([, code = '']) => code);
    // Says nothing: the pod has not asked.
    const told = new Set(codes.filter((code) => code !== 'NotOptedIn'));
    expect(named.sort()).toEqual([...told].sort());
  });

  test('values of the chart', () => {
    const values = read('charts/quiesce/README.md');
    const known = [...values.matchAll(/^\| `([A-Za-z.]+)` \|/gm)].map(([, key = '']) => key);
    const sections = [...new Set(known.map((key) => key.split('.')[0]))].join('|');
    const pattern = new RegExp(`(?<=[\`\\s=(])(?:${sections})\\.[A-Za-z]+(?:\\.[A-Za-z]+)*`, 'g');
    const found = [...named(pattern)].filter((name) => !/\.(?:md|mjs|ts|png|json)$/.test(name));
    const isKnown = (name: string): boolean =>
      known.some((key) => key === name || key.startsWith(`${name}.`) || name.startsWith(`${key}.`));
    expect(found.length).toBeGreaterThan(15);
    expect(found.filter((name) => !isKnown(name))).toEqual([]);
  });
});
