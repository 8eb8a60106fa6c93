import { readFile } from 'node:fs/promises';
import type { Tools } from '../kubectl.ts';
import { run } from '../run.ts';
import { say } from '../say.ts';

/** A command of a page, as it stands there, without the comment behind it. */
export type Command = string;

/** The commands of a section's code blocks. Lines that end in a backslash are one command with the next one. */
export function commandsIn(page: string, section: RegExp): readonly Command[] {
  const sections = page.split(/^## /m);
  const found = sections.find((text) => section.test(text.split('\n')[0] ?? ''));
  if (found === undefined) throw new Error(`the page has no section ${section}`);
  const blocks = [...found.matchAll(/^```sh\n([\s\S]*?)^```/gm)].map(([, block = '']) => block);
  return blocks
    .flatMap((block) => block.replaceAll('\\\n', ' ').split('\n'))
    .map((line) => line.replace(/\s+#.*$/, '').trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
}

/** Runs a command of the documentation as it stands, in a shell at the root of the checkout, or in a folder. */
export async function runCommand(tools: Tools, command: Command, cwd?: string): Promise<string> {
  say(`  $ ${command}`);
  const where = cwd === undefined ? {} : { cwd };
  return (await run('bash', ['-ec', command], { env: tools.env, ...where })).stdout;
}

/** The image and the chart, as docs/install.md says. The images of this run are in the node already. */
export async function installQuiesce(tools: Tools): Promise<readonly Command[]> {
  const page = await readFile('docs/install.md', 'utf8');
  const commands = commandsIn(page, /^2\. The chart/);
  for (const command of commands) await runCommand(tools, command);
  return commands;
}
