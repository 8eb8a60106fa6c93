import { pino } from 'pino';
import type { DestinationStream, Logger as PinoLogger } from 'pino';
import type { LogLevel } from './defaults.ts';
import { SECRET_SETTINGS } from './engines/names.ts';

export type Logger = PinoLogger;

const SECRET_NAMES = [
  'authorization',
  'password',
  'passwd',
  'token',
  'secret',
  'connectionString',
  ...SECRET_SETTINGS,
  'QUIESCE_CONTROL_TOKEN',
];

/** Logs JSON lines to stdout. Redacts secrets by field name, and in any text by their shape. */
export function createLogger(options: {
  readonly level: LogLevel;
  /** Fields of every line, such as app and engine. */
  readonly base?: Readonly<Record<string, string>>;
  readonly destination?: DestinationStream;
}): Logger {
  return pino(
    {
      level: options.level,
      base: { ...options.base },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: {
        paths: SECRET_NAMES.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]),
        censor: '[redacted]',
      },
      hooks: { streamWrite: scrub },
    },
    options.destination ?? pino.destination({ fd: 1, sync: true }),
  );
}

/** Redacts passwords in URLs, `password=…` and bearer tokens in a log line. */
export function scrub(line: string): string {
  return line
    .replaceAll(/([a-z][a-z0-9+.-]*:\/\/[^\s:@/"\\]*):[^\s@"\\]+@/gi, '$1:[redacted]@')
    .replaceAll(/\b(password|passwd|pwd)(\s*=\s*)(?!\[redacted\])[^\s"'\\&;,]+/gi, '$1$2[redacted]')
    .replaceAll(/\b(bearer\s+)[\w.~+/=-]+/gi, '$1[redacted]');
}
