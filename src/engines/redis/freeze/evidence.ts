import type { Breach } from '../../engine.ts';
import { callsBetween, type Evidence, wereReset } from './commands.ts';
import { numberOf } from '../connection/replies.ts';
import { runningChild, keyCounts, type ServerFacts } from '../server.ts';

export type Differences = Breach[];

/**
 * What proves that no write went in between two looks at a server: counters that every write moves.
 * The pause itself proves nothing, for it can end (somebody's UNPAUSE, a jump of the server's clock)
 * and begin again.
 *
 * With an AOF: every write is appended to it, so its size and buffer stand still, and it was not
 * rewritten. Without: `rdb_changes_since_last_save` counts every change and only a save takes it back.
 * Deletions by expiry and eviction have counters of their own. What replaces the data and moves none of
 * these, or moves them back within the second that `rdb_last_save_time` has for its unit, is told by the
 * counts of commands and of keys.
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
        note: `The server was a ${then.role} and is a ${now.role} now: a failover during the hold. A Sentinel may have written the settings of the freeze to its configuration file (CONFIG REWRITE): look at auto-aof-rewrite-percentage there.`,
      },
    ];
  }
  if (wereReset(then, now)) {
    return [
      {
        code: 'counters-reset',
        note: "The server's counters were set back during the hold (CONFIG RESETSTAT), and nothing proves any more that no write went in.",
      },
    ];
  }
  const found: Differences = [];
  if (now.replid !== then.replid && !isFirstReplica(then, now)) {
    found.push({
      code: 'replication-changed',
      note: `The data follows another history now (master_replid ${then.replid} then, ${now.replid} now): a failover during the hold.`,
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
      note: `Writers are no longer paused (paused_actions: ${paused}): somebody else ran CLIENT UNPAUSE, or the server's clock jumped.`,
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

/** Commands that replace the data, or what lies on the disk, and need no write to do so. */
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
      note: `${shownCommand(unseen)} was run during the hold: it can reload or change the data without a write, so what the server holds is not known to be what was frozen.`,
    });
  }
  return found;
}

/** FLUSHALL saves at once, and counts no change after it (measured, 7.0.15 and Valkey 8.0.1). */
const SAVING = ['save', 'bgsave', 'flushall'] as const;
/** Of DEBUG the server does not count which of its commands ran. */
const UNSEEN = ['debug', 'module|load', 'module|loadex', 'module|unload'] as const;

function shownCommand(command: string): string {
  return command.replace('|', ' ').toUpperCase();
}

/** The data itself, as far as the server counts it: for the thaw, after all that tells more of why. */
export function compareData(then: ServerFacts, now: ServerFacts): Differences {
  const loaded = ['rdb_last_load_keys_loaded', 'rdb_last_load_keys_expired'];
  if (loaded.some((field) => differ(then, now, field))) {
    return [{ code: 'data-reloaded', note: 'The server has loaded an RDB file during the hold.' }];
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
 * A replica that keeps RDB files only and was filled anew by its primary: that moves none of the other
 * counters. Every byte of an unbroken link is counted twice, as input and as what was read of the
 * history; of a link made anew the two differ (measured, 7.0.15 and Valkey 8.0.1).
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
      note: 'The link to the primary was made anew during the hold, and with it the primary may have put another file in the place of the one saved. With QUIESCE_DATA_DIR the file itself tells.',
    },
  ];
}

/** A server that is found loading its data in the hold. @param sameRun is it still the process that was held? */
export function loadingBreach(sameRun: boolean): Differences {
  return sameRun
    ? [
        {
          code: 'data-reloaded',
          note: 'The server is loading its data anew, as a replica does that is filled by its primary: what it held is gone.',
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
        note: 'The AOF was rewritten during the hold, so it cannot be proven that no write went in, and copied files may not belong together.',
      },
    ];
  }
  if (!differ(then, now, 'aof_current_size') && now.info.get('aof_buffer_length') === '0')
    return [];
  return [
    {
      code: 'writes-went-in',
      note: `The AOF has grown during the hold (${shown(then, now, 'aof_current_size')} bytes): somebody else ran CLIENT UNPAUSE, or the server's clock jumped.`,
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
      note: `Data was changed during the hold (rdb_changes_since_last_save ${shown(then, now, 'rdb_changes_since_last_save')}): somebody else ran CLIENT UNPAUSE, or the server's clock jumped.`,
    },
  ];
}

/** The first replica that ever attaches makes its primary begin a history (source: replication.c). */
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
