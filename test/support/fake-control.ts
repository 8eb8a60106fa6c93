import type { Control, Status } from '../../src/http/control.ts';
import type { Abandoned, FreezeRequest, ThawRequest } from '../../src/freeze/requests.ts';
import type { Acknowledged } from '../../src/restore/view.ts';
import type { JsonObject, VerifyOptions, VerifyResult } from '../../src/engines/engine.ts';
import { QuiesceError } from '../../src/errors.ts';
import type { Receipt } from '../../src/receipt/receipt.ts';

export function aReceipt(changes: Partial<Receipt> = {}): Receipt {
  return {
    apiVersion: 'quiesce.dev/v1',
    kind: 'Receipt',
    id: 'backup-1',
    engine: {
      name: 'postgres',
      version: '17.10',
      role: 'primary',
      identity: { systemIdentifier: '7500000000000000001' },
    },
    mode: 'sealed',
    copy: 'snapshot',
    writesBlocked: false,
    requestedAt: '2026-01-01T00:00:00.000Z',
    frozenAt: '2026-01-01T00:00:00.500Z',
    expiresAt: new Date(Date.now() + 600_000).toISOString(),
    thawedAt: null,
    durationsMs: { prepare: 400, freeze: 100, held: null, thaw: null },
    position: { lsn: '0/3000158', timeline: 1 },
    restore: { backupLabel: 'START WAL LOCATION: 0/3000028\n' },
    evidence: { onVolume: true, detail: '.quiesce/receipt.json' },
    verdict: 'held',
    reasons: [],
    notes: [],
    ...changes,
  };
}

export const consistent = (changes: Partial<Receipt> = {}): Receipt =>
  aReceipt({
    verdict: 'consistent',
    thawedAt: '2026-01-01T00:00:06.000Z',
    durationsMs: { prepare: 400, freeze: 100, held: 5_200, thaw: 3 },
    ...changes,
  });

/** A fake control without a database: it records requests and gives the configured answers. */
export class FakeControl implements Control {
  readonly freezes: FreezeRequest[] = [];
  readonly thaws: ThawRequest[] = [];
  readonly abandons: ThawRequest[] = [];
  readonly verifications: { receipt: Receipt; options: VerifyOptions }[] = [];
  kept: Receipt[] = [];
  restoredReceipt: Receipt | null = null;
  state: Status['state'] = 'thawed';
  onFreeze: (request: FreezeRequest) => Promise<Receipt> = ({ id }) =>
    Promise.resolve(aReceipt(id === undefined ? {} : { id }));
  onThaw: (request: ThawRequest) => Promise<Receipt> = ({ id }) =>
    Promise.resolve(consistent(id === undefined ? {} : { id }));
  onAbandon: (request: ThawRequest) => Promise<Abandoned> = ({ id }) =>
    Promise.resolve({
      released: true,
      receipt: consistent({
        verdict: 'inconsistent',
        reasons: ['abandoned'],
        ...(id === undefined ? {} : { id }),
      }),
    });
  onMetadata: (signal: AbortSignal) => Promise<JsonObject> = () =>
    Promise.resolve({ version: '17.10', databases: [{ name: 'app', bytes: 42 }] });
  onVerify: (receipt: Receipt) => Promise<VerifyResult> = () =>
    Promise.resolve({
      verified: true,
      checks: [{ name: 'system-identifier', ok: true, message: 'the same' }],
    });

  freeze(request: FreezeRequest): Promise<Receipt> {
    this.freezes.push(request);
    return this.onFreeze(request);
  }

  thaw(request: ThawRequest): Promise<Receipt> {
    this.thaws.push(request);
    return this.onThaw(request);
  }

  abandon(request: ThawRequest): Promise<Abandoned> {
    this.abandons.push(request);
    return this.onAbandon(request);
  }

  status(): Status {
    return {
      state: this.state,
      lease: null,
      engine: {
        name: 'postgres',
        reachable: true,
        version: '17.10',
        role: 'primary',
        identity: {},
        message: null,
      },
      copy: 'snapshot',
      ttlMaxMs: 3_600_000,
      restore: null,
      acknowledgedRestore: null,
      lastReceipt: this.kept[0] ?? null,
      version: '0.1.0',
    };
  }

  metadata(signal: AbortSignal): Promise<JsonObject> {
    return this.onMetadata(signal);
  }

  receipts(): readonly Receipt[] {
    return this.kept;
  }

  restored(): Promise<Receipt | null> {
    return Promise.resolve(this.restoredReceipt);
  }

  verify(receipt: Receipt, options: VerifyOptions): Promise<VerifyResult> {
    this.verifications.push({ receipt, options });
    return this.onVerify(receipt);
  }

  onAcknowledge: (by: string) => Promise<Acknowledged> = () =>
    Promise.reject(new QuiesceError('NOTHING_TO_ACKNOWLEDGE', 'There is no restore.'));

  acknowledgeRestore(by: string): Promise<Acknowledged> {
    return this.onAcknowledge(by);
  }
}

export function notConsistent(): QuiesceError {
  return new QuiesceError('NOT_CONSISTENT', 'The lease expired at noon.', {
    details: { receipt: consistent({ verdict: 'inconsistent', reasons: ['lease-expired'] }) },
  });
}
