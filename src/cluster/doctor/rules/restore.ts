import { INIT_CONTAINER, RESTORE_ANNOTATION } from '../../objects/names.ts';
import type { PodFacts } from '../../inventory/pod-facts.ts';
import { textAt } from '../../inventory/catalog.ts';
import type { PodRule } from '../rule.ts';
import { claimsOf } from './copy.ts';

/** Whether an init container of any name runs `prepare-restore`. */
function isPrepared({ pod }: PodFacts): boolean {
  return (pod.spec?.initContainers ?? []).some(
    ({ name, command = [], args = [] }) =>
      name === INIT_CONTAINER || [...command, ...args].includes('prepare-restore'),
  );
}

export const restoreRules: readonly PodRule[] = [
  {
    code: 'RESTORE_NOT_PREPARED',
    severity: 'info',
    title: 'A volume comes from a snapshot or another volume, and nothing prepares it',
    why: 'Only Velero marks the pods that it restores. The server of any other restored volume starts without prepare-restore, so nothing proves the copy, and a PostgreSQL copy that needs its label may be corrupt. On a volume that is in use already, nothing has to be done.',
    fix: `At a restore, name it in the annotation ${RESTORE_ANNOTATION} of the pod template, with a new name each time: webhook and quiesce inject then add the init container. See docs/restore.md.`,
    *check(facts, { catalog }) {
      const { sidecar, data } = facts;
      if (sidecar === undefined || isPrepared(facts)) return;
      for (const { volume, name, object } of claimsOf(facts, catalog)) {
        const source = ['dataSourceRef', 'dataSource'].find(
          (field) => textAt(object, 'spec', field, 'name') !== undefined,
        );
        if (source === undefined || volume !== data?.volume) continue;
        const kind = textAt(object, 'spec', source, 'kind') ?? 'object';
        yield `The data is in the claim ${name}, whose ${source} is the ${kind} ${textAt(object, 'spec', source, 'name')}, and no init container runs prepare-restore.`;
      }
    },
  },
];
