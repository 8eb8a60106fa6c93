import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parse } from 'yaml';
import { describe, expect, it } from 'vitest';
import { readInventory } from '../../../src/cluster/inventory/read-manifests.ts';
import { planOf } from '../../../src/cluster/plan/plan.ts';
import { notKeptIn, NOW, problemsIn } from './kept/support.ts';

const FOLDER = resolve('test/cluster/plan/applications');
const EXPECTED = '.expected.yaml';
const names = readdirSync(FOLDER)
  .filter((name) => name.endsWith(EXPECTED))
  .map((name) => name.slice(0, -EXPECTED.length));

interface Expected {
  readonly layers: readonly (readonly string[])[];
  readonly notKept: readonly string[];
  readonly problems: readonly string[];
}

describe('the plan of an application as people run it', () => {
  it.each(names)('%s', async (name) => {
    const options = { whole: false, namespaces: undefined, now: NOW };
    const inventory = await readInventory([join(FOLDER, `${name}.yaml`)], options);
    const { plan } = planOf(inventory, { namespaces: undefined });
    const expected = parse(readFileSync(join(FOLDER, `${name}${EXPECTED}`), 'utf8')) as Expected;
    expect({
      layers: plan.layers.map(({ members }) =>
        members.map((one) => `${one.kind}/${one.name}`).toSorted(),
      ),
      notKept: notKeptIn(plan),
      // Manifests show no sidecars, and no pods of operators: tested elsewhere.
      problems: problemsIn(plan, /^(?!SIDECAR_MISSING|PODS_NOT_KNOWN)/),
    }).toEqual(expected);
  });
});
