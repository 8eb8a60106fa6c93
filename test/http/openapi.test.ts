import { Validator } from '@seriousme/openapi-schema-validator';
import { describe, expect, it } from 'vitest';
import document from '../../docs/openapi.json' with { type: 'json' };
import { catalogue } from '../../src/errors.ts';

type Json = Readonly<Record<string, unknown>>;

interface Operation {
  readonly operationId: string;
  readonly requestBody?: unknown;
  readonly responses: Readonly<Record<string, { description: string; content: object }>>;
}

const operations = Object.values(document.paths).flatMap(
  (path) => Object.values(path) as unknown as Operation[],
);

function referencesIn(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  const own = (value as Json)['$ref'];
  return [
    ...(typeof own === 'string' ? [own] : []),
    ...Object.values(value).flatMap((inner) => referencesIn(inner)),
  ];
}

function resolve(reference: string): unknown {
  const path = /^#\/(.+)$/.exec(reference)?.[1]?.split('/') ?? [''];
  return path.reduce<unknown>(
    (value, key) => (value as Json | undefined)?.[key.replaceAll('~1', '/').replaceAll('~0', '~')],
    document,
  );
}

describe('the OpenAPI document', () => {
  it('is valid by the schema of the OpenAPI Initiative', async () => {
    const result = await new Validator().validate(structuredClone(document));
    expect(result.errors).toBeUndefined();
    expect(result.valid).toBe(true);
  });

  it('has no dangling references', () => {
    const references = referencesIn(document);
    expect(references.length).toBeGreaterThan(20);
    for (const one of references) expect([one, typeof resolve(one)]).toEqual([one, 'object']);
  });

  it.each(operations.map((operation) => [operation.operationId, operation] as const))(
    'lists the codes of every refusal of %s, each under its own status',
    (_id, { responses, requestBody }) => {
      const withBody = requestBody === undefined ? [] : ['413', '415'];
      const always = ['400', '401', '403', '405', '408', '417', '422', '431', '500', '503'];
      expect(Object.keys(responses)).toEqual(expect.arrayContaining([...always, ...withBody]));
      for (const [status, { description, content }] of Object.entries(responses)) {
        expect(Object.keys(content)).toEqual(['application/json']);
        if (status === '200') continue;
        for (const code of description.split(', ')) {
          const { status: own } = catalogue[code as keyof typeof catalogue];
          expect([code, String(own)]).toEqual([code, status]);
        }
      }
    },
  );
});
