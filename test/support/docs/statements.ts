/** What a text states of the product, as pure functions: each finds the statements of one kind. */

/** A flag, and the verb that it is said to belong to; `undefined`: to any. */
export interface FlagNamed {
  readonly verb: string | undefined;
  readonly flag: string;
}

/** A command in a JSON array reads as one that is typed. */
const typed = (text: string): string => text.replaceAll(/["']\s*,\s*["']/g, ' ');

const FLAG = /(?<![\w-])--[a-z][A-Za-z0-9-]*/g;
const flagsOf = (text: string): string[] => [...text.matchAll(FLAG)].map(([flag]) => flag);

/** A command ends with its line, its quotes, its sentence, or where the next begins. */
const UP_TO = String.raw`((?:\\\n|(?!\. )[^\n\`|;&#")(])*)`;

/** `quiesce VERB … --flag` wherever it stands; `npm run demo -- --flag` is `quiesce demo`. */
export function flagsOfCommands(text: string): FlagNamed[] {
  const commands = new RegExp(String.raw`\bquiesce ([a-z][a-z-]*)(?![\w/.:-])${UP_TO}`, 'g');
  const demos = new RegExp(String.raw`\bnpm run demo --(?!-)${UP_TO}`, 'g');
  const found = [...typed(text).matchAll(commands)].map(([, verb = '', rest = '']) => [verb, rest]);
  const ofDemo = [...text.matchAll(demos)].map(([, rest = '']) => ['demo', rest]);
  return [...found, ...ofDemo].flatMap(([verb = '', rest = '']) =>
    flagsOf(rest.split(/ -- /)[0] ?? '').map((flag) => ({ verb, flag })),
  );
}

const FENCE = /^(```|~~~)[^]*?^\1\s*$/gm;
const proseOf = (text: string): string => text.replaceAll(FENCE, '');

/** What stands between single backticks outside of blocks, without the quotes of a link. */
export const spansOf = (text: string): string[] =>
  [...proseOf(text).matchAll(/(?<!`)`([^`\n]+)`(?!`)/g)].map(([, span = '']) => span);

/** The blocks between fences, but for what the program itself prints. */
export const blocksOf = (text: string): string[] =>
  [...text.matchAll(/^```(?!text)[a-z]*\n([^]*?)^```/gm)].map(([, block = '']) => block);

/** `--flag` alone, and `VERB --flag` without the name of the program, as pages quote them. */
export function flagsOfSpans(text: string, verbs: readonly string[]): FlagNamed[] {
  return spansOf(text).flatMap((span): FlagNamed[] => {
    const [first = ''] = span.split(' ');
    if (first.startsWith('--')) return flagsOf(span).map((flag) => ({ verb: undefined, flag }));
    return verbs.includes(first) ? flagsOf(span).map((flag) => ({ verb: first, flag })) : [];
  });
}

/** The flags that a help text explains, one at the start of a line each. */
export const flagsOfHelp = (help: string): string[] =>
  help.split('\n').flatMap((line) => flagsOf(/^\s+(?:-\w, )?--\S+/.exec(line)?.[0] ?? ''));

/** The verbs of `quiesce VERB` where it is typed: at the start of a line or span, or in an exec. */
export function verbsOfCode(text: string): string[] {
  const commands = [...blocksOf(text), ...spansOf(text)].map(typed);
  const verb = /(?:^\s*|-- |&& |\| |\$ |["'[(])quiesce ([a-z][a-z-]*)(?![\w/.:-])/gm;
  return commands.flatMap((one) => [...one.matchAll(verb)].map(([, word = '']) => word));
}

/** In code: `quiesce VERB` that carries a flag or is quoted whole. */
export const verbsOfHints = (text: string): string[] =>
  [...text.matchAll(/\bquiesce ([a-z][a-z-]*)(?= -{1,2}[a-z])/g)].map(([, word = '']) => word);

/** Metrics by their families. */
export const metricsOf = (text: string): string[] =>
  [
    ...text.matchAll(
      /\b(?:stateful_backup|quiesce_webhook|quiesce_exporter|volume_snapshot)_[a-z_]*[a-z](?![\w.])/g,
    ),
  ].map(([name]) => name);

/** Settings of the product and of its tests. */
export const settingsOf = (text: string): string[] =>
  [...text.matchAll(/\bQUIESCE_[A-Z_]*[A-Z]\b(?!_)/g)].map(([name]) => name);

/** Codes of the families given: `FREEZE_HELD`, but not `QUIESCE_FREEZE_TIMEOUT`. */
export const codesOf = (text: string, families: ReadonlySet<string>): string[] =>
  [...text.matchAll(/(?<![\w$.{-])[A-Z]+(?:_[A-Z]+)+(?![\w=])/g)]
    .map(([code]) => code)
    .filter((code) => families.has(code.replace(/_.*/, '_')));

/** Files and folders of the repository, by their paths from its root; NAME stands for any. */
export const pathsOf = (text: string): string[] =>
  [
    ...text.matchAll(
      /(?<![\w/.$:@{}-])(?:docs|src|test|scripts|charts|roles|bench|sql|redis)\/(?:[\w.-]+\/)*(?:[\w-]+(?:\.[\w-]+)*\.(?:ts|mjs|md|json|yaml|sh|sql|acl|png|conf)|(?<=\/))(?![\w*{])/g,
    ),
  ]
    .map(([path]) => path)
    .filter((path) => !/\bNAME\b/.test(path));

/** A request that a text names: the method where it is said. */
export interface Request {
  readonly method: string | undefined;
  readonly path: string;
}

/** Requests to the control socket and to the ports of sidecar and webhook. */
export function requestsOf(text: string): Request[] {
  const named = text.matchAll(/\b(GET|POST|PUT|PATCH|DELETE) (\/[a-z][\w./:-]*)/g);
  const control = text.matchAll(/(?<![\w.])(\/v\d+\/[a-z][\w/:-]*)/g);
  const ports = text.matchAll(/:(?:8095|9095)(\/[a-z][\w./-]*)/g);
  return [
    ...[...named].map(([, method = '', path = '']) => ({ method, path })),
    ...[...control, ...ports].map(([, path = '']) => ({ method: undefined, path })),
  ];
}

/** A span or a link cannot be broken: it is one word. */
const wordsOf = (line: string): string[] =>
  line
    .replaceAll(/`[^`]*`|\]\([^)]*\)/g, '`')
    .trim()
    .split(/\s+/);

/** Lines of prose that could be broken and are wider; tables and headings have no choice. */
export const wideLines = (text: string, width: number): string[] =>
  proseOf(text)
    .split('\n')
    .filter((line) => line.length > width && !/^\s*(?:\||#|!\[|<)/.test(line))
    .filter((line) => wordsOf(line).length > 2);

/** `NAME  words (default)` in the help of the sidecar. */
export const defaultsOfHelp = (help: string): ReadonlyMap<string, string> =>
  new Map(
    // What does not fit goes on in the next line, below the first.
    [
      ...help
        .replaceAll(/\n {20,}/g, ' ')
        .matchAll(/^ {2}(?:-\w, )?(?:--)?([A-Z_a-z-]+) .*\((.+)\)$/gm),
    ].map(([, name = '', value = '']) => [name, value]),
  );
