import type { Settings } from './engine.ts';

/** A user's own statement about the data, such as `select count(*) > 0 from orders`. */
export interface Question {
  readonly statement: string;
  /** Absent: that of the settings. */
  readonly database?: string | undefined;
  readonly timeoutMs: number;
}

export interface AnswerToQuestion {
  /** The statement gave a row, and what stands first in it is neither null nor false. */
  readonly ok: boolean;
  /** What stands first in the first row, as text of bounded length; absent: there was no row. */
  readonly found?: string;
}

/** The exports of an engine's `verify/ask.ts`. */
export interface AskModule {
  /**
   * Runs one statement that changes nothing, within the time.
   *
   * @throws QuiesceError USAGE if it is not a question, or an `ENGINE_…` code
   */
  readonly ask: (
    settings: Settings,
    question: Question,
    signal: AbortSignal,
  ) => Promise<AnswerToQuestion>;
}
