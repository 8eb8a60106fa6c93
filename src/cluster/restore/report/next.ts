import { namespacesIn, plain } from '../../report/words.ts';
import type { DrillRun, RecoveryRun, RestoreRun } from '../document.ts';
import { RESTORE } from '../names.ts';
import { sourceName, stateOf } from './words.ts';

/** What to do now, as sentences; commands stand alone on their lines. */
export function nextSteps(run: RecoveryRun): readonly string[] {
  return run.kind === 'DrillRun' ? afterDrill(run) : afterRestore(run);
}

function afterRestore(run: RestoreRun): readonly string[] {
  const state = stateOf(run);
  const again = (flag: string): string => `quiesce restore --${flag} ${plain(run.id)}`;
  const [namespace = 'NAMESPACE'] = namespacesIn(run).map(plain);
  if (state === 'running' || state === 'failed') {
    return [
      state === 'running'
        ? 'If no verb works on it any more, go on where it stopped:'
        : 'Nothing was deleted. Fix what is named above, and go on where it stopped:',
      again('resume'),
      'Or let every pod start as it is, in no order:',
      again('release'),
    ];
  }
  if (state === 'unproven') {
    return [
      'Until you know, do not let anything write to the members above, and do not delete the source.',
      'Their sidecars say why:',
      `kubectl -n ${namespace} exec POD -c quiesce -- quiesce status`,
    ];
  }
  return ['Ask again at any time whether all of it is whole:', `quiesce validate -n ${namespace}`];
}

function afterDrill(run: DrillRun): readonly string[] {
  const state = stateOf(run);
  const source = sourceName(run);
  const scope =
    run.mode === 'data'
      ? ['Only the databases were started: whether the applications come up was not tried.']
      : [];
  const worth =
    state === 'proven'
      ? [`Nothing: the ${source} can be restored.`, ...scope]
      : state === 'running'
        ? ['Wait for its end, or look whether its Job still runs.']
        : [`Do not rely on the ${source} until a drill of it is proven.`];
  return [...worth, ...leftBehind(run)];
}

function leftBehind({ id, removed, scratch }: DrillRun): readonly string[] {
  if (removed !== false) return [];
  const where = scratch.length === 0 ? '' : ` (namespaces ${scratch.map(plain).join(', ')})`;
  return [
    `Something that it made is left${where}. All of it has the label:`,
    `${RESTORE.drill}=${plain(id)}`,
  ];
}
