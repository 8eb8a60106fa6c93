import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { createWebhookMetrics } from '../../src/cluster/webhook/metrics.ts';
import { metricsOfTheExporter, metricsOfTheSidecar, namesOf } from '../support/exported-metrics.ts';
import { BUILD_TIMEOUT_MS, CHART, one, realHelm } from '../support/helm.ts';
import { APPLICATIONS, EVERYTHING } from './values.ts';

const run = promisify(execFile);

interface Panel {
  readonly id: number;
  readonly title: string;
  readonly type: string;
  readonly gridPos: {
    readonly x: number;
    readonly y: number;
    readonly w: number;
    readonly h: number;
  };
  readonly targets?: readonly { readonly expr: string }[];
}

/** The metric of Prometheus itself. */
const OF_OTHERS = /^up$/;
const METRIC =
  /\b(?:stateful_backup|volume_snapshot|quiesce_webhook|quiesce_exporter|process)_\w+|\bup\b/g;
/** What a histogram exports. */
const PART = /_(?:bucket|sum|count)$/;

let panels: readonly Panel[];
let exported: ReadonlySet<string>;

beforeAll(async () => {
  const text = await readFile(join(CHART, 'dashboards/quiesce.json'), 'utf8');
  panels = (JSON.parse(text) as { panels: Panel[] }).panels;
  const texts = await Promise.all([
    metricsOfTheSidecar(),
    metricsOfTheExporter(),
    createWebhookMetrics().text(),
  ]);
  exported = new Set(namesOf(texts.join('\n')));
});

const unknownIn = (expr: string): string[] =>
  [...expr.matchAll(METRIC)]
    .map(([name]) => name)
    .filter((name) => !exported.has(name) && !exported.has(name.replace(PART, '')))
    .filter((name) => !OF_OTHERS.test(name));

test('every query is valid PromQL', async () => {
  const rules = panels.flatMap(({ id, targets = [] }) =>
    targets.map(({ expr }, at) => ({
      record: `panel:${id}:${at}`,
      expr: expr.replaceAll('$__interval', '5m'),
    })),
  );
  expect(rules.length).toBeGreaterThan(15);
  const dir = await mkdtemp(join(tmpdir(), 'q-dashboard-'));
  const file = join(dir, 'rules.yaml');
  await writeFile(file, stringify({ groups: [{ name: 'dashboard', rules }] }));
  const { stdout } = await run('promtool', ['check', 'rules', file]);
  expect(stdout).toContain(`${rules.length} rules found`);
  await rm(dir, { recursive: true, force: true });
});

test('every query uses exported metrics', () => {
  for (const { title, targets = [] } of panels) {
    for (const { expr } of targets) expect(unknownIn(expr), title).toEqual([]);
  }
});

test(
  'every alert uses exported metrics',
  async () => {
    const helm = await realHelm();
    const { groups } = one(await helm.template(...EVERYTHING, ...APPLICATIONS), 'PrometheusRule')[
      'spec'
    ] as {
      groups: { rules: { alert: string; expr: string }[] }[];
    };
    for (const { alert, expr } of groups.flatMap(({ rules }) => rules)) {
      expect(expr.match(METRIC), alert).not.toBeNull();
      expect(unknownIn(expr), alert).toEqual([]);
    }
  },
  BUILD_TIMEOUT_MS,
);

test('no two panels overlap, and none is wider than the grid', () => {
  const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
    Array.from({ length: w * h }, (_, i) => `${x + (i % w)},${y + Math.floor(i / w)}`),
  );
  expect(new Set(cells).size).toBe(cells.length);
  for (const { gridPos } of panels) expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24);
});
