import { type Asynchronous, isOff } from './asynchronous.ts';

/**
 * Something that a backup of this server does not contain, or that may surprise the person who
 * restores it.
 */
export interface Warning {
  readonly code: string;
  readonly message: string;
}

/** The facts that decide which warnings appear. */
export interface WarningFacts {
  readonly database: string;
  readonly dataDirectory: string;
  readonly fsync: boolean;
  readonly fullPageWrites: boolean;
  readonly asynchronous: Asynchronous;
  readonly dataChecksums: boolean;
  readonly walLevel: string;
  /** In the connected database only: those of other databases cannot be seen. */
  readonly unloggedTables: number;
  readonly preparedTransactions: number;
  readonly longTransactions: number;
  readonly longTransactionSeconds: number;
  /** Names of slots that are not temporary. */
  readonly persistentSlots: readonly string[];
  readonly lostSlots: readonly string[];
  readonly tablespaces: readonly { readonly name: string; readonly location: string }[];
  /** The path of pg_wal, if it is not on the volume of the data. */
  readonly walOutside: string | null;
  /** The statements that grant the role what a sealed freeze needs and the role lacks. */
  readonly lacking: readonly string[];
  readonly archiverFailing: boolean;
  readonly replayPaused: boolean;
  /** Databases whose default collation is of another version than the one with which they were made. */
  readonly collationsChanged: readonly string[];
}

type Rule = (facts: WarningFacts) => [code: string, message: string] | undefined;

const RULES: readonly Rule[] = [
  ({ fsync }) =>
    fsync
      ? undefined
      : [
          'fsync-off',
          'fsync is off: after a crash of the machine the data may be corrupt, and so may any snapshot of it.',
        ],
  ({ fullPageWrites }) =>
    fullPageWrites
      ? undefined
      : [
          'full-page-writes-off',
          'full_page_writes is off: a page torn by a crash or in a copy cannot be repaired.',
        ],
  ({ asynchronous: { everywhere, scopes } }) =>
    isOff(everywhere) || scopes.length > 0
      ? [
          'synchronous-commit-off',
          `synchronous_commit is off${isOff(everywhere) ? '' : ` for ${few(scopes)}`}: commits acknowledged while a freeze runs may be missing from its copy; those acknowledged before the freeze was called are in it.`,
        ]
      : undefined,
  ({ asynchronous: { everywhere } }) =>
    everywhere === null
      ? [
          'synchronous-commit-hidden',
          'The role or the database of the sidecar has a synchronous_commit of its own, which hides that of the server: it may be off. Reset it: ALTER ROLE or ALTER DATABASE … RESET synchronous_commit.',
        ]
      : undefined,
  ({ dataChecksums }) =>
    dataChecksums
      ? undefined
      : [
          'data-checksums-off',
          'Data checksums are off: damage to a page goes unnoticed when it is read.',
        ],
  ({ walLevel }) =>
    walLevel === 'minimal'
      ? [
          'wal-level-minimal',
          'wal_level is minimal: a freeze is crash-consistent only, without a backup label.',
        ]
      : undefined,
  ({ lacking }) =>
    lacking.length > 0
      ? [
          'grants-missing',
          `A freeze is crash-consistent only, or is refused: the role lacks: ${lacking.join(' ')}`,
        ]
      : undefined,
  ({ unloggedTables: n, database }) =>
    n > 0
      ? [
          'unlogged-tables',
          `${n} unlogged ${n === 1 ? 'table' : 'tables'} in database ${database}: empty after a restore. Other databases were not checked.`,
        ]
      : undefined,
  ({ preparedTransactions: n }) =>
    n > 0
      ? [
          'prepared-transactions',
          `${n} prepared ${n === 1 ? 'transaction is' : 'transactions are'} in the copy too: after a restore, commit or roll back each one, because it holds locks.`,
        ]
      : undefined,
  ({ persistentSlots: names }) =>
    names.length > 0
      ? [
          'persistent-slots',
          `Replication slots are in the copy too and keep WAL after a restore until they are dropped: ${names.join(', ')}.`,
        ]
      : undefined,
  ({ lostSlots: names }) =>
    names.length > 0
      ? ['slots-lost', `Replication slots that have lost the WAL they need: ${names.join(', ')}.`]
      : undefined,
  ({ tablespaces }) =>
    tablespaces.length > 0
      ? [
          'tablespaces-outside',
          `Tablespaces outside PGDATA must be on the same volume to be in its snapshot: ${tablespaces.map(({ name, location }) => `${name} (${location})`).join(', ')}.`,
        ]
      : undefined,
  ({ walOutside: path }) =>
    path === null
      ? undefined
      : [
          'wal-outside',
          `pg_wal is outside the data volume, at ${path}: a snapshot of that volume alone does not contain it.`,
        ],
  ({ archiverFailing }) =>
    archiverFailing
      ? [
          'archiver-failing',
          'The last attempt to archive WAL failed: WAL accumulates in pg_wal, and point-in-time recovery ends there.',
        ]
      : undefined,
  ({ longTransactions: n, longTransactionSeconds: s }) =>
    n > 0
      ? [
          'long-transactions',
          `${n} ${n === 1 ? 'transaction is' : 'transactions are'} open for more than ${s} s.`,
        ]
      : undefined,
  ({ replayPaused }) =>
    replayPaused
      ? [
          'replay-paused',
          'Replay is paused on this standby: it falls behind, and a copy of it is as old as the pause.',
        ]
      : undefined,
  ({ collationsChanged: names }) =>
    names.length > 0
      ? [
          'collation-version-mismatch',
          `The collation library of this server is another than the one that these databases were made with: ${names.join(', ')}. Indexes on text may be wrong. In each: REINDEX DATABASE, then ALTER DATABASE … REFRESH COLLATION VERSION.`,
        ]
      : undefined,
];

const SHOWN = 10;

function few(names: readonly string[]): string {
  const more = names.length > SHOWN ? `, and ${names.length - SHOWN} more` : '';
  return `${names.slice(0, SHOWN).join(', ')}${more}`;
}

/** Pure: facts to warnings, in a fixed order. */
export function warningsFor(facts: WarningFacts): Warning[] {
  return RULES.flatMap((rule) => {
    const found = rule(facts);
    return found ? [{ code: found[0], message: found[1] }] : [];
  });
}
