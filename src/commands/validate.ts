import { planOf } from '../cluster/plan/plan.ts';
import { describeValidation } from '../cluster/validate/text.ts';
import { validate, validateUntilWhole } from '../cluster/validate/validate.ts';
import type { ValidationRun, ValidationVerdict } from '../cluster/validate/document.ts';
import { QuiesceError } from '../errors.ts';
import { duration, toggle, type Values } from '../lib/command-line/flags.ts';
import { wantsColor } from '../lib/command-line/paint.ts';
import { abortedWithin, unlessAborted } from '../lib/deadline.ts';
import { writeDuration } from '../lib/duration.ts';
import {
  APPLICATION_EXITS,
  APPLICATION_FLAGS,
  checkSelection,
  connectTo,
  readForPlan,
  selectionOf,
} from './application-flags.ts';
import { type Surface, verb } from './verb.ts';

const FLAGS = {
  ...APPLICATION_FLAGS,
  timeout: duration(
    'how long looking may take, and with --wait how long to wait',
    { fallback: '2m' },
    1_000,
  ),
  wait: toggle('look again until the application is whole, the time is up, or waiting is in vain'),
  'restarts-within': duration(
    'a container that has restarted more than once within this time is a crash loop',
    { fallback: '10m' },
    1_000,
  ),
} as const;

const EXITS: Readonly<Record<ValidationVerdict, number>> = { proven: 0, unproven: 7, failed: 5 };

export const run = verb({
  name: 'validate',
  usage: ['[-n NAMESPACE]... [flags]'],
  about: `
Says whether the application that runs is whole: every member is ready, no container crashes again and
again, claims are bound, restored data keeps what its receipt promises, each member reaches what its
quiesce.dev/depends-on names, and the checks of your own hold (quiesce.dev/verify-sql, verify-http).
Where something is broken it names the event, the last words of the container and the likely cause.
It changes nothing.`,
  flags: FLAGS,
  formats: ['text', 'json'],
  notes: `
A link is tried from the network of a pod that has the sidecar. For a pod without one, only the endpoints
of the Service are looked at; the result says which of the two it was.`,
  exits: {
    0: 'whole',
    7: 'whole, but not proven: a restore without a proof, or something that could not be checked',
    5: 'not whole',
    2: 'bad flags, or an application that cannot be planned',
    3: 'the Kubernetes API cannot be reached, or refuses',
    6: 'too late: it could not be looked at in time',
    1: 'unexpected',
  },
  exitCodes: APPLICATION_EXITS,
  work: async (options, surface) => {
    checkSelection('validate', options);
    const signal = abortedWithin(options.timeout, surface.signal);
    const done = await look(options, surface, signal).catch((error: unknown) => {
      if (!signal.aborted || surface.signal.aborted) throw error;
      const text = `The application could not be looked at within ${writeDuration(options.timeout)}.`;
      throw new QuiesceError('LOOK_TOO_LATE', text);
    });
    const { columns } = process.stdout;
    await surface.print(done, () =>
      describeValidation(done, {
        color: wantsColor(process.stdout),
        ...(columns && { width: columns }),
      }),
    );
    return EXITS[done.verdict];
  },
});

async function look(
  options: Values<typeof FLAGS>,
  surface: Surface,
  signal: AbortSignal,
): Promise<ValidationRun> {
  const connection = connectTo(options, surface.signal);
  const selection = selectionOf(options, connection.namespace);
  const progress = (sentence: string): void => surface.progress.say(sentence);
  let last: ValidationRun | undefined;
  const once = async (): Promise<ValidationRun> => {
    const reading = readForPlan(connection, selection, { timeoutMs: options.timeout, progress });
    const planned = planOf(await unlessAborted(reading, signal), selection);
    const settings = { restartsWithinMs: options['restarts-within'], progress };
    last = await validate(connection, planned, settings, signal);
    return last;
  };
  if (!options.wait) return await once();
  try {
    return await validateUntilWhole(once, signal);
  } catch (error) {
    // The time was up in the middle of a look: the one before still says how things stand.
    if (last !== undefined && signal.aborted && !surface.signal.aborted) return last;
    throw error;
  }
}
