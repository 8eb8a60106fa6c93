import { describe, expect, it } from 'vitest';
import { inject } from '../../../src/cluster/inject/inject.ts';
import type { Container, Pod } from '../../../src/cluster/objects/pod.ts';
import { CONFIG, postgresPod } from '../../support/pods.ts';

const limited = (cpu: string): Partial<Container> => ({ resources: { limits: { cpu } } });

/** The pod with these fields on its database's container, and with further containers. */
function podWith(fields: Partial<Container>, ...further: readonly Container[]): Pod {
  const pod = postgresPod({});
  const [database, ...others] = pod.spec?.containers ?? [];
  if (database === undefined) throw new Error('the pod has no container');
  const containers = [{ ...database, ...fields }, ...others, ...further];
  return { ...pod, spec: { ...pod.spec, containers } };
}

function injected(pod: Pod): Pod {
  const result = inject(pod, { ...CONFIG, prepareRestore: true });
  if (result.outcome !== 'injected') throw new Error(JSON.stringify(result));
  return result.pod;
}

function limits({ spec }: Pod): readonly (string | undefined)[] {
  const added = [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])];
  return added
    .filter(({ name }) => name.startsWith('quiesce'))
    .map(({ resources }) => resources?.limits?.['cpu']);
}

describe('the CPU limit of the added containers', () => {
  it('is absent, so that no freeze is throttled', () => {
    expect(limits(injected(podWith({})))).toEqual([undefined, undefined]);
    const exporter = { name: 'exporter', image: 'exporter:1' };
    expect(limits(injected(podWith(limited('2'), exporter)))).toEqual([undefined, undefined]);
  });

  it('is the database’s if every container has one, at most 1: a ResourceQuota may demand it', () => {
    expect(limits(injected(podWith(limited('500m'))))).toEqual(['500m', '500m']);
    expect(limits(injected(podWith(limited('4'))))).toEqual(['1', '1']);
    const exporter = { name: 'exporter', image: 'exporter:1', ...limited('50m') };
    expect(limits(injected(podWith(limited('800m'), exporter)))).toEqual(['800m', '800m']);
  });

  it('stays as it is in a pod that has the sidecar already', () => {
    const once = injected(podWith(limited('500m')));
    expect(inject(once, { ...CONFIG, prepareRestore: true })).toMatchObject({ patch: [] });
    const raised = once.spec?.containers?.map((one) =>
      one.name === 'quiesce' ? { ...one, ...limited('3') } : one,
    );
    const pod = { ...once, spec: { ...once.spec, containers: raised } } as Pod;
    expect(limits(injected(pod))[0]).toBe('3');
  });
});
