import { parseArgs } from 'node:util';

export interface Options {
  /** Names of stories, or of groups of them; empty: all. */
  readonly stories: readonly string[];
  readonly keep: boolean;
  /** Plays stories in the cluster that an earlier run kept. */
  readonly kept: boolean;
  /** Ends a kept cluster. */
  readonly down: boolean;
  readonly list: boolean;
  readonly policies: boolean;
  /** Plays what CI plays. Builds nothing that takes long: says what is missing, and succeeds. */
  readonly ci: boolean;
  /** Plays nothing. */
  readonly none: boolean;
  /** Plays nothing: writes docs/kubernetes-tested.md and bench/results-cluster.md. */
  readonly record: boolean;
  readonly help: boolean;
  /** The run in the sandbox. */
  readonly inside: boolean;
}

export const USAGE = `Usage: npm run test:velero [-- [options] [STORY…]]

Brings up a Kubernetes cluster with a kubelet, CSI snapshots and Velero, installs quiesce as docs/install.md
says, and plays stories on it. Needs root on Debian and x86-64, 8 GB of memory and 15 GB of disk. The first
run builds all programs (20 to 40 minutes); later ones take what is in ~/.cache/quiesce (QUIESCE_CACHE).
Everything runs in its own namespaces for processes, mounts and network, and ends with them.

  STORY            a story or a group (--list); all of them by default
  --list           lists the stories
  --keep           leaves the cluster up and says how to use it
  --kept           plays in the cluster that --keep left
  --down           ends the cluster that --keep left
  --no-policies    without the engine that enforces NetworkPolicies
  --ci             plays what CI plays; where a program is not in the cache, says which, and exits with 0
  --record         plays nothing: writes what each story has shown on the newest commit on which it was played to
                   docs/kubernetes-tested.md and bench/results-cluster.md
  --none           plays nothing: with --keep, an empty cluster
  --help           prints this
`;

/** @throws TypeError that names an unknown option */
export function parseOptions(args: readonly string[]): Options {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    allowNegative: true,
    options: {
      keep: { type: 'boolean', default: false },
      kept: { type: 'boolean', default: false },
      down: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      policies: { type: 'boolean', default: true },
      ci: { type: 'boolean', default: false },
      record: { type: 'boolean', default: false },
      none: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
      inside: { type: 'boolean', default: false },
    },
  });
  return { ...values, stories: positionals };
}
