import closeWithGrace from 'close-with-grace';
import { readConfig } from '../config/config.ts';
import * as defaults from '../defaults.ts';
import { ENGINE_NAMES, loadEngine } from '../engines/index.ts';
import { writeDuration } from '../lib/duration.ts';
import { text } from '../lib/command-line/flags.ts';
import { startSidecar } from '../sidecar/sidecar.ts';
import { verb } from './verb.ts';

const { flowing, blocked } = defaults.TTL_MS;

const SETTINGS = [
  ['QUIESCE_ENGINE', `${ENGINE_NAMES.join(' | ')} (required)`],
  ['QUIESCE_DATA_DIR', 'the mounted data; without it no receipt is written to the volume'],
  ['QUIESCE_STATE_DIR', `journal and receipts (${defaults.STATE_DIR})`],
  ['QUIESCE_SOCKET', `control socket, mode 0600 (${defaults.CONTROL_SOCKET})`],
  ['QUIESCE_CONTROL_ADDR', `control on loopback, or off (${defaults.CONTROL_ADDRESS})`],
  ['QUIESCE_METRICS_ADDR', `metrics and health, or off (${defaults.METRICS_ADDRESS})`],
  ['QUIESCE_COPY', `snapshot | volumes | files (${defaults.COPY})`],
  ['QUIESCE_REPLICA', 'run | pause: whether a freeze pauses replay on a standby (run)'],
  [
    'QUIESCE_TTL',
    `lease of a freeze (${writeDuration(flowing)}; ${writeDuration(blocked)} where writers wait)`,
  ],
  ['QUIESCE_TTL_MAX', `longest lease a caller may ask for (${writeDuration(defaults.TTL_MAX_MS)})`],
  ['QUIESCE_FREEZE_TIMEOUT', `deadline of a freeze (${writeDuration(defaults.FREEZE_TIMEOUT_MS)})`],
  ['QUIESCE_CONTROL_TOKEN', 'bearer token for the loopback port'],
  ['QUIESCE_APP', 'the app label of the metrics'],
  ['QUIESCE_LOG_LEVEL', `trace ... fatal, silent (${defaults.LOG_LEVEL})`],
] as const;

const STOP_SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

export const run = verb({
  name: 'sidecar',
  usage: ['[--config FILE]'],
  about: `
Runs beside a database and offers freeze, thaw and metadata over a Unix socket and on loopback.
It is configured by environment variables, or by the same keys in FILE (KEY=VALUE lines or a JSON
object; the environment wins). NAME_FILE reads any of them from a file.

${SETTINGS.map(([name, about]) => `  ${name.padEnd(24)}${about}`).join('\n')}

PostgreSQL is reached by libpq's own names: PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE,
PGSSLMODE, PGSSLROOTCERT, ... Redis and Valkey by REDIS_URL, or REDIS_HOST, REDIS_PORT, REDIS_USERNAME,
REDIS_PASSWORD, REDIS_TLS, ...
MongoDB by MONGODB_URI, with MONGODB_USERNAME, MONGODB_PASSWORD and MONGODB_AUTH_SOURCE beside it.`,
  flags: { config: text('FILE', 'keys that the environment does not set', {}) },
  notes: 'SIGTERM thaws first, then closes.',
  exits: { 0: 'stopped', 2: 'bad flags or configuration', 1: 'unexpected' },
  work: async ({ config: file }) => {
    // What the sidecar writes is nobody else's business; files on the volume get their own mode.
    process.umask(0o077);
    const config = await readConfig({
      env: process.env,
      file,
      engines: ENGINE_NAMES,
      engineIssues: async (engine, settings) => (await loadEngine(engine)).checkSettings(settings),
    });
    return await untilStopped(await startSidecar(config));
  },
});

/** Never resolves by itself: the process ends when it has been told to and all is released. */
function untilStopped(sidecar: Awaited<ReturnType<typeof startSidecar>>): Promise<number> {
  return new Promise(() => {
    let why: string | undefined;
    const options = {
      delay: defaults.STOP_WITHIN_MS,
      logger: false as const,
      skip: [...STOP_SIGNALS],
    };
    const { close } = closeWithGrace(options, async ({ signal, err }) => {
      if (err) sidecar.logger.fatal({ err }, 'unexpected failure');
      why ??= signal ?? 'unexpected failure';
      await sidecar.stop(why);
    });
    for (const name of STOP_SIGNALS) {
      process.on(name, () => {
        // A further one would cut off the release that the first has begun.
        if (why !== undefined) return;
        why = name;
        close();
      });
    }
  });
}
