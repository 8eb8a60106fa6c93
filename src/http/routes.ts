import openapi from '../../docs/openapi.json' with { type: 'json' };
import { DEEP_TIMEOUT_MS } from '../defaults.ts';
import type { Control } from './control.ts';
import { parseDuration } from '../lib/duration.ts';
import { QuiesceError } from '../errors.ts';
import { receiptSchema } from '../receipt/receipt.ts';
import { judgeRestore } from '../receipt/restore-level.ts';
import type { App } from './base.ts';
import type { Transport } from './caller.ts';
import { callerGone, describeCaller } from './caller.ts';
import { addFreezeRoutes } from './freeze-routes.ts';
import * as schemas from './schemas.ts';

const METADATA_TIMEOUT_MS = 30_000;
/** How long a verification may take in addition to the deep check. */
const VERIFY_TIMEOUT_MS = 60_000;

const failure = schemas.errorAnswer;
const refused = { 400: failure, 413: failure, 415: failure, 422: failure };
const querystring = schemas.noQuery;

export function addRoutes(app: App, control: Control, transport: Transport): void {
  addFreezeRoutes(app, control, transport);
  addViewRoutes(app, control);
  addReceiptRoutes(app, control);
  addVerifyRoute(app, control);
  addAcknowledgeRoute(app, control, transport);
  app.get('/openapi.json', { schema: { hide: true } }, () => openapi);
}

function addViewRoutes(app: App, control: Control): void {
  app.get(
    '/v1/status',
    {
      schema: {
        operationId: 'status',
        summary: 'State, lease, engine and the last receipt',
        querystring,
        response: { 200: schemas.statusAnswer },
      },
    },
    () => control.status() as schemas.StatusAnswer,
  );
  app.get(
    '/v1/metadata',
    {
      schema: {
        operationId: 'metadata',
        summary: "The engine's metadata",
        querystring,
        response: { 200: schemas.metadataAnswer, 502: failure },
      },
    },
    (request, reply) =>
      withTimeLimit(
        callerGone(request, reply),
        METADATA_TIMEOUT_MS,
        (signal) => control.metadata(signal) as Promise<schemas.Metadata>,
      ),
  );
}

function addReceiptRoutes(app: App, control: Control): void {
  app.get(
    '/v1/receipts',
    {
      schema: {
        operationId: 'receipts',
        summary: 'The last receipts, newest first, at most ten',
        querystring,
        response: { 200: schemas.receiptsAnswer },
      },
    },
    async () => ({ receipts: [...control.receipts()], restored: await control.restored() }),
  );
  app.get(
    '/v1/receipts/:id',
    {
      schema: {
        operationId: 'receipt',
        summary: 'One of the last receipts',
        params: schemas.receiptParams,
        querystring,
        response: { 200: receiptSchema, 404: failure, 422: failure },
      },
    },
    async (request) => {
      const { id } = request.params;
      const kept = control.receipts().find((one) => one.id === id);
      const receipt = kept ?? (await control.restored());
      if (receipt?.id !== id) {
        throw new QuiesceError('RECEIPT_NOT_FOUND', `No receipt with the id ${id} is kept.`);
      }
      return receipt;
    },
  );
}

function addVerifyRoute(app: App, control: Control): void {
  app.post(
    '/v1/verify',
    {
      schema: {
        operationId: 'verify',
        summary: 'Does the running database contain what the receipt promises?',
        body: schemas.verifyBody,
        querystring,
        response: {
          200: schemas.verifyAnswer,
          ...refused,
          409: failure,
          502: failure,
          503: failure,
        },
      },
    },
    async (request, reply) => {
      const { receipt, amcheck, amcheckTimeout } = request.body;
      const deep = request.body.deep === true || amcheck === true;
      const timeout = request.body.deepTimeout ?? amcheckTimeout;
      const deepTimeoutMs =
        timeout === undefined ? DEEP_TIMEOUT_MS : millis(timeout, 'deepTimeout');
      const limit = VERIFY_TIMEOUT_MS + (deep ? deepTimeoutMs : 0);
      const gone = callerGone(request, reply);
      const { verified, checks, differences } = await withTimeLimit(gone, limit, (signal) =>
        control.verify(receipt, { deep, deepTimeoutMs }, signal),
      );
      if (!verified || checks.some(({ ok }) => !ok)) {
        throw new QuiesceError(
          'NOT_VERIFIED',
          'The database was not proven to contain what the receipt promises.',
          { details: { checks, differences } },
        );
      }
      const more = differences === undefined ? {} : { differences };
      return {
        verified: true,
        ...judgeRestore(checks, deep),
        checks: [...checks],
        ...more,
      } as schemas.Verified;
    },
  );
}

function addAcknowledgeRoute(app: App, control: Control, transport: Transport): void {
  app.post(
    '/v1/restore/acknowledge',
    {
      schema: {
        operationId: 'acknowledgeRestore',
        summary: 'Accept a restore that is unproven or refused, and end its report',
        body: schemas.acknowledgeBody,
        querystring,
        response: { 200: schemas.acknowledgeAnswer, ...refused, 409: failure, 503: failure },
      },
    },
    async (request) => ({
      acknowledged: await control.acknowledgeRestore(describeCaller(request, transport)),
    }),
  );
}

function millis(text: string, field: string): number {
  const ms = parseDuration(text);
  if (ms === undefined)
    throw new QuiesceError('INVALID_FIELD', `${field}: is not a duration.`, { field });
  return ms;
}

/** Runs a read, and aborts it when the caller disconnects or the time is up. */
async function withTimeLimit<T>(
  gone: AbortSignal,
  ms: number,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const late = new QuiesceError(
    'ENGINE_FAILED',
    `The database did not answer within ${ms / 1_000} s.`,
  );
  const timer = setTimeout(() => controller.abort(late), ms);
  gone.addEventListener('abort', () => controller.abort(gone.reason), { once: true });
  try {
    return await work(controller.signal);
  } catch (error) {
    // An error that says the database was busy explains more than one that says the time is up.
    const busy = error instanceof QuiesceError && error.code === 'ENGINE_BUSY';
    throw controller.signal.reason === late && !busy ? late : error;
  } finally {
    clearTimeout(timer);
  }
}
