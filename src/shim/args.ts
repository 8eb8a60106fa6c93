import { DEEP_TIMEOUT_MS, ID_FORM, ID_PATTERN, KEY_FORM, KEY_PATTERN } from '../defaults.ts';
import { writeDuration } from '../lib/duration.ts';
import {
  durationText,
  type Flags,
  matching,
  oneOf,
  text,
  toggle,
} from '../lib/command-line/flags.ts';
import { readFlags, usage } from '../lib/command-line/read-flags.ts';

export const SHIM_VERBS = ['freeze', 'thaw', 'status', 'metadata', 'receipts', 'verify'] as const;
export type ShimVerb = (typeof SHIM_VERBS)[number];

/** A parsed command line. Durations are checked texts with a unit. */
export interface Arguments {
  readonly json: boolean;
  readonly id?: string;
  readonly ttl?: string;
  readonly timeout?: string;
  readonly renew: boolean;
  readonly wait: boolean;
  readonly thawLast: boolean;
  readonly abandon: boolean;
  readonly acknowledgeRestore: boolean;
  /** Key of this one call; generated if absent. */
  readonly idempotencyKey?: string;
  readonly deep: boolean;
  /** The folder of a copy, for metadata. */
  readonly data?: string;
  readonly all: boolean;
  readonly deepTimeout?: string;
  /** FILE of verify, ID of receipts. */
  readonly operand?: string;
}

const id = { pattern: ID_PATTERN, form: `must be ${ID_FORM}` };
const key = { pattern: KEY_PATTERN, form: `must be ${KEY_FORM}` };
const output = oneOf(['text', 'json'], 'text, or one line of JSON', {
  short: 'o',
  fallback: 'text',
});

const FREEZE = {
  id: matching(
    'ID',
    `${ID_FORM}; generated if absent. Give each backup its own id, so that no other thaw can take its success and its thaw cannot take another's`,
    {},
    id,
  ),
  ttl: durationText(
    'how long the lease lasts; when it expires, the sidecar releases the database',
    {},
  ),
  timeout: durationText(
    "how long the freeze may take before it is rolled back; keep it below the timeout of the hook. The sidecar's own (QUIESCE_FREEZE_TIMEOUT) applies by default",
    {},
  ),
  wait: toggle(
    'for backups that may overlap: if another freeze is held, wait until it ends or the timeout is over, instead of exiting with code 4 at once',
  ),
  'thaw-last': toggle(
    'for callers that copy every volume before the thaw, as Velero does: refuse a freeze of which a volume must be copied after it',
  ),
  renew: toggle('renew the lease of the freeze with this --id; freezes nothing'),
  'idempotency-key': matching(
    'KEY',
    'key of this one call, for programs that retry calls themselves; generated if absent. Each call needs a new key, so never set it in a hook',
    {},
    key,
  ),
  output,
} as const satisfies Flags;

const THAW = {
  id: matching('ID', 'thaw only this freeze', {}, id),
  abandon: toggle(
    'end a freeze by hand: release the database without a success, so the backup fails. Exit code 0 even if nothing is held',
  ),
  'idempotency-key': matching('KEY', 'key of this one call, as for freeze', {}, key),
  output,
} as const satisfies Flags;

const METADATA = {
  data: text(
    'DIR',
    'of a copy: where the volume is mounted, as QUIESCE_DATA_DIR was. Neither a server nor a sidecar is needed',
    {},
  ),
  all: toggle("in text also show the roles and users that are the server's own"),
  output,
} as const satisfies Flags;

const VERIFY = {
  deep: toggle("also run the engine's own deep check of the data (PostgreSQL: amcheck)", {
    alias: 'amcheck',
  }),
  'deep-timeout': durationText('end the deep check after this time', {
    alias: 'amcheck-timeout',
    otherwise: writeDuration(DEEP_TIMEOUT_MS),
  }),
  output,
} as const satisfies Flags;

const STATUS = {
  'acknowledge-restore': toggle(
    'accept a restore that is unproven or refused as it is: it is recorded who did, and no longer reported. Exit code 7 if there is none',
  ),
  output,
} as const satisfies Flags;

export const FLAGS = {
  freeze: FREEZE,
  thaw: THAW,
  status: STATUS,
  metadata: METADATA,
  receipts: { output },
  verify: VERIFY,
} as const satisfies Record<ShimVerb, Flags>;

/** Verbs that take one operand. */
const WITH_OPERAND: readonly ShimVerb[] = ['receipts', 'verify'];

type Any = Partial<{ readonly [name: string]: string | boolean | undefined }>;

/** @throws QuiesceError USAGE, with the flag at fault as field */
export function parseArguments(verb: ShimVerb, args: readonly string[]): Arguments {
  const operands = WITH_OPERAND.includes(verb) ? 1 : 0;
  const parsed = readFlags(verb, FLAGS[verb] as Flags, args, { operands });
  const values = parsed.values as Any;
  const [operand] = parsed.operands;
  checkTogether(verb, values);
  if (verb === 'receipts' && operand !== undefined && !ID_PATTERN.test(operand)) {
    throw usage(verb, `ID ${id.form}`, 'ID');
  }
  return {
    json: values['output'] === 'json',
    renew: values['renew'] === true,
    wait: values['wait'] === true,
    thawLast: values['thaw-last'] === true,
    abandon: values['abandon'] === true,
    acknowledgeRestore: values['acknowledge-restore'] === true,
    deep: values['deep'] === true,
    all: values['all'] === true,
    ...texts({
      operand,
      id: values['id'],
      ttl: values['ttl'],
      timeout: values['timeout'],
      data: values['data'],
      idempotencyKey: values['idempotency-key'],
      deepTimeout: values['deep-timeout'],
    }),
  };
}

function checkTogether(verb: ShimVerb, values: Any): void {
  if (values['deep-timeout'] !== undefined && values['deep'] !== true) {
    throw usage(verb, '--deep-timeout needs --deep', '--deep-timeout');
  }
  if (values['renew'] !== true) return;
  if (values['id'] === undefined) throw usage(verb, '--renew needs --id', '--renew');
  if (values['wait'] === true) {
    throw usage(verb, '--renew has nothing to wait for: leave out --wait', '--wait');
  }
}

function texts<K extends string>(fields: Record<K, unknown>): { [key in K]?: string } {
  const set = Object.entries(fields).filter(([, value]) => typeof value === 'string');
  return Object.fromEntries(set) as { [key in K]?: string };
}
