import { QuiesceError, toQuiesceError } from './errors.ts';
import type { Verb } from './help.ts';
import { helpFor, isVerb, overview } from './help.ts';
import type { ShimVerb } from './shim.ts';
import { SHIM_VERBS, runShim } from './shim.ts';
import { VERSION } from './version.ts';

type Command = Exclude<Verb, ShimVerb>;

/**
 * The commands that are more than a call to the sidecar, each a bundle of its own: a hook never pays
 * for loading them.
 */
const commands: Readonly<Record<Command, () => Promise<{ run(args: string[]): Promise<number> }>>> =
  {
    sidecar: async () => {
      await holdYoungGeneration();
      return await import('./commands/sidecar.ts');
    },
    'prepare-restore': () => import('./commands/prepare-restore.ts'),
    inject: () => import('./commands/inject.ts'),
    webhook: () => import('./commands/webhook.ts'),
    doctor: () => import('./commands/doctor.ts'),
    demo: () => import('./commands/demo.ts'),
  };

/**
 * V8 doubles the space for young objects while a program loads, to 8 MB and more, and seldom gives it
 * back. At its first size it is emptied more often, which a sidecar does not feel. V8 reads the flag
 * whenever that space is about to grow: it may be set while running, and must be before loading.
 */
async function holdYoungGeneration(): Promise<void> {
  const { setFlagsFromString } = await import('node:v8');
  setFlagsFromString('--semi-space-growth-factor=1');
}

function isShimVerb(verb: Verb): verb is ShimVerb {
  return (SHIM_VERBS as readonly string[]).includes(verb);
}

async function main([word, ...args]: readonly string[]): Promise<number> {
  if (word === '--version' || word === '-V') return say(VERSION);
  if (word === '--help' || word === '-h' || word === 'help') return say(overview());
  if (word === undefined || !isVerb(word)) {
    const message = word === undefined ? 'A verb is missing.' : `Unknown verb ${quote(word)}.`;
    throw new QuiesceError('USAGE', message, { hint: 'quiesce --help lists the verbs.' });
  }
  if (!isShimVerb(word)) return runCommand(word, args);
  const flags = args.includes('--') ? args.slice(0, args.indexOf('--')) : args;
  if (flags.includes('--help') || flags.includes('-h')) return say(helpFor(word));
  return runShim(word, args);
}

/** A command explains its flags itself. */
async function runCommand(word: Command, args: readonly string[]): Promise<number> {
  const command = await commands[word]();
  return command.run([...args]);
}

function say(text: string): number {
  process.stdout.on('error', () => undefined);
  process.stdout.write(`${text}\n`);
  return 0;
}

function quote(word: string): string {
  return JSON.stringify(word.replaceAll(/\p{C}/gu, '?').slice(0, 60));
}

// Not awaited at the top: Node starts a script twice as fast as a module, and a script has no such await.
void main(process.argv.slice(2)).then(
  (code) => (process.exitCode = code),
  (thrown: unknown) => {
    const error = toQuiesceError(thrown);
    const cause = error.code === 'INTERNAL' ? ` (${String(error.cause)})` : '';
    const text = `quiesce: ${error.code}: ${error.message}${cause} Hint: ${error.hint}`;
    process.stderr.write(`${text.replaceAll(/\s+/g, ' ')}\n`);
    process.exitCode = error.exit;
  },
);
