import { STATUS_CODES } from 'node:http';
import type { QuiesceError } from '../errors.ts';
import { errorBody } from './error-body.ts';

/** An error as the text of a complete HTTP answer, for use where there is no response object. */
export function rawAnswer(
  error: QuiesceError,
  headers: Readonly<Record<string, string>> = {},
): string {
  const body = JSON.stringify(errorBody(error));
  const all = {
    'content-type': 'application/json; charset=utf-8',
    'content-length': String(Buffer.byteLength(body)),
    connection: 'close',
    ...headers,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${error.status} ${STATUS_CODES[error.status] ?? ''}\r\n${lines.join('')}\r\n${body}`;
}
