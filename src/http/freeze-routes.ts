import { createHash } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import type { Control } from './control.ts';
import type { Caller } from '../freeze/requests.ts';
import { parseDuration } from '../lib/duration.ts';
import { QuiesceError } from '../errors.ts';
import { receiptSchema } from '../receipt/receipt.ts';
import type { App } from './base.ts';
import type { Transport } from './caller.ts';
import { callerGone, describeCaller } from './caller.ts';
import * as schemas from './schemas.ts';

const failure = schemas.errorAnswer;
const refused = { 400: failure, 413: failure, 415: failure, 422: failure };

export function addFreezeRoutes(app: App, control: Control, transport: Transport): void {
  addFreeze(app, control, transport);
  addThaw(app, control, transport);
}

function addFreeze(app: App, control: Control, transport: Transport): void {
  app.post(
    '/v1/freeze',
    {
      schema: {
        operationId: 'freeze',
        summary: 'Hold the database under a lease, or renew the lease of a freeze',
        headers: schemas.callHeaders,
        body: schemas.freezeBody,
        querystring: schemas.noQuery,
        response: {
          200: receiptSchema,
          ...refused,
          409: failure,
          502: failure,
          503: failure,
          504: failure,
        },
      },
    },
    (request, reply) => {
      const { id, ttl, timeout, renew, wait, thawLast } = request.body;
      if (renew && wait) {
        const message = 'wait: cannot be combined with renew; a renewal never waits.';
        throw new QuiesceError('INVALID_FIELD', message, { field: 'wait' });
      }
      const gone = callerGone(request, reply);
      if (gone.aborted) throw new QuiesceError('FREEZE_ABORTED', 'The caller went away.');
      return control.freeze({
        ...callerOf(request, transport),
        gone,
        ...(id === undefined ? {} : { id }),
        ...(ttl === undefined ? {} : { ttlMs: parseDuration(ttl) ?? 0 }),
        ...(timeout === undefined ? {} : { timeoutMs: parseDuration(timeout) ?? 0 }),
        ...(renew === undefined ? {} : { renew }),
        ...(wait === undefined ? {} : { wait }),
        ...(thawLast === undefined ? {} : { thawLast }),
      });
    },
  );
}

function addThaw(app: App, control: Control, transport: Transport): void {
  app.post(
    '/v1/thaw',
    {
      schema: {
        operationId: 'thaw',
        summary: 'Release the database and give the verdict; never refused',
        headers: schemas.callHeaders,
        body: schemas.thawBody,
        querystring: schemas.noQuery,
        response: { 200: schemas.thawAnswer, ...refused, 409: failure, 502: failure },
      },
    },
    async (request) => {
      const { id, abandon } = request.body;
      const wanted = { ...callerOf(request, transport), ...(id === undefined ? {} : { id }) };
      if (!abandon) return await control.thaw(wanted);
      const { released, receipt } = await control.abandon(wanted);
      return released && receipt
        ? { ...receipt, released: true as const }
        : { released: false as const };
    },
  );
}

/** Who calls, and which call it is: a retry has the same key, route and body. */
function callerOf(request: FastifyRequest, transport: Transport): Caller {
  const by = describeCaller(request, transport);
  const key = request.headers['idempotency-key'];
  if (typeof key !== 'string') return { by };
  const fields = Object.entries(request.body as object).sort(([a], [b]) => (a < b ? -1 : 1));
  const text = JSON.stringify([request.routeOptions.url, fields]);
  return { by, call: { key, digest: createHash('sha256').update(text).digest('base64') } };
}
