import { Gauge, type Registry } from 'prom-client';
import type { RecoveryView } from './recoveries.ts';
import { type GroupState, type RecordView, VERDICTS } from './runs.ts';

/** The runs on record, as they are at a scrape. */
export interface GroupStates {
  readonly snapshots: () => readonly GroupState[];
  readonly restores: () => readonly GroupState<RecoveryView>[];
  readonly drills: () => readonly GroupState<RecoveryView>[];
}

/** Declares a gauge whose series are made anew at each scrape. A value of `undefined` makes none. */
type Declare<V extends RecordView> = (
  name: string,
  help: string,
  value: (state: GroupState<V>) => number | undefined,
) => void;

export function declareGroups(registers: Registry[], states: GroupStates): void {
  declareSnapshots(registers, states.snapshots);
  declareRestores(registers, states.restores);
  declareDrills(registers, states.drills);
}

function declareSnapshots(registers: Registry[], states: GroupStates['snapshots']): void {
  const gauge = declaring(registers, 'group', states);
  declareVerdict(registers, 'group', 'run', states);
  gauge('last_success_timestamp_seconds', 'End of the last proven run', ({ success }) =>
    inSeconds(success?.endedAt),
  );
  gauge(
    'freeze_spread_seconds',
    'In the last run, from the first answer of a freeze to the last',
    ({ last }) => inSeconds(last?.freezeSpreadMs),
  );
}

function declareRestores(registers: Registry[], states: GroupStates['restores']): void {
  const gauge = declaring(registers, 'restore', states);
  declareVerdict(registers, 'restore', 'restore', states);
  gauge(
    'acknowledged',
    '1: the record of the last restore says that a person has looked at it',
    ({ last }) => last && Number(last.acknowledged === true),
  );
  gauge(
    'unfinished_since_timestamp_seconds',
    'Start of the oldest restore that has not ended',
    ({ running }) => inSeconds(running?.recordedAt),
  );
}

function declareDrills(registers: Registry[], states: GroupStates['drills']): void {
  const gauge = declaring(registers, 'drill', states);
  gauge(
    'verified',
    '1: the last drill was proven, 0: it was not',
    ({ last }) => last && Number(last.verdict === 'proven'),
  );
  gauge('last_success_timestamp_seconds', 'End of the last proven drill', ({ success }) =>
    inSeconds(success?.endedAt),
  );
  // Those of a drill that was not proven would say how fast something came back that nobody can rely on.
  gauge(
    'rto_seconds',
    'In the last proven drill, from its start until all was healthy',
    ({ success }) => success?.rtoSeconds,
  );
  gauge(
    'rpo_seconds',
    'In the last proven drill, the age of its oldest data',
    ({ success }) => success?.rpoSeconds,
  );
  gauge(
    'left_behind',
    '1: the last drill did not remove all that it made',
    ({ last }) => last && Number(last.leftBehind === true),
  );
  gauge(
    'unfinished_since_timestamp_seconds',
    'Start of the oldest drill that has not ended',
    ({ running }) => inSeconds(running?.recordedAt),
  );
}

function declaring<V extends RecordView>(
  registers: Registry[],
  prefix: string,
  states: () => readonly GroupState<V>[],
): Declare<V> {
  return (name, help, value) => {
    const one: Gauge = new Gauge({
      name: `stateful_backup_${prefix}_${name}`,
      help,
      labelNames: ['namespace', 'group'],
      registers,
      collect() {
        one.reset();
        for (const state of states()) {
          const now = value(state);
          const { namespace, group } = state;
          if (now !== undefined) one.set({ namespace, group }, now);
        }
      },
    });
  };
}

function declareVerdict<V extends RecordView>(
  registers: Registry[],
  prefix: string,
  what: string,
  states: () => readonly GroupState<V>[],
): void {
  const one: Gauge = new Gauge({
    name: `stateful_backup_${prefix}_verdict`,
    help: `1 for the verdict of the last ${what}, 0 for the others`,
    labelNames: ['namespace', 'group', 'verdict'],
    registers,
    collect() {
      one.reset();
      for (const { namespace, group, last } of states()) {
        if (last === undefined) continue;
        for (const verdict of VERDICTS)
          one.set({ namespace, group, verdict }, Number(last.verdict === verdict));
      }
    },
  });
}

function inSeconds(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : ms / 1_000;
}
