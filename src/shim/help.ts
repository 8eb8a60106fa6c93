import type { ShimVerb } from './args.ts';

const OUTPUT = '  -o, --output text|json   text (default), or one line of JSON';

const EXIT_CODES = `Exit codes: 0 done, 1 unexpected, 2 usage, 3 sidecar not reachable, 4 held by another freeze,
5 engine failed (rolled back), 6 timeout (rolled back), 7 not consistent or nothing frozen.`;

/** One sentence a verb, in the order a reader meets them. */
const SUMMARIES = {
  freeze: 'hold the database under a lease, so that a copy of its volume is true',
  thaw: 'release it, and say whether the hold held all along',
  status: 'state, lease, engine and the last receipt',
  metadata: 'what an operator needs beside the data',
  receipts: 'the last receipts, or one of them',
  verify: 'does the running database contain what a receipt promises?',
  sidecar: 'run the daemon beside the database',
  'prepare-restore': 'make a restored copy ready, before its server starts',
  inject: 'print a manifest with the sidecar and the Velero hooks in it',
  webhook: 'the same for every pod with the label, as an admission webhook',
  doctor: 'name what a cluster or a manifest leaves unprotected or half-configured',
  demo: 'show the whole of it on an embedded PostgreSQL',
} as const;

export type Verb = keyof typeof SUMMARIES;

const DETAILS: Readonly<Record<ShimVerb, string>> = {
  freeze: `quiesce freeze [--id ID] [--ttl 10m] [--timeout 25s] [--wait] [-o text|json]
       quiesce freeze --renew --id ID [--ttl 10m] [-o text|json]

  --id ID                  1–128 of A-Za-z0-9._:-; made where absent. Give each backup its own: nobody
                           else's thaw then gets its success, and its thaw nobody else's
  --ttl DURATION           how long the lease lasts before the sidecar thaws by itself
  --timeout DURATION       the hold is in place by then or is rolled back; keep it below the timeout
                           of the hook. Without it the sidecar's own (QUIESCE_FREEZE_TIMEOUT) counts
  --wait                   where another freeze is held, wait for its end until the timeout, instead of
                           exit code 4 at once: for backups that may overlap
  --renew                  renew the lease of the freeze with this --id, and freeze nothing
  --idempotency-key KEY    of this very call, for programs that send it again themselves: a new one each
                           time, so never in a hook. One is made where absent`,
  thaw: `quiesce thaw [--id ID] [--abandon] [-o text|json]

  --id ID                  thaw only this freeze
  --abandon                release, and take no success: for a person who ends a freeze by hand. Its
                           backup fails. Exit code 0 also where nothing is held
  --idempotency-key KEY    of this very call, as for freeze

A success is told once, to the first thaw of that freeze: a later one fails with ALREADY_THAWED.`,
  status: 'quiesce status [-o text|json]',
  metadata: 'quiesce metadata [-o text|json]',
  receipts: 'quiesce receipts [ID] [-o text|json]',
  verify: `quiesce verify [FILE|-] [--amcheck] [--amcheck-timeout 5m] [-o text|json]

  FILE                     a receipt, or an answer that holds one; - reads standard input;
                           without it the last receipt of the sidecar, else that of the copy
                           which the volume was restored from
  --amcheck                check the data itself, too (PostgreSQL: amcheck)
  --amcheck-timeout DURATION   end that check after this time`,
};

export function isVerb(word: string): word is Verb {
  return Object.hasOwn(SUMMARIES, word);
}

export function overview(): string {
  const verbs = Object.entries(SUMMARIES).map(([verb, line]) => `  ${verb.padEnd(16)} ${line}`);
  return `quiesce makes backups of stateful applications true.

Usage: quiesce VERB [flags]

${verbs.join('\n')}

quiesce VERB --help tells the flags; quiesce --version the version.
Durations need a unit: 500ms, 30s, 10m. QUIESCE_SOCKET names the control socket
(default /run/quiesce/control.sock).
${EXIT_CODES}`;
}

export function helpFor(verb: ShimVerb): string {
  const [usage = '', ...flags] = DETAILS[verb].split('\n');
  const rest = [...(flags.length > 0 ? flags : ['']), OUTPUT];
  const summary = SUMMARIES[verb];
  return `Usage: ${usage}\n\n${summary[0]?.toUpperCase()}${summary.slice(1)}\n${rest.join('\n')}\n\n${EXIT_CODES}`;
}
