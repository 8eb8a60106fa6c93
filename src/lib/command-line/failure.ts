import { type ErrorBody, toQuiesceError } from '../../errors.ts';
import { oneLine } from './printable.ts';

/**
 * Writes, whether or not anybody reads: the exit code must reach the caller also where the output is
 * a closed pipe. A stream is opened when something is written to it.
 */
export function writeTo(stream: NodeJS.WriteStream, text: string): void {
  if (stream.listenerCount('error') === 0) stream.on('error', () => undefined);
  stream.write(text);
}

/** The one line in which every verb tells an error. */
export function errorLine({ code, message, hint }: Partial<ErrorBody>): string {
  const sentence = message?.replace(/([^.!?])$/, '$1.');
  return oneLine(`quiesce: ${code}: ${sentence}${hint === undefined ? '' : ` Hint: ${hint}`}`);
}

/**
 * Tells an error: one line on stderr, or with `-o json` a document on stdout, which is YAML, too. What
 * nobody expected is followed by its stack on stderr.
 *
 * @returns the exit code
 */
export function reportFailure(thrown: unknown, format: string | undefined): number {
  const error = toQuiesceError(thrown);
  if (format === 'json' || format === 'yaml') {
    writeTo(process.stdout, `${JSON.stringify({ error: error.toBody() })}\n`);
  } else {
    writeTo(process.stderr, `${errorLine(error.toBody())}\n`);
  }
  if (error.code === 'INTERNAL' && error.cause instanceof Error) {
    writeTo(process.stderr, `${error.cause.stack ?? error.cause.message}\n`);
  }
  return error.exit;
}
