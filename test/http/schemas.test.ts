import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { durationField, freezeBody } from '../../src/http/schemas.ts';
import document from '../../docs/openapi.json' with { type: 'json' };

const { schema } = document.paths['/v1/freeze'].post.requestBody.content['application/json'];
const documented = new RegExp(schema.properties.ttl.pattern);
const taken = (text: string): boolean => durationField.safeParse(text).success;

const edges = ['0', '0.4', '0.999', '0.001', '1', '23.999', '24', '24.000', '24.001', '25', '1440']
  .concat([
    '0.499',
    '0.5',
    '86400000.499',
    '86400000.5',
    '1439.999',
    '1440.001',
    '86399',
    '86400',
    '86401',
    '86400000',
    '86400001',
    '99999999',
  ])
  .concat(['000024', '0000000024', '999999999', '1.2345', '', '-1', '+1', '1e3', ' 1']);

it('the document has the same bounds for durations as the API', () => {
  for (const number of edges) {
    for (const unit of ['ms', 's', 'm', 'h', '', 'd', 'S', 'ms ']) {
      const text = number + unit;
      expect([text, documented.test(text)]).toEqual([text, taken(text)]);
    }
  }
  const number = fc.stringMatching(/^\d{1,10}(\.\d{0,4})?$/);
  fc.assert(
    fc.property(number, fc.constantFrom('ms', 's', 'm', 'h'), (digits, unit) => {
      expect(documented.test(digits + unit)).toBe(taken(digits + unit));
    }),
    { numRuns: 5_000 },
  );
});

it('every duration in a body has these bounds', () => {
  for (const field of [freezeBody.shape.ttl, freezeBody.shape.timeout]) {
    expect(field.safeParse('0ms').success).toBe(false);
    expect(field.safeParse('25h').success).toBe(false);
  }
});
