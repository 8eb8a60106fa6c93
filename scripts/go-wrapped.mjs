// Builds programs of a Go module whose go.mod has replace lines, which `go install MODULE@VERSION` refuses:
// a module of our own takes the lines over and requires the other one.
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { go } from './go.mjs';

/**
 * @typedef {object} Wrapped
 * @property {string} folder gets the programs; its name has their versions
 * @property {string} module
 * @property {string} version without the leading v
 * @property {Record<string, string>} programs program → package
 * @property {Record<string, string>} [also] other modules that are required → version
 * @property {(text: string) => string} [mod] changes go.mod
 * @property {Record<string, string>} [set] Go variable → value, set by the linker
 * @property {(source: string) => void} [prepare] adds to the folder of the wrapping module
 */

/**
 * Builds the programs that are missing, one after the other. A program appears under its name only when it
 * is complete.
 *
 * @param {Wrapped} wrapped
 */
export function buildWrapped(wrapped) {
  const missing = Object.keys(wrapped.programs).filter(
    (name) => !existsSync(join(wrapped.folder, name)),
  );
  if (missing.length === 0) return;
  const source = join(wrapped.folder, `source.${process.pid}`);
  mkdirSync(source, { recursive: true });
  try {
    writeModule(source, wrapped);
    wrapped.prepare?.(source);
    for (const name of missing) build(source, wrapped, name);
  } finally {
    rmSync(source, { recursive: true, force: true });
  }
}

function writeModule(source, { module, version, also = {}, mod = (text) => text }) {
  writeFileSync(join(source, 'go.mod'), 'module quiesce.dev/wrapped\n');
  const { GoMod, Dir } = JSON.parse(
    go({ cwd: source }, 'mod', 'download', '-json', `${module}@v${version}`),
  );
  const theirs = readFileSync(GoMod, 'utf8').replace(/^module .*$/m, 'module quiesce.dev/wrapped');
  const required = Object.entries({ [module]: version, ...also })
    .map(([name, wanted]) => `\nrequire ${name} v${wanted}\n`)
    .join('');
  writeFileSync(join(source, 'go.mod'), `${mod(theirs)}${required}`);
  const sums = join(Dir, 'go.sum');
  if (existsSync(sums)) writeFileSync(join(source, 'go.sum'), readFileSync(sums));
}

function build(source, { folder, version, set = {}, programs }, name) {
  process.stderr.write(`Building ${name} (${version}); this happens once and takes minutes.\n`);
  const made = join(folder, `.${name}.${process.pid}`);
  const values = Object.entries(set).map(([variable, value]) => `-X ${variable}=${value}`);
  const flags = ['-s', '-w', ...values].join(' ');
  const line = ['build', '-mod=mod', '-trimpath', '-ldflags', flags, '-o', made, programs[name]];
  go({ cwd: source }, ...line);
  renameSync(made, join(folder, name));
}
