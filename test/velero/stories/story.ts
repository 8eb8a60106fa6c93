import type { Stage } from '../stage/stage.ts';

export interface Story {
  /** Unique; what the command line names. */
  readonly name: string;
  readonly group: string;
  /** What a user does, in one line. */
  readonly title: string;
  /** Whether CI plays it. */
  readonly inCi: boolean;
  play(stage: Stage): Promise<void>;
}
