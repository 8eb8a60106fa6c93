import { COPY_METHODS } from '../../src/receipt/receipt.ts';
import type { Subject } from './fixture.ts';
import type { PostgresLedger } from './postgres-server.ts';
import { PostgresWorld } from './postgres-world.ts';

export type PostgresMode = 'sealed' | 'open' | 'staged' | 'paused';

/** A server of this major version, frozen in one of the modes. For `paused` it is a standby. */
export function postgres(major: number, mode: PostgresMode): Subject<PostgresLedger> {
  return {
    ...COMMON,
    ...MODES[mode],
    name: `PostgreSQL ${major}, ${mode}`,
    start: (options) =>
      mode === 'paused'
        ? PostgresWorld.startStandby(major, options)
        : PostgresWorld.start(major, options),
  };
}

type Differing = Omit<Subject<PostgresLedger>, 'name' | 'start' | keyof typeof COMMON>;

const COMMON = {
  engine: 'postgres',
  blocksWrites: false,
  claims: COPY_METHODS,
} as const;

const SEALED: Differing = {
  mode: 'sealed',
  replica: 'run',
  copies: ['snapshot'],
  copy: 'snapshot',
  deadManMs: 10_000,
  seenInServer: true,
  holdDiesWithItsSession: false,
  outlivesServer: false,
  marksFurtherVolumes: false,
  remembers: false,
  keptAfterThaw: null,
  withoutRight: 'weaker',
  right: /GRANT EXECUTE ON FUNCTION .*(pg_backup_start|pg_start_backup)/,
  reasons: { killed: 'server-lost', restarted: 'server-restarted' },
  refusals: [{ where: 'where all data is on one volume', copy: 'volumes', env: {} }],
};

const MODES: Readonly<Record<PostgresMode, Differing>> = {
  sealed: SEALED,
  open: {
    ...SEALED,
    mode: 'open',
    copies: ['volumes'],
    copy: 'volumes',
    holdDiesWithItsSession: true,
    reasons: { killed: 'backup-lost', restarted: 'backup-lost' },
    marksFurtherVolumes: true,
    remembers: true,
    // The volume of the WAL is cut after the thaw. On 13 the session of the slot waits in a transaction.
    keptAfterThaw: /^the replication slot |^a session in BEGIN$/,
    withoutRight: 'ENGINE_PRIVILEGE',
    refusals: [
      {
        where: 'where the data is not mounted',
        copy: 'volumes',
        env: { QUIESCE_DATA_DIR: undefined },
      },
      { where: 'for a caller whose thaw comes last', copy: 'volumes', env: {}, thawLast: true },
      { where: 'where the data is on several volumes', copy: 'snapshot', env: {} },
      { where: 'where the data is on several volumes', copy: 'files', env: {} },
    ],
  },
  staged: {
    ...SEALED,
    mode: 'staged',
    copies: ['files'],
    copy: 'files',
    // It holds only files.
    deadManMs: 0,
    seenInServer: false,
    outlivesServer: true,
    withoutRight: 'COPY_UNSUPPORTED',
    refusals: [
      {
        where: 'where the data is not mounted',
        copy: 'files',
        env: { QUIESCE_DATA_DIR: undefined },
      },
    ],
  },
  paused: {
    ...SEALED,
    mode: 'replica-paused',
    replica: 'pause',
    copies: ['snapshot', 'files'],
    deadManMs: 30_000,
    remembers: true,
    withoutRight: 'ENGINE_PRIVILEGE',
    refusals: [{ where: 'on a standby whose replay is paused', copy: 'volumes', env: {} }],
  },
};
