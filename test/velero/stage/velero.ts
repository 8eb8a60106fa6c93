import type { Tools } from '../kubectl.ts';
import { DRIVER } from '../layout.ts';
import type { RunOptions } from '../run.ts';
import { until } from '../wait.ts';
import { type HookRun, hookRuns } from './hook-log.ts';

export interface Ended {
  readonly name: string;
  /** `Completed`, `PartiallyFailed`, `Failed`, … */
  readonly phase: string;
  readonly hooks: { readonly attempted: number; readonly failed: number };
  readonly errors: number;
  readonly warnings: number;
  readonly failure: string | null;
  readonly startedAt: Date;
  readonly tookMs: number;
}

interface VeleroObject {
  readonly metadata: { readonly name: string };
  readonly status?: {
    readonly phase?: string;
    readonly hookStatus?: { readonly hooksAttempted?: number; readonly hooksFailed?: number };
    readonly errors?: number;
    readonly warnings?: number;
    readonly failureReason?: string;
    readonly startTimestamp?: string;
    readonly completionTimestamp?: string;
  };
}

export interface BackupOptions {
  readonly namespaces: readonly string[];
  /** A VolumeSnapshotClass other than the default one. */
  readonly snapshotClass?: string;
  /** Further flags of `velero backup create`. */
  readonly flags?: readonly string[];
}

const WITHIN_MS = 600_000;

/** Velero's own command line, as a user calls it. */
export class Velero {
  readonly #tools: Tools;

  constructor(tools: Tools) {
    this.#tools = tools;
  }

  /** Starts a backup and does not wait for it. */
  async startBackup(name: string, options: BackupOptions): Promise<void> {
    const { namespaces, snapshotClass, flags = [] } = options;
    const annotation = `velero.io/csi-volumesnapshot-class_${DRIVER}=${snapshotClass}`;
    await this.#must([
      'backup',
      'create',
      name,
      '--include-namespaces',
      namespaces.join(','),
      ...(snapshotClass === undefined ? [] : ['--annotations', annotation]),
      ...flags,
    ]);
  }

  async backup(name: string, options: BackupOptions): Promise<Ended> {
    await this.startBackup(name, options);
    return await this.backupEnded(name);
  }

  /** A backup as the Schedule makes it. */
  async backupFrom(schedule: string, name: string): Promise<Ended> {
    await this.#must(['backup', 'create', name, '--from-schedule', schedule]);
    return await this.backupEnded(name);
  }

  async backupEnded(name: string, withinMs = WITHIN_MS): Promise<Ended> {
    return await this.#ended('backup', name, withinMs);
  }

  async startRestore(name: string, from: string, flags: readonly string[] = []): Promise<void> {
    await this.#must(['restore', 'create', name, '--from-backup', from, ...flags]);
  }

  async restore(name: string, from: string, flags: readonly string[] = []): Promise<Ended> {
    await this.startRestore(name, from, flags);
    return await this.#ended('restore', name, WITHIN_MS);
  }

  async restoreEnded(name: string, withinMs = WITHIN_MS): Promise<Ended> {
    return await this.#ended('restore', name, withinMs);
  }

  /** The lines of a backup's log that a hook, or quiesce, wrote. */
  async hookLog(backup: string): Promise<readonly string[]> {
    return (await this.#log(backup)).split('\n').filter((line) => /hook|quiesce/i.test(line));
  }

  /** When a backup's hooks ran, pod by pod. */
  async hookRuns(backup: string): Promise<readonly HookRun[]> {
    return hookRuns(await this.#log(backup));
  }

  async #log(backup: string): Promise<string> {
    return await this.#must(['backup', 'logs', backup], { timeoutMs: 60_000 });
  }

  async #ended(kind: 'backup' | 'restore', name: string, withinMs: number): Promise<Ended> {
    const ended = await until(`${kind} ${name} has ended`, withinMs, async () => {
      const object = await this.#tools.get<VeleroObject>(kind, name, '-n', 'velero');
      const { phase = '', completionTimestamp } = object.status ?? {};
      return (completionTimestamp !== undefined || phase === 'FailedValidation') && object;
    });
    const { status = {} } = ended;
    const startedAt = new Date(status.startTimestamp ?? NaN);
    return {
      name,
      phase: status.phase ?? '',
      hooks: {
        attempted: status.hookStatus?.hooksAttempted ?? 0,
        failed: status.hookStatus?.hooksFailed ?? 0,
      },
      errors: status.errors ?? 0,
      warnings: status.warnings ?? 0,
      failure: status.failureReason ?? null,
      startedAt,
      tookMs: Date.parse(status.completionTimestamp ?? '') - startedAt.getTime(),
    };
  }

  async #must(args: readonly string[], options: RunOptions = {}): Promise<string> {
    const { status, stdout, stderr } = await this.#tools.velero(args, options);
    if (status !== 0) throw new Error(`velero ${args.join(' ')}: ${stderr.trim().slice(-1_000)}`);
    return stdout;
  }
}
