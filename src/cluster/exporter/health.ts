import type { Logger } from '../../logger.ts';
import type { ReadHealth } from '../api/follow.ts';
import type { ReadKind } from './metrics.ts';

interface Source {
  readonly kind: ReadKind;
  readonly namespace: string | undefined;
  readonly where: string;
  /** Its namespace does not exist, so there is nothing to read. */
  absent: boolean;
  lastRead: Date | undefined;
  /** Why the last attempt failed; absent after a success. */
  problem: string | undefined;
}

export interface HealthReport {
  lastRead(kind: ReadKind, at: Date): void;
  readError(kind: ReadKind): void;
}

/** Whether every kind is read in every namespace. */
export class ReadStates {
  readonly #sources: Source[] = [];
  readonly #report: HealthReport;
  readonly #logger: Logger;

  constructor(report: HealthReport, logger: Logger) {
    this.#report = report;
    this.#logger = logger;
  }

  /** Adds a source, which has not been read yet. */
  add(kind: ReadKind, namespace: string | undefined): ReadHealth {
    const where = namespace === undefined ? 'all namespaces' : `namespace ${namespace}`;
    const unread = { absent: false, lastRead: undefined, problem: undefined };
    const source: Source = { kind, namespace, where, ...unread };
    this.#sources.push(source);
    return { read: () => this.#read(source), failed: (error) => this.#failed(source, error) };
  }

  /** What is not read now, as one sentence; `undefined`: everything is. */
  get problem(): string | undefined {
    const broken = this.#sources.find(
      (one) => !one.absent && (one.problem !== undefined || !one.lastRead),
    );
    if (broken === undefined) return undefined;
    const { kind, where, problem } = broken;
    return `${kind} of ${where} ${problem === undefined ? 'are not read yet' : 'cannot be read; the reason is in the log'}`;
  }

  /** These namespaces do not exist, all others do. */
  absent(names: readonly string[]): void {
    for (const source of this.#sources) {
      const { namespace, where, kind } = source;
      const absent = namespace !== undefined && names.includes(namespace);
      if (absent && !source.absent)
        this.#logger.warn({ kind, where }, 'there is no such namespace');
      source.absent = absent;
      if (absent) this.#tell(kind);
    }
  }

  #read(source: Source): void {
    const { kind, where, problem } = source;
    if (problem !== undefined) this.#logger.info({ kind, where }, 'reading works again');
    source.problem = undefined;
    source.lastRead = new Date();
    this.#tell(kind);
  }

  #tell(kind: ReadKind): void {
    const counted = this.#sources.filter((one) => one.kind === kind && !one.absent);
    const times = counted.map(({ lastRead }) => lastRead?.getTime() ?? 0);
    // Of namespaces that all are gone, nothing is old.
    const oldest = times.length === 0 ? Date.now() : Math.min(...times);
    if (oldest > 0) this.#report.lastRead(kind, new Date(oldest));
  }

  #failed(source: Source, { message }: Error): void {
    const { kind, where, problem } = source;
    this.#report.readError(kind);
    // Each attempt fails in the same way until somebody acts: one line says it.
    if (problem !== message) {
      const hint = 'the exporter needs get, list and watch; it tries again';
      this.#logger.error({ kind, where, reason: message, hint }, 'cannot read from the cluster');
    }
    source.problem = message;
  }
}
