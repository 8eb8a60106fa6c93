import { CONTROL_SOCKET, DEEP_TIMEOUT_MS, FREEZE_TIMEOUT_MS, TTL_MS } from '../defaults.ts';
import { writeDuration } from '../lib/duration.ts';
import { describeFlags } from '../lib/command-line/flag-help.ts';
import { FLAGS, type ShimVerb } from './args.ts';

const EXIT_CODES = `Exit codes: 0 done, 1 unexpected, 2 usage, 3 sidecar not reachable, 4 held by another freeze,
5 engine failed (rolled back), 6 timeout (rolled back), 7 not consistent or nothing frozen.`;

/** A summary of each verb, in the order in which help lists them. */
const SUMMARIES: Readonly<Record<ShimVerb, string>> = {
  freeze: 'hold the database under a lease, so that a copy of its volume is true',
  thaw: 'release the database, and say whether the hold lasted until now',
  status: 'show the state, the lease, the engine and the last receipt',
  metadata: 'show what an operator needs besides the data',
  receipts: 'list the last receipts, or show one',
  verify: 'check that the running database contains what a receipt promises',
};

const TTL = `[--ttl ${writeDuration(TTL_MS.flowing)}]`;
const TIMEOUT = `[--timeout ${writeDuration(FREEZE_TIMEOUT_MS)}]`;
const DEEP_TIMEOUT = `[--deep-timeout ${writeDuration(DEEP_TIMEOUT_MS)}]`;

const USAGE: Readonly<Record<ShimVerb, readonly string[]>> = {
  freeze: [
    `[--id ID] ${TTL} ${TIMEOUT} [--wait] [--thaw-last] [-o text|json]`,
    `--renew --id ID ${TTL}`,
  ],
  thaw: ['[--id ID] [--abandon] [-o text|json]'],
  status: ['[--acknowledge-restore] [-o text|json]'],
  metadata: ['[--data DIR] [--all] [-o text|json]'],
  receipts: ['[ID] [-o text|json]'],
  verify: [`[FILE|-] [--deep] ${DEEP_TIMEOUT} [-o text|json]`],
};

const NOTES: Partial<Record<ShimVerb, string>> = {
  metadata: `With --data it reads what the last freeze wrote to .quiesce/metadata.json on the volume, or what a
verified restore kept there. The file is readable by the owner of the data only.`,
  thaw: 'Only the first thaw of a freeze can succeed: a later one fails with ALREADY_THAWED.',
  receipts: 'Without an ID it lists the last ten, newest first.',
  verify: `FILE is a receipt, or an answer that contains one; - reads standard input. Without FILE, the last
receipt of the sidecar is used, or else the receipt of the copy that the volume was restored from.`,
};

/** @param commands the verbs that do more than call the sidecar, each with its summary */
export function overview(commands: readonly (readonly [verb: string, summary: string])[]): string {
  const verbs = [...Object.entries(SUMMARIES), ...commands];
  return `quiesce makes backups of stateful applications true.

Usage: quiesce VERB [flags]

${verbs.map(([verb, line]) => `  ${verb.padEnd(16)} ${line}`).join('\n')}

quiesce VERB --help lists the flags of a verb; quiesce --version prints the version.
Durations need a unit: 500ms, 30s, 10m. QUIESCE_SOCKET is the path of the control socket
(default ${CONTROL_SOCKET}).
${EXIT_CODES}`;
}

export function helpFor(verb: ShimVerb): string {
  const lines = USAGE[verb].map((line) => `quiesce ${verb} ${line}`);
  const summary = SUMMARIES[verb];
  const notes = NOTES[verb] === undefined ? '' : `${NOTES[verb]}\n\n`;
  return `Usage: ${lines.join('\n       ')}

${summary[0]?.toUpperCase()}${summary.slice(1)}

${describeFlags(FLAGS[verb])}

${notes}${EXIT_CODES}`;
}
