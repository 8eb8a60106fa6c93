import { type ErrorBody, QuiesceError, toQuiesceError } from '../../errors.ts';
import { oneLine } from './printable.ts';

/**
 * Writes, and ignores write errors: the caller must get the exit code even when the output is a closed
 * pipe.
 */
export function writeTo(stream: NodeJS.WriteStream, text: string): void {
  void written(stream, text);
}

/**
 * Writes a result that is the whole purpose of a verb. A reader that closed the pipe is no error; a full
 * disk is one, because the reader would take the part that was written for the whole.
 *
 * @throws QuiesceError INTERNAL
 */
export async function writeResult(stream: NodeJS.WriteStream, text: string): Promise<void> {
  const error = await written(stream, text);
  if (!error || ('code' in error && error.code === 'EPIPE')) return;
  throw new QuiesceError('INTERNAL', `The output cannot be written: ${error.message}.`, {
    hint: 'What was written is incomplete. Write it to a place with free space.',
  });
}

/** Resolves with the error, if there is one. Node opens a standard stream only when it is used. */
async function written(
  stream: NodeJS.WriteStream,
  text: string,
): Promise<Error | null | undefined> {
  if (stream.listenerCount('error') === 0) stream.on('error', () => undefined);
  return await new Promise((resolve) => {
    stream.write(text, resolve);
  });
}

/** The line that every verb prints for an error. */
export function errorLine({ code, message, hint }: Partial<ErrorBody>): string {
  const sentence = message?.replace(/([^.!?])$/, '$1.');
  return oneLine(`quiesce: ${code}: ${sentence}${hint === undefined ? '' : ` Hint: ${hint}`}`);
}

/**
 * Reports an error: one line on stderr, or, when the format is `json` or `yaml`, a JSON document on
 * stdout, which is valid YAML as well. The stack of an unexpected error follows on stderr.
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
