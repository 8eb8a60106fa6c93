import { readTo } from '../cluster/restore/mapping.ts';
import { LAYER_TIMEOUT_MS } from '../defaults.ts';
import {
  BadValue,
  duration,
  list,
  matching,
  text,
  toggle,
  type Values,
} from '../lib/command-line/flags.ts';
import { quote } from '../lib/command-line/printable.ts';
import { usage } from '../lib/command-line/read-flags.ts';
import { writeDuration } from '../lib/duration.ts';
import { APPLICATION_FLAGS } from './application-flags.ts';

const SHORTEST_MS = 1_000;
const NAME = { pattern: /^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$/, form: 'must be a name' };
const RUN = { pattern: /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/, form: 'must be the id of a run' };

const { namespace, group, selector, context, kubeconfig } = APPLICATION_FLAGS;

export const FLAGS = {
  'from-backup': matching('NAME', 'restore this backup of Velero', {}, NAME),
  'from-snapshot': matching(
    'RUN',
    'restore the snapshots of this run of quiesce snapshot',
    {},
    RUN,
  ),
  to: list(
    'NAME|OLD:NEW',
    'the namespace to restore into; of several namespaces, what each becomes',
    { otherwise: 'those of the source' },
    (given) => {
      if (readTo(given) !== undefined) return given;
      throw new BadValue(`must be a namespace, or OLD:NEW, not ${quote(given)}`);
    },
  ),
  namespace: {
    ...namespace,
    about: "namespace of the source (all of the backup; of a run the context's)",
  },
  group,
  selector,
  file: list('PATH', 'manifests of the application, where it is not there any more', {
    short: 'f',
  }),
  'objects-from-backup': matching(
    'NAME',
    'take the objects, but not the volumes, from this backup of Velero',
    {},
    NAME,
  ),
  'storage-class-map': list(
    'OLD:NEW',
    'the StorageClass of claims that had another; without OLD, of those that had none',
    {},
    (given) => {
      if (/^[a-z0-9]?[-.a-z0-9]*:[a-z0-9][-.a-z0-9]*$/.test(given)) return given;
      throw new BadValue(`must be OLD:NEW, not ${quote(given)}`);
    },
  ),
  'with-ingress': toggle('in another namespace, too, restore what leads to it from the outside'),
  replace: toggle('the application is there: stop it, and replace its volumes'),
  'delete-replaced': matching('RUN', 'delete the volumes that this restore has replaced', {}, RUN),
  'dry-run': toggle('check everything, print the plan, and change nothing'),
  resume: matching('RUN', 'go on with a run that was stopped, where it stopped', {}, RUN),
  release: matching('RUN', 'end a run: let all of its pods start at once', {}, RUN),
  'require-proof': toggle('stop at data of which nothing shows that it is complete'),
  'layer-timeout': duration(
    'how long a layer may take until all of its members are healthy',
    { fallback: writeDuration(LAYER_TIMEOUT_MS) },
    SHORTEST_MS,
  ),
  timeout: duration('how long the whole run may take', { fallback: '6h' }, SHORTEST_MS),
  'velero-namespace': text('NAME', 'the namespace of Velero', { fallback: 'velero' }),
  context,
  kubeconfig,
} as const;

export type RestoreFlags = Values<typeof FLAGS>;

/** @throws QuiesceError USAGE */
export function checkTogether(options: RestoreFlags): void {
  const ways = ['from-backup', 'from-snapshot', 'resume', 'release', 'delete-replaced'] as const;
  const given = ways.filter((one) => options[one] !== undefined);
  if (given.length !== 1) {
    const message = `give one of ${ways.map((one) => `--${one}`).join(', ')}`;
    throw usage('restore', message, `--${given[1] ?? 'from-backup'}`);
  }
  const [way] = given;
  if (options['dry-run'] && way !== 'from-backup' && way !== 'from-snapshot') {
    throw usage('restore', '--dry-run needs --from-backup or --from-snapshot', '--dry-run');
  }
  checkSnapshotFlags(options, way === 'from-snapshot' || way === 'resume');
}

function checkSnapshotFlags(options: RestoreFlags, allowed: boolean): void {
  const { file, replace, to } = options;
  const objects = options['objects-from-backup'];
  const used: readonly (readonly [string, boolean])[] = [
    ['--file', file.length > 0],
    ['--objects-from-backup', objects !== undefined],
    ['--storage-class-map', options['storage-class-map'].length > 0],
    ['--with-ingress', options['with-ingress']],
    ['--replace', replace],
    ['--group', options.group !== undefined],
    ['--selector', options.selector !== undefined],
  ];
  const [first] = used.filter(([, given]) => given);
  if (first !== undefined && !allowed) {
    throw usage('restore', `${first[0]} needs --from-snapshot`, first[0]);
  }
  if (file.length > 0 && objects !== undefined) {
    throw usage('restore', '-f and --objects-from-backup exclude each other', '--file');
  }
  if (replace && (to.length > 0 || file.length > 0 || objects !== undefined)) {
    const message = '--replace takes the application as it is: without --to and other objects';
    throw usage('restore', message, '--replace');
  }
}

export function wantedBy({ to }: RestoreFlags) {
  return to.flatMap((one) => readTo(one) ?? []);
}
