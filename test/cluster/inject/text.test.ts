import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { injectManifest } from '../../../src/cluster/inject/manifest.ts';
import { editText } from '../../../src/cluster/objects/yaml-edit.ts';
import { CONFIG } from '../../support/pods.ts';

/** The first line of `source` that is not in `text`, in order; `undefined`: all are. */
function lost(source: string, text: string): string | undefined {
  const lines = text.split('\n');
  let at = -1;
  return source.split('\n').find((line) => {
    at = lines.indexOf(line, at + 1);
    return at === -1;
  });
}

const workload = (spec: object, metadata: object = {}) => ({
  apiVersion: 'apps/v1',
  kind: 'StatefulSet',
  metadata: { name: 'db', namespace: 'shop' },
  spec: {
    template: {
      metadata: { labels: { app: 'db', 'quiesce.dev/inject': 'true' }, ...metadata },
      spec: {
        containers: [
          {
            name: 'postgres',
            image: 'postgres:17',
            args: ['-c', 'log_statement=none'],
            env: [
              { name: 'POSTGRES_PASSWORD', valueFrom: { secretKeyRef: { name: 'a', key: 'b' } } },
            ],
            volumeMounts: [{ name: 'data', mountPath: '/var/lib/postgresql/data' }],
          },
        ],
        ...spec,
      },
    },
    volumeClaimTemplates: [{ metadata: { name: 'data' } }],
  },
});

const VOLUMES = { volumes: [{ name: 'tmp', emptyDir: {} }] };
const NOTES = { annotations: { note: 'a', multi: 'first\nsecond\n' } };

describe('quiesce inject adds lines and rewrites none', () => {
  it('for any indentation, any order of keys, with and without volumes and annotations', () => {
    const style = fc.record({
      indent: fc.integer({ min: 2, max: 8 }),
      indentSeq: fc.boolean(),
      volumes: fc.boolean(),
      notes: fc.boolean(),
      quotes: fc.constantFrom('QUOTE_DOUBLE', 'QUOTE_SINGLE', 'PLAIN' as const),
      comments: fc.boolean(),
      crlf: fc.boolean(),
      more: fc.boolean(),
    });
    fc.assert(
      fc.property(style, ({ indent, indentSeq, volumes, notes, quotes, comments, crlf, more }) => {
        const value = workload(
          { ...(volumes ? VOLUMES : {}), terminationGracePeriodSeconds: 5 },
          notes ? NOTES : {},
        );
        let source = stringify(value, { indent, indentSeq, defaultStringType: quotes });
        if (comments)
          source = source.replaceAll(/^( *)(\S*image\S*:.*)$/gm, '$1$2 # pinned\n$1# next');
        if (more)
          source = `# Source: a.yaml\n---\n${source}\n\n---\n# nothing\n---\nkind: ConfigMap\n`;
        if (crlf) source = source.replaceAll('\n', '\r\n');
        const { text } = injectManifest(source, CONFIG);
        expect(lost(source, text)).toBeUndefined();
        expect(text).toContain('quiesce-state');
        expect(injectManifest(text, CONFIG).text).toBe(text);
      }),
      { numRuns: 60 },
    );
  });

  it('for lists with two indentations in one document, and empty lines within', () => {
    const source = `apiVersion: apps/v1
kind: StatefulSet
metadata:
    name: db
spec:
   template:
      metadata:
        labels:
              quiesce.dev/inject: "true"   # on
      spec:
        volumes:
        - name: tmp

          emptyDir: {}

        containers:
            -   name: redis
                image: redis:7
                command:
                - sh
                - -c
                - |

                    exec redis-server

                volumeMounts:
                      - {name: data, mountPath: /data}
                # the end of the container

            # the end of the list
   volumeClaimTemplates:
   - metadata: {name: data}
`;
    const { text } = injectManifest(source, CONFIG);
    expect(lost(source, text)).toBeUndefined();
    expect(injectManifest(text, CONFIG).text).toBe(text);
  });

  it('for a document without a line break at its end', () => {
    const source = stringify(workload(VOLUMES)).trimEnd();
    const { text } = injectManifest(source, CONFIG);
    expect(lost(source, text)).toBeUndefined();
  });

  it('changes only the lines whose values change when an injection is brought up to date', () => {
    const { text: first } = injectManifest(stringify(workload(VOLUMES), { indent: 4 }), CONFIG);
    const newer = { ...CONFIG, image: 'registry.example/quiesce:2.0.0', memoryLimit: '512Mi' };
    const { text } = injectManifest(first, newer);
    const changed = text.split('\n').filter((line) => !first.split('\n').includes(line));
    expect(changed.map((line) => line.trim().slice(0, 16)).toSorted()).toEqual([
      'image: registry.',
      'memory: 512Mi',
      'quiesce.dev/writ',
    ]);
  });
});

describe('an edit of a text', () => {
  const edits = (source: string, ...list: Parameters<typeof editText>[1]) => {
    const wanted = structuredClone(parse(source)) as Record<string, unknown>;
    for (const { op, path, value } of list) {
      let parent: unknown = wanted;
      for (const key of path.slice(0, -1)) parent = (parent as Record<string, unknown>)[key];
      const last = path.at(-1) ?? '';
      if (op === 'remove') {
        if (Array.isArray(parent)) parent.splice(Number(last), 1);
        else delete (parent as Record<string, unknown>)[last];
      } else if (Array.isArray(parent) && last === '-') parent.push(value);
      else (parent as Record<string, unknown>)[last] = value;
    }
    return editText(source, list, wanted);
  };

  it.each([
    ['a: {b: 1}\n', { op: 'add', path: ['a', 'c'], value: { d: [1] } }, 'a: {b: 1, c: {d: [1]}}\n'],
    ['a: [1,\n  2]\n', { op: 'add', path: ['a', '-'], value: 3 }, 'a: [1,\n  2, 3]\n'],
    [
      'a: # none\nb: 1\n',
      { op: 'replace', path: ['a'], value: { c: 1 } },
      'a: # none\n  c: 1\nb: 1\n',
    ],
    ['a: {}\nb: 1\n', { op: 'replace', path: ['a'], value: { c: 1 } }, 'a:\n  c: 1\nb: 1\n'],
    ['a: x # keep\n', { op: 'replace', path: ['a'], value: 'z' }, 'a: z # keep\n'],
    ['a:\n- x: 1\n  w: 2\n- z: 1\n', { op: 'remove', path: ['a', 1] }, 'a:\n- x: 1\n  w: 2\n'],
    ['a:\n  b: 1\n  c: 2\n', { op: 'remove', path: ['a', 'c'] }, 'a:\n  b: 1\n'],
    ['a: "1"\n', { op: 'add', path: ['b'], value: 'yes' }, 'a: "1"\nb: "yes"\n'],
    ['{"a":{"b":1}}', { op: 'add', path: ['a', 'c'], value: [1] }, '{"a":{"b":1,"c":[1]}}'],
    [
      '{\n    "a": {\n        "b": 1\n    }\n}\n',
      { op: 'add', path: ['a', 'c'], value: { d: 1 } },
      '{\n    "a": {\n        "b": 1,\n        "c": {\n            "d": 1\n        }\n    }\n}\n',
    ],
  ] as const)('%j', (source, edit, expected) => {
    expect(edits(source, edit)).toBe(expected);
  });

  it('is given up where it would not have the wanted value, and the caller prints the document', () => {
    expect(edits('a: |\n  x\n', { op: 'replace', path: ['a'], value: { b: 1 } })).toBeUndefined();
    expect(edits('a: [1]\n', { op: 'remove', path: ['a', 0] })).toBeUndefined();
    expect(editText('a: 1\n', [{ op: 'add', path: ['b'], value: 1 }], { a: 1 })).toBeUndefined();
  });
});
