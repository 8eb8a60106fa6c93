import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { inject } from '../../../src/cluster/inject/inject.ts';
import type { Pod } from '../../../src/cluster/objects/pod.ts';
import { applyPatch, CONFIG, GOLDEN, goldenNames, goldenPod } from '../../support/pods.ts';

describe.each(goldenNames)('the pod %s', (name) => {
  const pod = goldenPod(name);
  const result = inject(pod, CONFIG);
  if (result.outcome !== 'injected') throw new Error(JSON.stringify(result));

  it('gets the recorded patch', async () => {
    const { patch, notices } = result;
    const text = stringify({ patch, notices }, { lineWidth: 0, aliasDuplicateObjects: false });
    await expect(text).toMatchFileSnapshot(join(GOLDEN, `${name}.patch.yaml`));
  });

  it('needs no second patch', () => {
    const patched = applyPatch(pod, result.patch) as Pod;
    expect(patched).toEqual(result.pod);
    expect(inject(patched, CONFIG)).toMatchObject({ outcome: 'injected', patch: [] });
  });

  it('has the sidecar as its last, ordinary container, without a password in plain text', () => {
    const names = result.pod.spec?.containers?.map((one) => one.name);
    expect(names?.at(-1)).toBe('quiesce');
    expect(result.pod.spec?.initContainers?.map((one) => one.name) ?? []).not.toContain('quiesce');
    const sidecar = result.pod.spec?.containers?.at(-1);
    expect(sidecar).not.toHaveProperty('restartPolicy');
    expect(sidecar).not.toHaveProperty('readinessProbe');
    const passwords = (sidecar?.env ?? []).flatMap(({ name: variable, value }) =>
      variable.endsWith('PASSWORD') && value !== undefined ? [value] : [],
    );
    expect(passwords.filter((value) => !/^\$\(\w+\)$/.test(value))).toEqual([]);
  });
});
