import { QuiesceError, toQuiesceError } from './errors.ts';
import type { Verb } from './shim/help.ts';
import { helpFor, isVerb, overview } from './shim/help.ts';
import type { ShimVerb } from './shim/shim.ts';
import { SHIM_VERBS, runShim } from './shim/shim.ts';
import { VERSION } from './version.ts';

type Command = Exclude<Verb, ShimVerb>;

/**
 * The commands that are more than a call to the sidecar, each a bundle of its own: a hook never pays
 * for loading them.
 */
const commands: Readonly<Record<Command, () => Promise<{ run(args: string[]): Promise<number> }>>> =
  {
    sidecar: async () => {
      await spareMemory();
      return await import('./commands/sidecar.ts');
    },
    'prepare-restore': () => import('./commands/prepare-restore.ts'),
    inject: () => import('./commands/inject.ts'),
    webhook: () => import('./commands/webhook.ts'),
    doctor: () => import('./commands/doctor.ts'),
    demo: () => import('./commands/demo.ts'),
  };

/**
 * A sidecar idles beside somebody's database for months: it takes V8's flags for little memory. V8 reads
 * them whenever it decides, but they must be there before anything loads. The space for young objects,
 * which V8 doubles while a program loads and seldom gives back, keeps its first size. Machine code is
 * made only of what runs hot: the compiler's pages weigh more than all that it saves an idle program. It
 * is not turned off, or proving a restore from WAL would take thirty times as long.
 */
async function spareMemory(): Promise<void> {
  const { setFlagsFromString } = await import('node:v8');
  const flags = ['--semi-space-growth-factor=1', '--no-sparkplug'];
  // Newer ones have neither flag, would say so on stderr, and hold their compiler back by themselves.
  if (process.versions.v8.startsWith('11.3.')) {
    flags.push('--ticks-before-optimization=1500', '--max-bytecode-size-for-early-opt=0');
  }
  for (const flag of flags) setFlagsFromString(flag);
}

function isShimVerb(verb: Verb): verb is ShimVerb {
  return (SHIM_VERBS as readonly string[]).includes(verb);
}

async function main([word, ...args]: readonly string[]): Promise<number> {
  if (word === '--version' || word === '-V') return say(VERSION);
  if (word === 'help' && args[0] !== undefined) return await main([args[0], '--help']);
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
