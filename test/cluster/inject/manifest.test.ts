import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { text } from '../../../src/lib/command-line/flags.ts';
import { readFlags } from '../../../src/lib/command-line/read-flags.ts';
import { injectManifest } from '../../../src/cluster/inject/manifest.ts';
import type { QuiesceError } from '../../../src/errors.ts';
import { CONFIG } from '../../support/pods.ts';

const STATEFUL_SET = `# the shop's database
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: shop-db # a name
spec:
  template:
    metadata:
      labels: { app: shop, quiesce.dev/inject: "true" }
    spec:
      containers:
        - name: postgres
          image: postgres:17
          volumeMounts: [{ name: data, mountPath: /var/lib/postgresql/data }]
  volumeClaimTemplates:
    - metadata: { name: data }
`;

interface Template {
  spec: { template: { spec: { containers: { name: string }[] } } };
}

const refusal = (text: string): QuiesceError => {
  try {
    injectManifest(text, CONFIG);
  } catch (error) {
    return error as QuiesceError;
  }
  throw new Error('the manifest was not refused');
};

describe('quiesce inject', () => {
  it('adds the sidecar to the template, keeps comments, and changes nothing the second time', () => {
    const first = injectManifest(STATEFUL_SET, CONFIG);
    expect(first.text).toContain("# the shop's database");
    expect(first.text).toContain('name: shop-db # a name');
    const { spec } = parse(first.text) as Template;
    expect(spec.template.spec.containers.map(({ name }) => name)).toEqual(['postgres', 'quiesce']);
    expect(first.reports).toEqual([
      { object: 'StatefulSet/shop-db', outcome: 'injected', notices: [] },
    ]);
    const second = injectManifest(first.text, CONFIG);
    expect(second.text).toBe(first.text);
    expect(second.reports[0]?.outcome).toBe('unchanged');
  });

  it('keeps every other object byte for byte', () => {
    const other = 'apiVersion: v1\nkind: ConfigMap # keep me\ndata:\n  a: "1"\n';
    const { text } = injectManifest(`${other}---\n${STATEFUL_SET}`, CONFIG);
    expect(text.startsWith(`${other}---\n`)).toBe(true);
  });

  it('reads and writes numbers and booleans as kubectl does', () => {
    const modes = STATEFUL_SET.replace(
      'spec:\n      containers:',
      `spec:
      volumes: [{ name: s, configMap: { name: s, defaultMode: 0755 } }]
      hostIPC: no
      containers:`,
    ).replace(
      'image: postgres:17',
      "image: postgres:17\n          env: [{ name: POSTGRES_USER, value: 'yes' }]",
    );
    const { text } = injectManifest(modes, CONFIG);
    expect(text).toContain('defaultMode: 0755');
    expect(text).toContain('hostIPC: no');
    expect(text).toMatch(/name: PGUSER\n +value: ["']yes["']/);
    expect(text).not.toContain('%YAML');
  });

  it('keeps documents without a change byte for byte, odd ones as well', () => {
    const odd =
      "# odd\n---\nkind:   ConfigMap\ndata: {a: 'x',\n  b: y}   # c\n\n\n---\n# only a comment\n";
    const { text } = injectManifest(`${odd}---\n${STATEFUL_SET}...\n---\n${odd}`, CONFIG);
    expect(text.startsWith(odd)).toBe(true);
    expect(text.endsWith(odd)).toBe(true);
  });

  it('adds lines to a document and rewrites none, whatever its style', () => {
    const compact = [
      '# Source: chart/templates/empty.yaml',
      '---',
      '',
      '---',
      STATEFUL_SET.replaceAll('{ ', '{')
        .replaceAll(' }', '}')
        .replace('        - name: postgres', '      - name: postgres')
        .replaceAll('\n          image', '\n        image')
        .replace('\n          volumeMounts', '\n        env: # none\n        volumeMounts')
        .replace(
          '    spec:\n',
          '    spec:\n      terminationGracePeriodSeconds: 1e2\n      hostIPC: no\n',
        )
        .replace('    - metadata', '  - metadata'),
      '---',
      '',
    ].join('\n');
    for (const source of [compact, compact.replaceAll('\n', '\r\n')]) {
      const { text } = injectManifest(source, CONFIG);
      const printed = text.split('\n');
      let at = -1;
      for (const line of source.split('\n')) {
        at = printed.indexOf(line, at + 1);
        expect([line, at === -1]).toEqual([line, false]);
      }
      const ends = printed.slice(0, -1).map((line) => line.endsWith('\r'));
      expect(new Set(ends)).toEqual(new Set([source.includes('\r')]));
      expect(injectManifest(text, CONFIG).text).toBe(text);
    }
  });

  it('treats empty fields as absent', () => {
    const empty = ['env:', 'ports:', 'args:', 'envFrom:', 'securityContext:', 'resources:'];
    const text = STATEFUL_SET.replace(
      'image: postgres:17',
      ['image: postgres:17', ...empty].join('\n          '),
    ).replace(
      'spec:\n      containers:',
      'spec:\n      initContainers:\n      volumes:\n      containers:',
    );
    const { spec } = parse(injectManifest(text, CONFIG).text) as Template;
    expect(spec.template.spec.containers.map(({ name }) => name)).toEqual(['postgres', 'quiesce']);
  });

  it('reports what an API server would refuse, instead of working around it', () => {
    const bare = STATEFUL_SET.replace('inject: "true"', 'inject: true');
    expect(refusal(bare).message).toMatch(
      /StatefulSet\/shop-db: quiesce\.dev\/inject is true, without quotes/,
    );
    const order = STATEFUL_SET.replace(
      '      labels:',
      '      annotations: { quiesce.dev/order: 2, other: 3 }\n      labels:',
    );
    expect(refusal(order).message).toMatch(/shop-db: quiesce\.dev\/order is 2, without quotes/);
    const nameless = STATEFUL_SET.replace('- name: postgres', '- nmae: postgres');
    expect(refusal(nameless).message).toMatch(/spec\.containers has an element without a name/);
  });

  it('refuses to change a field behind a YAML alias, and says so', () => {
    const alias =
      STATEFUL_SET.replace(
        'containers:\n        - name: postgres',
        'containers: &c\n        - name: postgres',
      ) +
      '---\nkind: Pod\nmetadata: { name: p, labels: { quiesce.dev/inject: "true" } }\nspec: &s { containers: [ { name: quiesce }, { name: db, image: redis } ] }\nother: 1\n' +
      '---\na: &x { name: quiesce }\nkind: Pod\nmetadata: { name: q, labels: { quiesce.dev/inject: "true" } }\nspec: { containers: [ *x, { name: db, image: redis } ] }\n';
    expect(refusal(alias).message).toMatch(/^Pod\/q: .* alias/);
  });

  it('finds templates in a List, and reads JSON', () => {
    const list = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [parse(STATEFUL_SET)] });
    const { text, reports } = injectManifest(list, CONFIG);
    expect(reports[0]?.outcome).toBe('injected');
    const { items } = parse(text) as { items: Template[] };
    expect(items[0]?.spec.template.spec.containers).toHaveLength(2);
  });

  it('prints JSON for JSON, with the same indentation', () => {
    for (const indent of [undefined, 2, 4]) {
      const given = JSON.stringify(parse(STATEFUL_SET), null, indent);
      const { text } = injectManifest(`${given}\n`, CONFIG);
      const object = JSON.parse(text) as Template;
      expect(object.spec.template.spec.containers).toHaveLength(2);
      expect(text).toBe(`${JSON.stringify(object, null, indent)}\n`);
      expect(injectManifest(text, CONFIG).text).toBe(text);
    }
  });

  it('reports a pod without a name by its generateName', () => {
    const pod =
      'kind: Pod\nmetadata: { generateName: db-, labels: { quiesce.dev/inject: "false" } }\nspec: {}\n';
    expect(injectManifest(pod, CONFIG).reports[0]?.object).toBe('Pod/db-');
  });

  it('never touches a Job or a CronJob, and says so if it has the label', () => {
    const job = STATEFUL_SET.replace('StatefulSet', 'Job');
    const { text, reports } = injectManifest(job, CONFIG);
    expect(text).toBe(job);
    expect(reports).toMatchObject([
      { outcome: 'skipped', notices: [{ code: 'RunsToCompletion' }] },
    ]);
    const unlabelled = job.replace('quiesce.dev/inject: "true"', 'a: b');
    expect(injectManifest(unlabelled, CONFIG).reports).toEqual([]);
  });

  it('reports every invalid annotation, and prints no manifest then', () => {
    const bad = STATEFUL_SET.replace(
      '      labels:',
      '      annotations: { quiesce.dev/copy: clone, quiesce.dev/ttl: "9" }\n      labels:',
    );
    const error = refusal(bad);
    expect(error.code).toBe('MANIFEST_INVALID');
    expect(error.exit).toBe(2);
    expect(error.message).toMatch(
      /StatefulSet\/shop-db: quiesce\.dev\/copy .*; .*quiesce\.dev\/ttl/,
    );
  });

  it('refuses text that is not YAML', () => {
    expect(refusal('a: [1\nb: }').message).toMatch(/^The manifest is not YAML/);
  });

  it('reports pods that have not opted in', () => {
    const { reports } = injectManifest(STATEFUL_SET.replace('"true"', '"false"'), CONFIG);
    expect(reports).toMatchObject([{ outcome: 'skipped', notices: [{ code: 'NotOptedIn' }] }]);
  });

  it('ignores objects of any unknown shape', () => {
    for (const text of [
      '',
      '---\n---\n',
      '3',
      'kind: toString',
      'kind: StatefulSet',
      'kind: StatefulSet\nspec: 1',
      'kind: List\nitems: [1, null]',
    ]) {
      expect(injectManifest(text, CONFIG).reports).toEqual([]);
    }
  });
});

describe('the flags of quiesce inject', () => {
  it('may be given only once, since one of two manifests would be dropped', () => {
    const args = ['-f', 'a', '--filename', 'b'];
    const flags = { filename: text('FILE', '', { short: 'f' }) };
    expect(() => readFlags('inject', flags, args)).toThrow('-f is given more than once.');
  });
});
