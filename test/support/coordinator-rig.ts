import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { QuiesceError } from '../../src/errors.ts';
import { Coordinator, type CoordinatorDeps } from '../../src/freeze/coordinator.ts';
import { Journal } from '../../src/freeze/journal.ts';
import type { Receipt } from '../../src/receipt/receipt.ts';
import { ReceiptVolume } from '../../src/receipt/volume.ts';
import { silentObserver } from './deaf-observer.ts';
import { ScriptedEngine } from './scripted-engine.ts';

export const by = 'test';

/** Coordinators with a scripted engine, and a real journal and a real volume in a temporary folder. */
export class CoordinatorRig {
  readonly root: string;
  readonly engine = new ScriptedEngine();

  private constructor(root: string) {
    this.root = root;
  }

  static async make(): Promise<CoordinatorRig> {
    const root = await mkdtemp(join(tmpdir(), 'quiesce-coordinator-'));
    await mkdir(join(root, 'data'));
    return new CoordinatorRig(root);
  }

  async remove(): Promise<void> {
    // A freeze that expired may still be writing its journal here; ENOTEMPTY is then retried.
    await rm(this.root, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  }

  get receiptPath(): string {
    return join(this.root, 'data/.quiesce/receipt.json');
  }

  coordinator(change: Partial<CoordinatorDeps> = {}): Coordinator {
    return new Coordinator({
      engine: this.engine,
      journal: new Journal(join(this.root, 'state')),
      volume: new ReceiptVolume(join(this.root, 'data')),
      copy: 'snapshot',
      app: undefined,
      logger: pino({ level: 'silent' }),
      now: () => performance.now(),
      volumeFree: async () => undefined,
      claimVolume: async () => undefined,
      observer: silentObserver,
      defaults: { ttlMs: 60_000, timeoutMs: 5_000 },
      ttlMaxMs: 3_600_000,
      ...change,
    });
  }

  /** The coordinator of the next process, after this one has died with its freeze open. */
  async next(change: Partial<CoordinatorDeps> = {}): Promise<Coordinator> {
    const coordinator = this.coordinator(change);
    await coordinator.load();
    await coordinator.resume();
    return coordinator;
  }
}

export async function failure(work: Promise<unknown>): Promise<QuiesceError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof QuiesceError) return error;
    throw error;
  }
  throw new Error('it succeeded');
}

export const receiptOf = (error: QuiesceError): Receipt => error.details['receipt'] as Receipt;
