import { type CommandName, COMMANDS, INSIDE } from './commands/index.ts';
import { QuiesceError } from './errors.ts';
import { reportFailure, writeTo } from './lib/command-line/failure.ts';
import { didYouMean } from './lib/command-line/nearest.ts';
import { quote } from './lib/command-line/printable.ts';
import { asksForHelp, formatAsked } from './lib/command-line/read-flags.ts';
import { demoCanRun } from './lib/command-line/demo-servers.ts';
import { helpFor, overview } from './shim/help.ts';
import { SHIM_VERBS, runShim, type ShimVerb } from './shim/shim.ts';
import { VERSION } from './version.ts';

async function main([word, ...args]: readonly string[]): Promise<number> {
  if (word === '--version' || word === '-V') return say(VERSION);
  if (word === 'help' && args[0] !== undefined) return await main([args[0], '--help']);
  if (word === '--help' || word === '-h' || word === 'help') return say(overview(shownCommands()));
  if (word !== undefined && isCommand(word)) return await (await COMMANDS[word].load()).run(args);
  if (word !== undefined && isInside(word)) return await (await INSIDE[word]()).run(args);
  if (word === undefined || !isShimVerb(word)) throw unknownVerb(word);
  return asksForHelp(args) ? say(helpFor(word)) : await runShim(word, args);
}

function isCommand(word: string): word is CommandName {
  return Object.hasOwn(COMMANDS, word);
}

function isInside(word: string): word is keyof typeof INSIDE {
  return Object.hasOwn(INSIDE, word);
}

function isShimVerb(word: string): word is ShimVerb {
  return (SHIM_VERBS as readonly string[]).includes(word);
}

/** Hides the demo where it cannot run: it needs a database server, and the image has none. */
function shownCommands(): readonly (readonly [string, string])[] {
  return Object.entries(COMMANDS)
    .filter(([name]) => name !== 'demo' || demoCanRun())
    .map(([name, { summary }]) => [name, summary]);
}

function unknownVerb(word: string | undefined): QuiesceError {
  const message = word === undefined ? 'A verb is missing.' : `Unknown verb ${quote(word)}.`;
  const known = [...SHIM_VERBS, ...Object.keys(COMMANDS)];
  const hint = `${didYouMean(word ?? '', known)}quiesce --help lists the verbs.`;
  return new QuiesceError('USAGE', message, { hint });
}

function say(text: string): number {
  writeTo(process.stdout, `${text}\n`);
  return 0;
}

const words = process.argv.slice(2);
// No top-level await: the bundle is a script, which Node starts twice as fast as a module.
void main(words).then(
  (code) => (process.exitCode = code),
  (thrown: unknown) => (process.exitCode = reportFailure(thrown, formatAsked(words))),
);
