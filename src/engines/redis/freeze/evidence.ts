import type { Breach } from '../../engine.ts';
import { callsBetween, type Evidence, wereReset } from './commands.ts';
import { numberOf } from '../connection/replies.ts';
import { runningChild, keyCounts, type ServerFacts } from '../server.ts';

export type Differences = Breach[];

/**
 * Compares two looks at a server. No difference proves that no write went in between them, because
 * every write moves a counter. The pause itself proves nothing: it can end (another client's UNPAUSE, a
 * jump of the server's clock) and begin again.
 *
 * With an AOF, every write is appended to it: its size must be unchanged, its buffer empty, and it must
 * not have been rewritten. Without one, `rdb_changes_since_last_save` counts every change, and only a
 * save resets it. Expiry and eviction have counters of their own. A command may replace the data and
 * move none of these, or reset them within the one-second resolution of `rdb_last_save_time`. The counts
 * of commands and of keys show it.
 */
export function compare(then: Evidence, now: Evidence): Differences {
  if (now.runId !== then.runId) {
    return [
      {
        code: 'server-restarted',
        note: `The server was restarted during the hold (run_id ${then.runId} then, ${now.runId} now); its pause ended with it.`,
      },
    ];
  }
  if (now.role !== then.role) {
    return [
      {
        code: 'role-changed',
        note: `The server was a ${then.role} and is now a ${now.role}: a failover happened during the hold. A Sentinel may have written the settings of the freeze to its configuration file (CONFIG REWRITE): check auto-aof-rewrite-percentage there.`,
      },
    ];
  }
  if (wereReset(then, now)) {
    return [
      {
        code: 'counters-reset',
        note: "The server's counters were reset during the hold (CONFIG RESETSTAT), so it cannot be proven that no write went in.",
      },
    ];
  }
  const found: Differences = [];
  if (now.replid !== then.replid && !isFirstReplica(then, now)) {
    found.push({
      code: 'replication-changed',
      note: `The data now follows another history (master_replid ${then.replid} then, ${now.replid} now): a failover happened during the hold.`,
    });
  }
  if (differ(then, now, 'aof_enabled')) {
    found.push({
      code: 'persistence-changed',
      note: 'The AOF was turned on or off during the hold.',
    });
    return found;
  }
  found.push(
    ...(then.info.get('aof_enabled') === '1' ? compareAof(then, now) : compareRdb(then, now)),
  );
  found.push(...compareLostKeys(then, now));
  found.push(...compareCommands(then, now));
  const paused = now.info.get('paused_actions');
  if (then.info.get('paused_actions') !== undefined && paused !== then.info.get('paused_actions')) {
    found.push({
      code: 'pause-ended',
      note: `Writers are no longer paused (paused_actions: ${paused}): another client ran CLIENT UNPAUSE, or the server's clock jumped.`,
    });
  }
  return found;
}

function compareLostKeys(then: Evidence, now: Evidence): Differences {
  const fields = [
    ['expired_keys', 'expired'],
    ['evicted_keys', 'evicted'],
  ] as const;
  const lost = fields.filter(([field]) => differ(then, now, field));
  return lost.map(([field, what]) => ({
    code: 'writes-went-in',
    note: `Keys were ${what} during the hold (${shown(then, now, field)}): the pause had ended.`,
  }));
}

/** Finds commands that replace the data or the files on the disk without a write. */
function compareCommands(then: Evidence, now: Evidence): Differences {
  const ran = (commands: readonly string[]): string | undefined =>
    commands.find((command) => callsBetween(then, now, command) > 0);
  const found: Differences = [];
  const saved = then.info.get('aof_enabled') === '1' ? undefined : ran(SAVING);
  if (saved !== undefined) {
    found.push({
      code: 'saved-during-hold',
      note: `${shownCommand(saved)} was run during the hold, so it cannot be proven that no write went in.`,
    });
  }
  const unseen = ran(UNSEEN);
  if (unseen !== undefined) {
    found.push({
      code: 'data-reloaded',
      note: `${shownCommand(unseen)} was run during the hold: it can reload or change the data without a write, so the server may no longer hold the frozen data.`,
    });
  }
  return found;
}

/** FLUSHALL saves immediately and then reports no changes (measured, 7.0.15 and Valkey 8.0.1). */
const SAVING = ['save', 'bgsave', 'flushall'] as const;
/** The server does not count the subcommands of DEBUG separately, so any of them counts here. */
const UNSEEN = ['debug', 'module|load', 'module|loadex', 'module|unload'] as const;

function shownCommand(command: string): string {
  return command.replace('|', ' ').toUpperCase();
}

/** Compares the server's counts of the data. Called last at thaw: the other checks explain more. */
export function compareData(then: ServerFacts, now: ServerFacts): Differences {
  const loaded = ['rdb_last_load_keys_loaded', 'rdb_last_load_keys_expired'];
  if (loaded.some((field) => differ(then, now, field))) {
    return [{ code: 'data-reloaded', note: 'The server loaded an RDB file during the hold.' }];
  }
  const [before, after] = [keyCounts(then.info), keyCounts(now.info)];
  const names = new Set([...Object.keys(before), ...Object.keys(after)]);
  const other = [...names].find(
    (name) =>
      before[name]?.keys !== after[name]?.keys || before[name]?.expires !== after[name]?.expires,
  );
  if (other === undefined) return [];
  const shownKeys = (counts: typeof before): string => `${counts[other]?.keys ?? 0} keys`;
  return [
    {
      code: 'writes-went-in',
      note: `${other} had ${shownKeys(before)} at the freeze and has ${shownKeys(after)} now, so the pause had ended.`,
    },
  ];
}

/**
 * Detects that a replica with RDB files only was synchronized again by its primary, which moves none of
 * the other counters. On an unbroken link every byte is counted twice: as input, and as history read.
 * After a reconnection the two counts differ (measured, 7.0.15 and Valkey 8.0.1).
 */
export function compareLink(then: ServerFacts, now: ServerFacts): Differences {
  if (then.info.get('aof_enabled') === '1') return [];
  const outside = ({ info }: ServerFacts): number =>
    (numberOf(info, 'total_net_repl_input_bytes') ?? Number.NaN) -
    (numberOf(info, 'slave_read_repl_offset') ?? Number.NaN);
  if (outside(then) === outside(now)) return [];
  return [
    {
      code: 'replication-interrupted',
      note: 'The link to the primary was reestablished during the hold, so the saved file may have been replaced by one from the primary. With QUIESCE_DATA_DIR the file itself is checked.',
    },
  ];
}

/** For a server that loads its data during the hold. @param sameRun it is still the process that was held. */
export function loadingBreach(sameRun: boolean): Differences {
  return sameRun
    ? [
        {
          code: 'data-reloaded',
          note: 'The server is loading its data again, as a replica does in a full synchronization: the frozen data is gone.',
        },
      ]
    : [
        {
          code: 'server-restarted',
          note: 'The server was restarted during the hold and is loading its data; its pause ended with it.',
        },
      ];
}

function compareAof(then: ServerFacts, now: ServerFacts): Differences {
  const rewritten =
    differ(then, now, 'aof_rewrites') ||
    differ(then, now, 'aof_base_size') ||
    now.info.get('aof_rewrite_in_progress') === '1';
  if (rewritten) {
    return [
      {
        code: 'rewritten-during-hold',
        note: 'The AOF was rewritten during the hold, so it cannot be proven that no write went in, and the copied files may not match each other.',
      },
    ];
  }
  if (!differ(then, now, 'aof_current_size') && now.info.get('aof_buffer_length') === '0')
    return [];
  return [
    {
      code: 'writes-went-in',
      note: `The AOF grew during the hold (${shown(then, now, 'aof_current_size')} bytes): another client ran CLIENT UNPAUSE, or the server's clock jumped.`,
    },
  ];
}

function compareRdb(then: ServerFacts, now: ServerFacts): Differences {
  const saved = ['rdb_saves', 'rdb_last_save_time', 'total_forks'].some((field) =>
    differ(then, now, field),
  );
  if (saved || runningChild(now.info) !== null) {
    return [
      {
        code: 'saved-during-hold',
        note: 'The server saved or forked during the hold, so it cannot be proven that no write went in.',
      },
    ];
  }
  if (!differ(then, now, 'rdb_changes_since_last_save')) return [];
  return [
    {
      code: 'writes-went-in',
      note: `Data was changed during the hold (rdb_changes_since_last_save ${shown(then, now, 'rdb_changes_since_last_save')}): another client ran CLIENT UNPAUSE, or the server's clock jumped.`,
    },
  ];
}

/** The first replica that ever attaches makes its primary start a new history (source: replication.c). */
function isFirstReplica(then: ServerFacts, now: ServerFacts): boolean {
  return (
    then.role === 'primary' &&
    then.info.get('repl_backlog_active') === '0' &&
    now.info.get('repl_backlog_active') === '1'
  );
}

function differ(then: ServerFacts, now: ServerFacts, field: string): boolean {
  return then.info.get(field) !== now.info.get(field);
}

function shown(then: ServerFacts, now: ServerFacts, field: string): string {
  return `${then.info.get(field)} then, ${now.info.get(field)} now`;
}
