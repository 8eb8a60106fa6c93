import type { QuiesceError } from '../errors.ts';

/** Fields that an answer may have next to `error`. */
const COMPANIONS = ['receipt', 'checks', 'level', 'reason', 'content', 'differences'] as const;

export interface ErrorAnswer {
  readonly error: ReturnType<QuiesceError['toBody']>;
  readonly receipt?: unknown;
  readonly checks?: unknown;
  readonly level?: unknown;
  readonly reason?: unknown;
  readonly content?: unknown;
  readonly differences?: unknown;
}

export function errorBody(error: QuiesceError): ErrorAnswer {
  const extras = COMPANIONS.filter((name) => error.details[name] !== undefined);
  return {
    error: error.toBody(),
    ...Object.fromEntries(extras.map((name) => [name, error.details[name]])),
  };
}
