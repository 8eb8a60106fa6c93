import { QuiesceError } from '../../errors.ts';
import type { App } from '../../http/base.ts';
import { BACKLOG } from '../../http/connections.ts';
import { buildObservabilityApp } from '../../http/observability.ts';
import type { ListenAddress } from '../../lib/command-line/address.ts';
import type { LogLevel } from '../../defaults.ts';
import { createLogger, type Logger } from '../../logger.ts';
import { follow } from '../api/follow.ts';
import type { ClusterWatcher } from '../api/watch.ts';
import { RUN_LABELS } from '../run/names.ts';
import { Drivers } from './drivers.ts';
import { ReadStates } from './health.ts';
import { Groups } from './labels.ts';
import { createExporterMetrics, type ExporterMetrics, type ReadKind } from './metrics.ts';
import { missingNamespaces } from './namespaces.ts';
import { drillOf, type RecoveryView, restoreOf } from './recoveries.ts';
import { RunLedger, runOf } from './runs.ts';
import { reportsInto, reportSink, snapshotSink } from './sinks.ts';
import { SnapshotLedger } from './snapshots.ts';

export interface ExporterOptions {
  /** The namespaces to read; empty: all. */
  readonly namespaces: readonly string[];
  readonly address: ListenAddress;
  /** A snapshot that has an error, or is not cut, for so long has failed. */
  readonly failedAfterMs: number;
  readonly logLevel: LogLevel;
}

export interface Exporter {
  stop(): Promise<void>;
}

const TICK_MS = 1_000;
const NAMESPACES_EVERY_MS = 30_000;
/** Objects in one answer. A report may have a megabyte. */
const PAGES: Readonly<Record<ReadKind, number>> = { volumesnapshots: 250, configmaps: 25 };

/** Composition root. Resolves once the port is open; reading goes on until `stop`. */
export async function startExporter(
  cluster: ClusterWatcher,
  options: ExporterOptions,
): Promise<Exporter> {
  const logger = createLogger({ level: options.logLevel });
  const exporter = new RunningExporter(cluster, options, logger);
  await exporter.open();
  exporter.read();
  return exporter;
}

class RunningExporter implements Exporter {
  readonly #cluster: ClusterWatcher;
  readonly #options: ExporterOptions;
  readonly #logger: Logger;
  readonly #groups = new Groups();
  readonly #runs = new RunLedger(this.#groups);
  readonly #restores = new RunLedger<RecoveryView>(this.#groups);
  readonly #drills = new RunLedger<RecoveryView>(this.#groups);
  readonly #ledgers: SnapshotLedger[] = [];
  readonly #metrics: ExporterMetrics = createExporterMetrics({
    snapshots: () => this.#runs.groups(),
    restores: () => this.#restores.groups(),
    drills: () => this.#drills.groups(),
  });
  readonly #drivers: Drivers;
  readonly #states: ReadStates;
  readonly #app: App;
  readonly #ending = new AbortController();
  readonly #timers: NodeJS.Timeout[] = [];

  constructor(cluster: ClusterWatcher, options: ExporterOptions, logger: Logger) {
    this.#cluster = cluster;
    this.#options = options;
    this.#logger = logger;
    this.#drivers = new Drivers(cluster);
    this.#states = new ReadStates(this.#metrics, logger);
    this.#app = buildObservabilityApp({
      metrics: () => this.#metrics.text(),
      live: () => ({ ok: true, message: 'alive' }),
      ready: () => {
        const problem = this.#ending.signal.aborted ? 'stopping' : this.#states.problem;
        return { ok: problem === undefined, message: problem ?? 'reading' };
      },
      logger,
    });
  }

  async open(): Promise<void> {
    const { host, port } = this.#options.address;
    try {
      await this.#app.listen({ host, port, backlog: BACKLOG });
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
      const message = `Cannot listen on ${host}:${port} (${code}).`;
      throw new QuiesceError('CONFIG_INVALID', message, { cause: error });
    }
    this.#logger.info({ address: `${host}:${port}`, cluster: this.#cluster.name }, 'serving');
  }

  read(): void {
    const { namespaces } = this.#options;
    const places = namespaces.length > 0 ? namespaces : [undefined];
    void this.#drivers.read();
    for (const place of places) {
      void this.#snapshots(place);
      void this.#reports(place);
    }
    this.#timers.push(
      setInterval(() => {
        for (const ledger of this.#ledgers) ledger.tick(performance.now());
      }, TICK_MS),
      setInterval(() => void this.#forget(), NAMESPACES_EVERY_MS),
    );
  }

  async stop(): Promise<void> {
    this.#ending.abort();
    for (const timer of this.#timers) clearInterval(timer);
    await this.#app.close();
  }

  async #snapshots(namespace: string | undefined): Promise<void> {
    const ledger = new SnapshotLedger({
      counts: this.#metrics.snapshots,
      groups: this.#groups,
      driverOf: this.#drivers.of,
      failedAfterMs: this.#options.failedAfterMs,
    });
    this.#ledgers.push(ledger);
    const path = `/apis/snapshot.storage.k8s.io/v1${within(namespace)}/volumesnapshots`;
    const sink = snapshotSink(ledger, this.#logger);
    await this.#follow('volumesnapshots', namespace, { path }, sink);
  }

  async #reports(namespace: string | undefined): Promise<void> {
    const path = `/api/v1${within(namespace)}/configmaps`;
    const kinds = new Map([
      ['snapshot', reportsInto(this.#runs, runOf)],
      ['restore', reportsInto(this.#restores, restoreOf)],
      ['drill', reportsInto(this.#drills, drillOf)],
    ]);
    const labelSelector = `${RUN_LABELS.report} in (${[...kinds.keys()].join(',')})`;
    const sink = reportSink(kinds, this.#logger);
    await this.#follow('configmaps', namespace, { path, labelSelector }, sink);
  }

  async #follow(
    kind: ReadKind,
    namespace: string | undefined,
    what: { readonly path: string; readonly labelSelector?: string },
    sink: Parameters<typeof follow>[2],
  ): Promise<void> {
    const health = this.#states.add(kind, namespace);
    const { signal } = this.#ending;
    await follow(this.#cluster, { ...what, page: PAGES[kind] }, sink, { signal, health });
  }

  async #forget(): Promise<void> {
    const { namespaces } = this.#options;
    const ledgers = [this.#runs, this.#restores, this.#drills];
    const ofRuns = ledgers.flatMap((one) => one.groups().map(({ namespace }) => namespace));
    const known = new Set([...namespaces, ...this.#metrics.namespaces(), ...ofRuns]);
    const missing = await missingNamespaces(this.#cluster, [...known], namespaces);
    this.#states.absent(missing);
    for (const name of missing) {
      this.#metrics.forget(name);
      this.#groups.forget(name);
      for (const ledger of [...ledgers, ...this.#ledgers]) ledger.forget(name);
    }
  }
}

function within(namespace: string | undefined): string {
  return namespace === undefined ? '' : `/namespaces/${namespace}`;
}
