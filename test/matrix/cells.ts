import type { FileOrder } from '../support/file-copy.ts';

export const MODE_NAMES = [
  'sealed',
  'crash-consistent',
  'open',
  'staged',
  'replica-paused',
] as const;
export type ModeName = (typeof MODE_NAMES)[number];
export type CopyName = 'snapshot' | 'volumes' | 'files';
export type Role = 'primary' | 'standby';

/** One way to freeze and copy a server in one role. */
export interface Cell {
  readonly mode: ModeName;
  readonly copy: CopyName;
  readonly role: Role;
  /** The adversary's copy orders, used in turn; none if the copy is atomic. */
  readonly orders: readonly FileOrder[];
  /** Settings of the sidecar. */
  readonly env: Readonly<Record<string, string>>;
}

const BOTH = ['A1', 'A2'] as const;
const FILES = { QUIESCE_COPY: 'files', QUIESCE_FREEZE_TIMEOUT: '120s' };
const PAUSE = { QUIESCE_REPLICA: 'pause' };

/** Every supported combination. {@link refusalsOf} lists combinations that must be refused. */
export const CELLS: readonly Cell[] = [
  { mode: 'sealed', copy: 'snapshot', role: 'primary', orders: [], env: {} },
  { mode: 'sealed', copy: 'snapshot', role: 'standby', orders: [], env: {} },
  { mode: 'crash-consistent', copy: 'snapshot', role: 'primary', orders: [], env: {} },
  { mode: 'crash-consistent', copy: 'snapshot', role: 'standby', orders: [], env: {} },
  { mode: 'open', copy: 'volumes', role: 'primary', orders: BOTH, env: {} },
  { mode: 'staged', copy: 'files', role: 'primary', orders: BOTH, env: FILES },
  { mode: 'staged', copy: 'files', role: 'standby', orders: BOTH, env: FILES },
  { mode: 'replica-paused', copy: 'snapshot', role: 'standby', orders: [], env: PAUSE },
  {
    mode: 'replica-paused',
    copy: 'files',
    role: 'standby',
    orders: BOTH,
    env: { ...FILES, ...PAUSE },
  },
];

/** A freeze that must be refused before anything is copied. */
export interface Refusal {
  readonly name: string;
  readonly env: Readonly<Record<string, string>>;
  readonly code: string;
}

/** The freezes that must be refused for the server of this cell: their promises cannot be kept there. */
export function refusalsOf({ mode, role }: Cell): readonly Refusal[] {
  const code = 'COPY_UNSUPPORTED';
  if (mode === 'open') {
    return [
      { name: 'several volumes as one snapshot', env: { QUIESCE_COPY: 'snapshot' }, code },
      { name: 'tablespaces outside, staged', env: FILES, code },
    ];
  }
  if (mode === 'sealed' && role === 'standby') {
    return [{ name: 'several volumes of a standby', env: { QUIESCE_COPY: 'volumes' }, code }];
  }
  if (mode === 'replica-paused') {
    const env = { ...PAUSE, QUIESCE_COPY: 'volumes' };
    return [{ name: 'several volumes of a paused replica', env, code }];
  }
  return [];
}
