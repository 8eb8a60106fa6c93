import type { Control, Status } from '../http/control.ts';
import type { Abandoned, FreezeRequest, ThawRequest } from '../freeze/requests.ts';
import type { Engine, JsonObject, VerifyOptions, VerifyResult } from '../engines/engine.ts';
import { QuiesceError } from '../errors.ts';
import type { Coordinator } from '../freeze/coordinator.ts';
import type { Receipt } from '../receipt/receipt.ts';
import { judgeRestore } from '../receipt/restore-level.ts';
import type { Monitor } from './readiness.ts';
import type { RestoreCheck } from '../restore/verify-at-start.ts';
import { VERSION } from '../version.ts';

export interface ControlDeps {
  readonly coordinator: Coordinator;
  readonly engine: Engine;
  readonly monitor: Monitor;
  readonly restoreCheck: RestoreCheck;
  readonly copy: string;
}

/** Combines the components of a running sidecar into the interface that HTTP serves. */
export function createControl(deps: ControlDeps): Control {
  const { coordinator, engine } = deps;
  return {
    freeze: (request: FreezeRequest): Promise<Receipt> => coordinator.freeze(request),
    thaw: (request: ThawRequest): Promise<Receipt> => coordinator.thaw(request),
    abandon: (request: ThawRequest): Promise<Abandoned> => coordinator.abandon(request),
    status: () => statusOf(deps),
    metadata: (signal: AbortSignal): Promise<JsonObject> => engine.metadata(signal),
    receipts: () => coordinator.receipts(),
    restored: () => deps.restoreCheck.lastRestored(),
    acknowledgeRestore: (by) => deps.restoreCheck.acknowledge(by),
    verify: (receipt, options, signal) => verify(deps, receipt, options, signal),
  };
}

async function verify(
  { engine, restoreCheck }: ControlDeps,
  receipt: Receipt,
  options: VerifyOptions,
  signal: AbortSignal,
): Promise<VerifyResult> {
  const { verified, checks } = await engine.verify(receipt, options, signal);
  const differences = await restoreCheck.differences(receipt, signal);
  if (verified) return { verified, checks, differences };
  const { level, reason, content } = judgeRestore(checks, options.deep);
  const wrong = checks.filter((check) => !check.ok).map((check) => check.message);
  const reached =
    level === 'position'
      ? [
          'The database contains what the receipt promises (level position).',
          content === 'unchecked' ? 'Its content could not be checked.' : 'Its content is damaged.',
        ]
      : [];
  throw new QuiesceError('NOT_VERIFIED', [...reached, ...wrong].join(' '), {
    details: { checks, level, reason, content, differences },
  });
}

function statusOf(deps: ControlDeps): Status {
  const { coordinator, engine, monitor, restoreCheck } = deps;
  const { probe, problem } = monitor;
  return {
    state: coordinator.phase,
    lease: coordinator.lease(),
    engine: {
      name: engine.name,
      reachable: problem === null,
      version: probe?.version ?? null,
      role: probe?.role ?? null,
      identity: probe?.identity ?? {},
      message: problem,
    },
    copy: deps.copy,
    ttlMaxMs: coordinator.ttlMaxMs,
    restore: restoreCheck.view,
    acknowledgedRestore: restoreCheck.acknowledged,
    lastReceipt: coordinator.lastReceipt,
    version: VERSION,
  };
}
