import { QuiesceError } from '../errors.ts';
import { reportFailure } from '../lib/command-line/failure.ts';
import { APPLICATION_EXITS } from './application-flags.ts';
import type { Surface } from './verb.ts';

/** A manifest in a hint follows it as it is, so that it can be applied. @returns the exit code */
export function fail(error: QuiesceError, surface: Surface): number {
  surface.progress.end();
  const { manifest } = error.details;
  const asText = surface.format !== 'json' && typeof manifest === 'string';
  const told = asText
    ? new QuiesceError(error.code, error.message, { hint: error.hint.split('\n')[0] ?? '' })
    : error;
  const exit = reportFailure(told, surface.format);
  if (asText) surface.say(manifest.trimEnd());
  return error.code === 'CLUSTER_UNREACHABLE' ? APPLICATION_EXITS.CLUSTER_UNREACHABLE : exit;
}
