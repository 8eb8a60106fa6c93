import { z } from 'zod';
import { inject, type Injection, type Notice } from '../inject/inject.ts';
import type { NamespaceRules } from '../inject/namespace-rules.ts';
import type { InjectConfig } from '../inject/options.ts';
import type { Operation } from '../objects/json-patch.ts';
import type { Pod } from '../objects/pod.ts';
import { QuiesceError } from '../../errors.ts';

/** For a pod with invalid annotations: admit it without a sidecar, or refuse it. */
export const FAILURE_POLICIES = ['Ignore', 'Fail'] as const;
export type FailurePolicy = (typeof FAILURE_POLICIES)[number];

export type ReviewResult = 'injected' | 'unchanged' | 'skipped' | 'invalid' | 'error';

/** The answer to the API server, and what to log and report with it. */
export interface ReviewOutcome {
  readonly answer: AdmissionAnswer;
  readonly result: ReviewResult;
  readonly pod: Pod;
  readonly namespace: string;
  /** Empty on a dry run, which must have no effect outside its answer. */
  readonly events: readonly Notice[];
  /** An unexpected failure, for the log. */
  readonly failure?: unknown;
}

export interface AdmissionAnswer {
  readonly apiVersion: 'admission.k8s.io/v1';
  readonly kind: 'AdmissionReview';
  readonly response: {
    readonly uid: string;
    readonly allowed: boolean;
    readonly patchType?: 'JSONPatch';
    readonly patch?: string;
    readonly warnings?: readonly string[];
    readonly status?: { readonly code: number; readonly message: string };
  };
}

const review = z.object({
  apiVersion: z.literal('admission.k8s.io/v1'),
  kind: z.literal('AdmissionReview'),
  request: z.object({
    uid: z.string().min(1),
    kind: z.object({ kind: z.string() }),
    operation: z.string(),
    namespace: z.string().optional(),
    dryRun: z.boolean().optional(),
    object: z.looseObject({}).nullish(),
  }),
});

/** API servers cut off longer warnings. */
const MAX_WARNING_LENGTH = 256;

/** The pod to be created, and what the API server says of the request. */
export interface ReviewRequest {
  readonly uid: string;
  readonly pod: Pod;
  readonly namespace: string;
  readonly dryRun: boolean;
  /** Whether a pod is created. Everything else is admitted. */
  readonly createsPod: boolean;
}

/** @throws QuiesceError INVALID_FIELD if the request is not an AdmissionReview of v1 */
export function readReview(body: unknown): ReviewRequest {
  const parsed = review.safeParse(body);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const field = issue?.path.join('.') || 'body';
    throw new QuiesceError('INVALID_FIELD', `${field}: this is not an AdmissionReview of v1.`, {
      field,
    });
  }
  const { request } = parsed.data;
  const pod = (request.object ?? {}) as Pod;
  return {
    uid: request.uid,
    pod,
    namespace: request.namespace ?? pod.metadata?.namespace ?? 'default',
    dryRun: request.dryRun === true,
    createsPod: request.kind.kind === 'Pod' && request.operation === 'CREATE',
  };
}

export function answerTo(
  { uid }: Pick<ReviewRequest, 'uid'>,
  response: Omit<AdmissionAnswer['response'], 'uid'>,
): AdmissionAnswer {
  return {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    response: { uid, ...response },
  };
}

export function encodePatch(patch: readonly Operation[]) {
  const encoded = Buffer.from(JSON.stringify(patch)).toString('base64');
  return { patchType: 'JSONPatch', patch: encoded } as const;
}

/**
 * Answers one AdmissionReview. A failure of the injection becomes an answer as well: with `Ignore` the pod
 * is admitted unchanged, and a warning says that it is not protected.
 *
 * @param rules what the pod's namespace demands, where that could be read
 * @throws QuiesceError INVALID_FIELD if the request is not an AdmissionReview of v1
 */
export function answerReview(
  body: unknown,
  config: InjectConfig,
  policy: FailurePolicy,
  rules?: NamespaceRules,
): ReviewOutcome {
  const request = readReview(body);
  const { pod, namespace, dryRun, createsPod } = request;
  const finish = (
    result: ReviewResult,
    response: Omit<AdmissionAnswer['response'], 'uid'>,
    events: readonly Notice[] = [],
  ): ReviewOutcome => ({
    answer: answerTo(request, response),
    result,
    pod,
    namespace,
    events: dryRun ? [] : events,
  });
  if (!createsPod) return finish('skipped', { allowed: true });
  try {
    return answerFor(inject(pod, config, rules), policy, finish);
  } catch (failure) {
    const notice = {
      code: 'InjectionFailed',
      message: "the pod could not be read; the reason is in the webhook's log",
    };
    return { ...finish('error', refusalOrWarning(policy, 500, [notice]), [notice]), failure };
  }
}

type Finish = (
  result: ReviewResult,
  response: Omit<AdmissionAnswer['response'], 'uid'>,
  events?: readonly Notice[],
) => ReviewOutcome;

function answerFor(injection: Injection, policy: FailurePolicy, finish: Finish): ReviewOutcome {
  if (injection.outcome === 'skipped') {
    if (injection.code === 'NotOptedIn') return finish('skipped', { allowed: true });
    const notice: Notice = {
      code: injection.code,
      message: `no sidecar was added: ${injection.message}`,
    };
    return finish('skipped', { allowed: true, warnings: [warning(notice)] }, [notice]);
  }
  if (injection.outcome === 'invalid') {
    const notices = injection.issues.map(({ field, message }): Notice => ({
      code: 'InvalidAnnotation',
      message: `${field} ${message}`,
    }));
    return finish('invalid', refusalOrWarning(policy, 422, notices), notices);
  }
  const { patch, notices } = injection;
  const warnings = notices.length > 0 ? { warnings: notices.map(warning) } : {};
  if (patch.length === 0) return finish('unchanged', { allowed: true, ...warnings }, notices);
  return finish('injected', { allowed: true, ...encodePatch(patch), ...warnings }, notices);
}

function refusalOrWarning(
  policy: FailurePolicy,
  code: number,
  notices: readonly Notice[],
): Omit<AdmissionAnswer['response'], 'uid'> {
  const text = notices.map(({ message }) => message).join('; ');
  if (policy === 'Fail') return { allowed: false, status: { code, message: `quiesce: ${text}` } };
  const warnings = notices.map(({ code, message }) =>
    warning({ code, message: `no sidecar was added, and the pod is not protected: ${message}` }),
  );
  return { allowed: true, warnings };
}

export function warning({ message }: Notice): string {
  return `quiesce: ${message}`.slice(0, MAX_WARNING_LENGTH);
}
