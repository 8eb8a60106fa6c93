import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import type { Address, Config } from '../config/config.ts';
import { createControl } from './control.ts';
import { loadEngine } from '../engines/index.ts';
import type { Engine } from '../engines/engine.ts';
import { QuiesceError } from '../errors.ts';
import { Coordinator } from '../freeze/coordinator.ts';
import { Journal } from '../freeze/journal.ts';
import { VolumeClaim } from '../receipt/volume-claim.ts';
import { ReceiptVolume } from '../receipt/volume.ts';
import { buildControlApp } from '../http/app.ts';
import { BACKLOG } from '../http/connections.ts';
import { buildObservabilityApp } from '../http/observability.ts';
import { TTL_MS } from '../defaults.ts';
import { createLogger, type Logger } from '../logger.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import { Monitor } from './readiness.ts';
import { RestoreCheck } from '../restore/verify-at-start.ts';
import { claimSocket, listenOnSocket } from './control-socket.ts';
import { VERSION } from '../version.ts';

export interface Sidecar {
  readonly logger: Logger;
  /** Thaws first, then closes everything. Resolves when all of it is closed. */
  stop(why: string): Promise<void>;
}

type App = ReturnType<typeof buildControlApp>;

/**
 * Composition root of the daemon. It claims the socket and the state directory before it touches the
 * journal, so that a second sidecar never releases the freeze of a living one.
 *
 * @throws QuiesceError SOCKET_IN_USE, SOCKET_UNUSABLE, CONFIG_INVALID (an address is in use)
 */
export async function startSidecar(config: Config): Promise<Sidecar> {
  const base = { engine: config.engine, ...(config.app === undefined ? {} : { app: config.app }) };
  const logger = createLogger({ level: config.logLevel, base });
  const metrics = createMetrics({ app: config.app ?? '', engine: config.engine });
  await claimSocket(config.socket);
  const guard = await guardStateDir(config.stateDir, logger);
  const components = await createComponents(config, logger, metrics);
  const openId = await components.coordinator.load();
  await components.claim.whenOurs(() =>
    components.restoreCheck.start(openId, components.coordinator.leftBehind),
  );
  const apps = await listen(config, components, metrics, logger).catch(async (error: unknown) => {
    await components.restoreCheck.stop();
    await components.claim.close();
    guard?.close();
    throw error;
  });
  const resumed = components.coordinator.resume();
  components.monitor.start();
  logger.info(
    { version: VERSION, socket: config.socket, copy: config.copy, dataDir: config.dataDir },
    'the sidecar runs',
  );
  return {
    logger,
    stop: async (why) => {
      logger.info({ why }, 'stopping: thaw first, then close');
      await components.coordinator.shutdown();
      await resumed;
      await Promise.all(apps.map((app) => app.close()));
      await Promise.all([components.monitor.stop(), components.restoreCheck.stop()]);
      await components.engine.close();
      await components.claim.close();
      guard?.close();
    },
  };
}

interface Components {
  readonly engine: Engine;
  readonly coordinator: Coordinator;
  readonly monitor: Monitor;
  readonly restoreCheck: RestoreCheck;
  readonly claim: VolumeClaim;
}

async function createComponents(
  config: Config,
  logger: Logger,
  metrics: Metrics,
): Promise<Components> {
  const module = await loadEngine(config.engine);
  const engine = module.createEngine({
    settings: config.settings,
    dataDir: config.dataDir,
    replica: config.replica,
    onReplicaWait: (seconds) => metrics.replicaWait(seconds),
  });
  const volume = new ReceiptVolume(config.dataDir);
  const claim = new VolumeClaim(volume, logger);
  const journal = new Journal(config.stateDir);
  const restoreCheck = new RestoreCheck({
    engine,
    volume,
    stateDir: config.stateDir,
    logger,
    restoreMark: config.restoreMark,
    check: config.restoreCheck,
    restoreVerified: (level, reached) => metrics.restoreVerified(level, reached),
  });
  const ttlMs = engine.capabilities.blocksWrites ? TTL_MS.blocked : TTL_MS.flowing;
  const coordinator = new Coordinator({
    engine,
    journal,
    volume,
    copy: config.copy,
    app: config.app,
    restoreMark: config.restoreMark,
    logger,
    observer: {
      ...metrics,
      consistency: (ok) => {
        metrics.consistency(ok);
        void restoreCheck.freezeEnded(ok);
      },
    },
    now: () => performance.now(),
    volumeFree: (signal) => restoreCheck.waitUntilIdle(signal),
    claimVolume: () => claim.require(true),
    defaults: {
      ttlMs: config.ttlMs ?? Math.min(ttlMs, config.ttlMaxMs),
      timeoutMs: config.freezeTimeoutMs,
    },
    ttlMaxMs: config.ttlMaxMs,
  });
  const monitor = new Monitor({
    engine,
    volumeOurs: () => claim.require(),
    journalWritable: () => journal.probe(),
    logger,
  });
  return { engine, coordinator, monitor, restoreCheck, claim };
}

async function listen(
  config: Config,
  components: Components,
  metrics: Metrics,
  logger: Logger,
): Promise<App[]> {
  const control = createControl({ ...components, copy: config.copy });
  const apps: App[] = [];
  try {
    const local = buildControlApp({ control, transport: 'socket', logger });
    apps.push(local);
    await listenOnSocket(local, config.socket);
    if (config.controlAddr) {
      const token = config.controlToken === undefined ? {} : { token: config.controlToken };
      const loopback = buildControlApp({ control, transport: 'tcp', ...token, logger });
      apps.push(loopback);
      await listenOn(loopback, config.controlAddr, 'QUIESCE_CONTROL_ADDR');
    }
    if (config.metricsAddr) {
      const observability = observe(components, metrics, logger);
      apps.push(observability);
      await listenOn(observability, config.metricsAddr, 'QUIESCE_METRICS_ADDR');
    }
    return apps;
  } catch (error) {
    await Promise.all(apps.map((app) => app.close()));
    throw error;
  }
}

function observe({ coordinator, monitor }: Components, metrics: Metrics, logger: Logger): App {
  return buildObservabilityApp({
    logger,
    metrics: () => metrics.text(),
    live: () => ({ ok: true, message: 'alive' }),
    ready: () => {
      // This port is open to the network: it answers with the code only. GET /v1/status has the sentence.
      const code = coordinator.recovering ? 'RECOVERING' : monitor.problem?.split(':')[0];
      return code === undefined ? { ok: true, message: 'ready' } : { ok: false, message: code };
    },
  });
}

async function listenOn(app: App, address: Address, name: string): Promise<void> {
  try {
    await app.listen({ ...address, backlog: BACKLOG });
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
    throw new QuiesceError(
      'CONFIG_INVALID',
      `${name}: cannot listen on ${address.host}:${address.port} (${code}).`,
      { field: name, hint: 'Choose a free address, or off.', cause: error },
    );
  }
}

/**
 * Guards the state directory with a socket that this process listens on while it lives: two sidecars with
 * one journal would release each other's freezes. Where no socket can be created (read-only, full, path
 * too long) the sidecar logs a warning and runs without one.
 *
 * @throws QuiesceError SOCKET_IN_USE where another living sidecar guards the directory
 */
async function guardStateDir(stateDir: string, logger: Logger): Promise<Server | undefined> {
  const path = join(stateDir, 'lock.sock');
  try {
    await claimSocket(path);
    const server = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(path, resolve);
    });
    return server.unref();
  } catch (error) {
    if (error instanceof QuiesceError && error.code === 'SOCKET_IN_USE') {
      throw new QuiesceError(
        'SOCKET_IN_USE',
        `Another sidecar uses the state directory ${stateDir}.`,
        {
          field: 'QUIESCE_STATE_DIR',
          cause: error,
        },
      );
    }
    logger.warn({ stateDir, err: error }, 'the state directory cannot be guarded');
    return undefined;
  }
}
