import { RESTORE_ANNOTATION, RESTORE_LABEL } from '../../objects/names.ts';
import type { PodFacts } from '../../inventory/pod-facts.ts';
import { annotationsOf, labelsOf, textAt } from '../../objects/kube-object.ts';
import type { PodRule } from '../rule.ts';
import { claimsOf } from '../../inventory/claims.ts';

const MARK = 'QUIESCE_RESTORE_MARK';

/** The words of the init containers, of any name, that run `prepare-restore`. */
function preparations({ pod }: PodFacts): readonly (readonly string[])[] {
  return (pod.spec?.initContainers ?? [])
    .map(({ command = [], args = [] }) => [...command, ...args])
    .filter((words) => words.includes('prepare-restore'));
}

export const restoreRules: readonly PodRule[] = [
  {
    code: 'RESTORE_SKIPPED',
    severity: 'error',
    title: 'A restored pod started without prepare-restore',
    why: 'Nothing compared the copy with its receipt before the server started on it: a torn copy may be in use.',
    fix: 'Check the data (quiesce verify --deep), or restore again while the webhook runs; webhook.failurePolicy: Fail keeps such a pod from starting.',
    *check(facts) {
      const { view, sidecar, data, pod } = facts;
      const restore = labelsOf(pod)[RESTORE_LABEL] ?? annotationsOf(pod)[RESTORE_ANNOTATION];
      if (view.live === undefined || sidecar === undefined || data === undefined) return;
      if (restore === undefined || preparations(facts).length > 0) return;
      yield `The restore ${restore} made this pod, and no init container ran prepare-restore on ${data.volume}.`;
    },
  },
  {
    code: 'RESTORE_NOT_PREPARED',
    severity: 'info',
    title: 'A volume comes from a snapshot or another volume, and nothing prepares it',
    why: 'Only Velero marks the pods that it restores. The server of any other restored volume starts without prepare-restore, so nothing proves the copy, and a PostgreSQL copy that needs its label may be corrupt. On a volume that is in use already, nothing has to be done.',
    fix: `At a restore, name it in the annotation ${RESTORE_ANNOTATION} of the pod template, with a new name each time: webhook and quiesce inject then add the init container. See docs/restore.md.`,
    *check(facts, { catalog }) {
      const { sidecar, data } = facts;
      if (sidecar === undefined || preparations(facts).length > 0) return;
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
  {
    code: 'RESTORE_UNMARKED',
    severity: 'warning',
    title: 'prepare-restore runs before every start, and cannot tell a live volume from a copy',
    why: 'After a power failure during a freeze, it takes the live volume for a copy. With copy: files it replaces PostgreSQL’s data by the staged backup, and what was written since is lost; other copies may be refused, and the server does not start.',
    fix: `Pass the mark of the pod to both: --restore-mark to the init container, ${MARK} to the sidecar (docs/by-hand.md).`,
    *check(facts) {
      const runs = preparations(facts);
      if (runs.some((words) => !words.some((word) => word.startsWith('--restore-mark')))) {
        yield 'An init container runs prepare-restore without --restore-mark.';
      } else if (runs.length > 0 && facts.sidecar !== undefined && !setsMark(facts)) {
        yield `An init container has --restore-mark, but the sidecar has no ${MARK}: its receipts do not record the mark.`;
      }
    },
  },
];

function setsMark({ sidecar }: PodFacts): boolean {
  return (sidecar?.env ?? []).some(({ name }) => name === MARK);
}
