import { parseArgs } from 'node:util';
import closeWithGrace from 'close-with-grace';
import { readConfig } from '../config/config.ts';
import { ENGINE_NAMES, loadEngine } from '../engines/index.ts';
import { QuiesceError, toQuiesceError } from '../errors.ts';
import { startSidecar } from '../sidecar/sidecar.ts';

const HELP = `Usage: quiesce sidecar [--config FILE]

Runs beside a database and offers freeze, thaw and metadata over a Unix socket and on loopback.
It is configured by environment variables, or by the same keys in FILE (KEY=VALUE lines or a JSON
object; the environment wins). NAME_FILE reads any of them from a file.

  QUIESCE_ENGINE          ${ENGINE_NAMES.join(' | ')} (required)
  QUIESCE_DATA_DIR        the mounted data; without it no receipt is written to the volume
  QUIESCE_STATE_DIR       journal and receipts               (/var/lib/quiesce)
  QUIESCE_SOCKET          control socket, mode 0600          (/run/quiesce/control.sock)
  QUIESCE_CONTROL_ADDR    control on loopback, or off        (127.0.0.1:8095)
  QUIESCE_METRICS_ADDR    metrics and health, or off         (0.0.0.0:9095)
  QUIESCE_COPY            snapshot | volumes | files         (snapshot)
  QUIESCE_REPLICA         run | pause: whether a freeze pauses replay on a standby (run)
  QUIESCE_TTL             lease of a freeze                  (10m; 60s where writers wait)
  QUIESCE_TTL_MAX         longest lease a caller may ask for (1h)
  QUIESCE_FREEZE_TIMEOUT  deadline of a freeze               (25s)
  QUIESCE_CONTROL_TOKEN   bearer token for the loopback port
  QUIESCE_APP             the app label of the metrics
  QUIESCE_LOG_LEVEL       trace … fatal, silent              (info)

PostgreSQL is reached by libpq's own names: PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE,
PGSSLMODE, PGSSLROOTCERT, … Redis and Valkey by REDIS_URL, or REDIS_HOST, REDIS_PORT, REDIS_USERNAME,
REDIS_PASSWORD, REDIS_TLS, …
MongoDB by MONGODB_URI, with MONGODB_USERNAME, MONGODB_PASSWORD and MONGODB_AUTH_SOURCE beside it.

SIGTERM thaws first, then closes. Exit codes: 0 stopped, 2 bad flags or configuration, 1 unexpected.
`;

/** In a pod, before the kubelet's 30 seconds are over. */
const STOP_WITHIN_MS = 25_000;
const STOP_SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

export async function run(args: readonly string[]): Promise<number> {
  try {
    const { values } = parse(args);
    if (values.help) {
      process.stdout.write(HELP);
      return 0;
    }
    // What the sidecar writes is nobody else's business; files on the volume get their own mode.
    process.umask(0o077);
    const config = await readConfig({
      env: process.env,
      file: values.config,
      engines: ENGINE_NAMES,
      engineIssues: async (engine, settings) => (await loadEngine(engine)).checkSettings(settings),
    });
    const sidecar = await startSidecar(config);
    return await untilStopped(sidecar);
  } catch (error) {
    const known = toQuiesceError(error);
    const detail = known.code === 'INTERNAL' && error instanceof Error ? ` ${error.stack}` : '';
    process.stderr.write(`quiesce: ${known.code}: ${known.message}${detail} Hint: ${known.hint}\n`);
    return known.exit;
  }
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: { config: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
      strict: true,
    });
  } catch (error) {
    throw new QuiesceError('USAGE', error instanceof Error ? error.message : String(error), {
      hint: 'quiesce sidecar --help',
    });
  }
}

/** Never resolves by itself: the process ends when it has been told to and all is released. */
function untilStopped(sidecar: Awaited<ReturnType<typeof startSidecar>>): Promise<number> {
  return new Promise(() => {
    let why: string | undefined;
    const options = { delay: STOP_WITHIN_MS, logger: false as const, skip: [...STOP_SIGNALS] };
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
