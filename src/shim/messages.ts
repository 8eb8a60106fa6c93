import { formatDuration } from '../lib/duration.ts';
import type { Receipt } from '../receipt/receipt.ts';
import { oneLine } from '../lib/command-line/printable.ts';
import { asList, asRecord, asText, table } from './table.ts';

type Body = Readonly<Record<string, unknown>>;

/** `postgres 17.10 primary, sealed, position 0/3000158`, without the parts that the receipt lacks. */
function describeFreeze(receipt: Receipt): string {
  const { engine, mode, position } = receipt;
  const server = [engine.name, engine.version, engine.role].filter(Boolean).join(' ');
  const where = position === null ? '' : `position ${describePosition(position)}`;
  return [server, mode, where].filter(Boolean).join(', ');
}

function describePosition(position: NonNullable<Receipt['position']>): string {
  if (typeof position['lsn'] === 'string') return position['lsn'];
  const plain = Object.entries(position).filter(([, value]) => typeof value !== 'object');
  return (
    plain
      .slice(0, 2)
      .map(([name, value]) => `${name} ${asText(value)}`)
      .join(' ') || 'recorded'
  );
}

/** Why the receipt is not on the volume, and every note. Never left out: they qualify the promise. */
function caveats(receipt: Receipt): string[] {
  const onVolume = receipt.evidence.onVolume
    ? []
    : [`Not on the volume: ${receipt.evidence.detail}`];
  const explained = receipt.notes.length > 0 ? receipt.notes : receipt.reasons;
  return [...onVolume, ...explained].map((note) => oneLine(note).replace(/\.?$/, '.'));
}

function sentences(first: string, notes: readonly string[]): string {
  return notes.length === 0 ? first : `${first}. ${notes.join(' ')}`;
}

export function freezeText(receipt: Receipt, tty: boolean): string {
  const expires = receipt.expiresAt ?? '';
  const left = Math.round((Date.parse(expires) - Date.now()) / 1_000) * 1_000;
  const lease = `lease until ${expires} (${formatDuration(Math.max(0, left))})`;
  const notes = caveats(receipt);
  if (tty) {
    return lines([
      `frozen: ${describeFreeze(receipt)}`,
      `  ${lease}`,
      `  id ${receipt.id}`,
      ...indent(notes),
    ]);
  }
  return oneLine(
    sentences(`frozen: ${describeFreeze(receipt)}, ${lease}, id ${receipt.id}`, notes),
  );
}

/** The line for the log of a backup: a summary, then the whole receipt as JSON. On a terminal, the summary only. */
export function thawText(receipt: Receipt, tty: boolean, already = false): string {
  const { held } = receipt.durationsMs;
  const verdict =
    receipt.verdict === 'consistent'
      ? already
        ? 'NOT the success of this thaw (an earlier thaw had it)'
        : 'consistent'
      : `NOT ${receipt.verdict === 'inconsistent' ? 'consistent' : 'finished'} (${receipt.reasons.join(', ')})`;
  const words = [
    `thawed: ${verdict}`,
    held === null ? '' : `held ${formatDuration(held)}`,
    describeFreeze(receipt),
    `id ${receipt.id}`,
  ].filter(Boolean);
  const notes = caveats(receipt);
  if (tty) return lines([words[0] ?? '', ...indent(words.slice(1)), ...indent(notes)]);
  return `${oneLine(sentences(words.join(', '), notes))} receipt=${JSON.stringify(receipt)}`;
}

/** The line for `thaw --abandon`. */
export function abandonedText(body: Body, tty: boolean): string {
  if (body['released'] !== true) return 'nothing released: no such freeze is held';
  return `released, abandoned; ${thawText(body as unknown as Receipt, tty)}`;
}

export function verifyText(body: Body, tty: boolean): string {
  const checks = asList(body['checks']).map(asRecord);
  const failed = checks.filter((check) => check['ok'] !== true);
  const unchecked = failed.filter((check) => check['unchecked'] === true).length;
  const results = [
    [failed.length - unchecked, 'checks failed'],
    [unchecked, 'checks could not look'],
  ] as const;
  const level = levelOf(body);
  const heading =
    body['verified'] === true
      ? `verified: ${checks.length} checks passed`
      : `NOT verified: ${results
          .filter(([count]) => count > 0)
          .map(([count, what]) => `${count} of ${checks.length} ${what}`)
          .join(', ')}`;
  const differences = differencesText(body['differences']);
  if (tty) {
    const rows = checks.map((check) => [
      check['ok'] === true ? 'ok' : check['unchecked'] === true ? 'UNCHECKED' : 'FAILED',
      asText(check['name']),
      oneLine(asText(check['message'])),
    ]);
    const levels = level === '' ? [] : [`level ${level}`];
    return lines([heading, ...indent([...table(rows), ...levels, ...differences])]);
  }
  const shown = failed.length > 0 ? failed : checks;
  const list = shown.map((check) =>
    body['verified'] === true
      ? asText(check['name'])
      : `${asText(check['name'])}: ${asText(check['message'])}`,
  );
  const about = level === '' ? '' : `; level ${level}`;
  const found = `${heading}: ${list.join(failed.length > 0 ? '; ' : ', ')}${about}`;
  return oneLine([found, ...differences].join('; '));
}

/** `unproven (no-receipt)`, `position (content unchecked)`; empty for a sidecar that does not know levels. */
function levelOf(body: Body, content = asText(body['content'])): string {
  const level = asText(body['level']);
  const deep = content === '' || content === 'passed' ? '' : `content ${content}`;
  const more = [asText(body['reason']), deep].filter(Boolean).join(', ');
  return level === '' || more === '' ? level : `${level} (${more})`;
}

/** The line for `status --acknowledge-restore`. */
export function acknowledgedText(acknowledged: Body): string {
  const { by, at } = acknowledged;
  const what = `acknowledged: ${nameRestore(acknowledged)}, level ${levelOf(acknowledged, '')}`;
  return oneLine(`${what}, by ${asText(by)} at ${asText(at)}; it is no longer reported`);
}

/** `restored from ID`, with the restore's mark. */
function nameRestore(restore: Body): string {
  const { id, mark } = restore;
  const by = typeof mark === 'string' ? ` by ${mark}` : '';
  return typeof id === 'string' ? `restored${by} from ${id}` : `restored${by}`;
}

/** A sentence for each thing in which the server differs from the one that was copied. */
function differencesText(found: unknown): string[] {
  return asList(found)
    .map(asRecord)
    .map(({ kind, what, was, is, fix }) => {
      const now = is === null ? 'is missing' : `is ${asText(is)}`;
      const before = was === 'there' ? '' : `was ${asText(was)}, `;
      const cure = fix === undefined ? '' : `. ${asText(fix)}`;
      return oneLine(`differs: ${asText(kind)} ${asText(what)}: ${before}${now}${cure}`);
    });
}

export function statusText(body: Body, tty: boolean): string {
  const engine = asRecord(body['engine']);
  const server = ['name', 'version', 'role'].map((key) => asText(engine[key])).filter(Boolean);
  const reach =
    engine['reachable'] === true ? 'reachable' : `NOT reachable: ${asText(engine['message'])}`;
  const parts = [
    `${asText(body['state'])}${describeLease(asRecord(body['lease']))}`,
    `${server.join(' ')}, ${reach}`,
    `copy ${asText(body['copy'])}`,
    ...describeRestore(asRecord(body['restore'])),
    ...describeAcknowledged(asRecord(body['acknowledgedRestore'])),
    ...describeLast(asRecord(body['lastReceipt'])),
    `quiesce ${asText(body['version'])}`,
  ].map(oneLine);
  return tty ? lines([parts[0] ?? '', ...indent(parts.slice(1))]) : parts.join('; ');
}

function describeLease(lease: Body): string {
  if (lease['id'] === undefined) return '';
  const left = lease['remainingMs'];
  const until =
    typeof left === 'number'
      ? `, lease until ${asText(lease['expiresAt'])} (${formatDuration(left)} left)`
      : '';
  return `: id ${asText(lease['id'])} by ${asText(lease['by'])}${until}`;
}

function describeRestore(restore: Body): string[] {
  const { id, level, verified } = restore;
  if (id === undefined) return [];
  const judged = level === 'unproven' && verified !== null ? 'NOT proven' : 'NOT verified';
  const word = verified === true ? 'verified' : verified === false ? judged : 'not verified yet';
  const content = asRecord(restore['content']);
  const state = asText(content['state']);
  const deep = ['failed', 'unchecked'].includes(state) ? ` ${asText(content['message'])}` : '';
  const about = level === undefined ? '' : ` Level: ${levelOf(restore, state)}`;
  return [
    `${nameRestore(restore)}: ${word}: ${asText(restore['message'])}${deep}${about}`,
    ...differencesText(restore['differences']),
  ];
}

function describeAcknowledged(acknowledged: Body): string[] {
  const { by, at } = acknowledged;
  if (at === undefined) return [];
  return [`${nameRestore(acknowledged)}: acknowledged by ${asText(by)} at ${asText(at)}`];
}

function describeLast(receipt: Body): string[] {
  if (receipt['id'] === undefined) return ['no receipt yet'];
  return [`last receipt ${asText(receipt['id'])}: ${asText(receipt['verdict'])}`];
}

export function receiptsText(body: Body): string {
  const receipts = asList(body['receipts']) as Receipt[];
  if (receipts.length === 0) return 'no receipts yet';
  const rows = receipts.map((one) => [
    one.id,
    one.verdict,
    one.mode ?? '-',
    one.frozenAt ?? '-',
    one.durationsMs.held === null ? '-' : formatDuration(one.durationsMs.held),
    one.reasons.join(','),
  ]);
  return lines(table([['ID', 'VERDICT', 'MODE', 'FROZEN AT', 'HELD', 'REASONS'], ...rows]));
}

function indent(parts: readonly string[]): string[] {
  return parts.map((part) => `  ${part}`);
}

function lines(parts: readonly string[]): string {
  return parts.map((part) => part.trimEnd()).join('\n');
}
