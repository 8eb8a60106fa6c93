import closeWithGrace from 'close-with-grace';
import { readConfig } from '../config/config.ts';
import * as defaults from '../defaults.ts';
import { loadEngine } from '../engines/index.ts';
import { ENGINE_NAMES, entryOf } from '../engines/names.ts';
import { writeDuration } from '../lib/duration.ts';
import { text } from '../lib/command-line/flags.ts';
import { startSidecar } from '../sidecar/sidecar.ts';
import { verb } from './verb.ts';

const { flowing, blocked } = defaults.TTL_MS;

const SETTINGS = [
  ['QUIESCE_ENGINE', `${ENGINE_NAMES.join(' | ')} (required)`],
  ['QUIESCE_DATA_DIR', 'where the data is mounted; if unset, no receipt is written to the volume'],
  ['QUIESCE_STATE_DIR', `folder of the journal and the receipts (${defaults.STATE_DIR})`],
  ['QUIESCE_SOCKET', `control socket, mode 0600 (${defaults.CONTROL_SOCKET})`],
  ['QUIESCE_CONTROL_ADDR', `control address on loopback, or off (${defaults.CONTROL_ADDRESS})`],
  ['QUIESCE_METRICS_ADDR', `address of metrics and health, or off (${defaults.METRICS_ADDRESS})`],
  ['QUIESCE_COPY', `snapshot | volumes | files (${defaults.COPY})`],
  ['QUIESCE_REPLICA', 'run | pause: pause makes a freeze pause replay on a standby (run)'],
  [
    'QUIESCE_TTL',
    `lease of a freeze (${writeDuration(flowing)}, or ${writeDuration(blocked)} if it blocks writers)`,
  ],
  ['QUIESCE_TTL_MAX', `longest lease a caller may ask for (${writeDuration(defaults.TTL_MAX_MS)})`],
  ['QUIESCE_FREEZE_TIMEOUT', `timeout of a freeze (${writeDuration(defaults.FREEZE_TIMEOUT_MS)})`],
  ['QUIESCE_CONTROL_TOKEN', 'bearer token for the loopback port'],
  ['QUIESCE_APP', 'the app label of the metrics'],
  ['QUIESCE_RESTORE_MARK', 'the restores that made this pod, joined with commas; empty: none did'],
  [
    'QUIESCE_RESTORE_CHECK',
    'position | content: content also runs the deep check after a restore (position)',
  ],
  ['QUIESCE_LOG_LEVEL', `trace ... fatal, silent (${defaults.LOG_LEVEL})`],
] as const;

const STOP_SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

export const run = verb({
  name: 'sidecar',
  usage: ['[--config FILE]'],
  about: `
Runs next to a database and offers freeze, thaw and metadata over a Unix socket and on loopback.
Configure it with environment variables, or with the same keys in FILE (KEY=VALUE lines or a JSON
object; the environment overrides it). NAME_FILE reads any of the keys from a file.

${SETTINGS.map(([name, about]) => `  ${name.padEnd(24)}${about}`).join('\n')}

${ENGINE_NAMES.map((name) => entryOf(name).help).join('\n')}`,
  flags: { config: text('FILE', 'a file with keys that the environment does not set', {}) },
  notes: 'On SIGTERM the sidecar first releases the database, then exits.',
  exits: { 0: 'stopped', 2: 'bad flags or configuration', 1: 'unexpected' },
  work: async ({ config: file }) => {
    // Keep other users from the sidecar's files. Files on the volume are given modes of their own.
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

/** Never resolves: the process exits when a signal has arrived and the sidecar has released everything. */
function untilStopped(sidecar: Awaited<ReturnType<typeof startSidecar>>): Promise<number> {
  return new Promise(() => {
    let reason: string | undefined;
    const options = {
      delay: defaults.STOP_WITHIN_MS,
      logger: false as const,
      skip: [...STOP_SIGNALS],
    };
    const { close } = closeWithGrace(options, async ({ signal, err }) => {
      if (err) sidecar.logger.fatal({ err }, 'unexpected failure');
      reason ??= signal ?? 'unexpected failure';
      await sidecar.stop(reason);
    });
    for (const name of STOP_SIGNALS) {
      process.on(name, () => {
        // A second signal must not cut off the release that the first one started.
        if (reason !== undefined) return;
        reason = name;
        close();
      });
    }
  });
}
