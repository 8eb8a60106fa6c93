// Builds dist/: cli.js, one file that imports only node:, and commands/*.mjs, one for each verb.
// node scripts/build.mjs [--outdir DIR] [--cli-only]
import { build } from 'esbuild';
import { copyFile, mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const flag = process.argv.indexOf('--outdir');
const outdir = flag > 0 ? resolve(process.argv[flag + 1]) : join(root, 'dist');

/** The folder of the verbs outside the shim, one file each. */
const COMMANDS = 'src/commands';

// No charset: esbuild then escapes letters beyond ASCII in strings. `escaped` does it for what is left.
const shared = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  logLevel: 'warning',
  write: false,
  metafile: true,
};

/** Turns the router's imports of commands into imports of their bundles. */
const commandsAreElsewhere = {
  name: 'commands-are-elsewhere',
  setup({ onResolve }) {
    onResolve({ filter: /\.ts$/ }, ({ kind, path, resolveDir }) => {
      if (kind !== 'dynamic-import') return undefined;
      const file = relative(root, resolve(resolveDir, path));
      const name = file.startsWith(`${COMMANDS}/`) ? basename(file, '.ts') : undefined;
      if (!name) return { errors: [{ text: `cli.ts may load only commands, not ${file}` }] };
      return { path: `./commands/${name}.mjs`, external: true };
    });
  },
};

/** zod has its messages in some fifty languages. Only English is used; the others cost memory. */
const englishOnly = {
  name: 'english-only',
  setup({ onLoad }) {
    onLoad({ filter: /zod\/v4\/locales\/index\.(?:js|cjs)$/ }, () => ({
      contents: "export { default as en } from './en.js';",
    }));
  },
};

/** Replaces the compilers that fastify loads by default; src/http/base.ts passes its own. */
const noOtherCompilers = {
  name: 'no-other-compilers',
  setup({ onLoad }) {
    const filter = /@fastify\/(?:ajv-compiler|fast-json-stringify-compiler)\/index\.js$/;
    const contents = "throw new Error('no compilers were passed to fastify');";
    onLoad({ filter }, () => ({ contents }));
  },
};

/** Node itself converts international host names; the table in this package takes a megabyte. */
const nodeReadsHostNames = {
  name: 'node-reads-host-names',
  setup({ onLoad }) {
    const contents = [
      "const { domainToASCII } = require('node:url');",
      'exports.toASCII = (domain) => domainToASCII(domain) || null;',
    ].join('\n');
    onLoad({ filter: /node_modules\/tr46\/index\.js$/ }, () => ({ contents }));
  },
};

/**
 * MongoDB's driver prepares passwords with Unicode tables that take some MB. They leave printable ASCII
 * unchanged (RFC 4013), so they are loaded only for other passwords.
 */
const saslprepWhenNeeded = {
  name: 'saslprep-when-needed',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^@mongodb-js\/saslprep$/ }, ({ importer }) => {
      return { path: createRequire(importer).resolve('@mongodb-js/saslprep'), namespace: 'lazy' };
    });
    onLoad({ filter: /./, namespace: 'lazy' }, ({ path }) => ({
      resolveDir: dirname(path),
      contents: `exports.saslprep = (text, options) =>
        typeof text === 'string' && /^[ -~]*$/.test(text)
          ? text
          : require(${JSON.stringify(path)}).saslprep(text, options);`,
    }));
  },
};

/** prom-client needs it only for its own process metrics; src/sidecar/metrics.ts does not use those. */
const noTelemetry = {
  name: 'no-telemetry',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^@opentelemetry\/api$/ }, ({ importer, path }) =>
      importer.includes('/prom-client/') ? { path, namespace: 'nothing' } : undefined,
    );
    onLoad({ filter: /./, namespace: 'nothing' }, () => ({ contents: '' }));
  },
};

/** `socks` is external for MongoDB's driver, where it is optional; the Kubernetes client requires it. */
const proxiesAreBundled = {
  name: 'proxies-are-bundled',
  setup({ onResolve }) {
    onResolve({ filter: /^socks$/ }, ({ importer }) => {
      if (!importer.includes('/socks-proxy-agent/')) return undefined;
      return { path: createRequire(importer).resolve('socks') };
    });
  },
};

/** Plugins that have replaced nothing yet. */
const unused = new Set();

/** Records that a plugin replaced something. If its package moves its files, it would silently do nothing. */
function watched({ name, setup }) {
  unused.add(name);
  const noting = (on) => (options, callback) =>
    on(options, async (args) => {
      const result = await callback(args);
      if (result !== undefined) unused.delete(name);
      return result;
    });
  return {
    name,
    setup: ({ onResolve, onLoad }) =>
      setup({ onResolve: noting(onResolve), onLoad: noting(onLoad) }),
  };
}

async function buildCli() {
  const result = await build({
    ...shared,
    entryPoints: { cli: 'src/cli.ts' },
    outdir,
    // Every hook pays for a start, and Node's ES module loader takes a fifth of the start of an empty script.
    format: 'cjs',
    minify: true,
    plugins: [commandsAreElsewhere],
    banner: { js: '#!/usr/bin/env node' },
  });
  const imported = Object.values(result.metafile.outputs).flatMap(({ imports }) => imports);
  const foreign = imported.filter(
    ({ path }) => !path.startsWith('node:') && !path.startsWith('./commands/'),
  );
  if (foreign.length > 0) {
    throw new Error(
      `cli.js must import node: only, not ${foreign.map((one) => one.path).join(', ')}`,
    );
  }
  const script = { path: join(outdir, 'package.json'), contents: '{"type":"commonjs"}\n' };
  const commands = imported.filter(({ path }) => path.startsWith('./commands/'));
  return {
    files: [script, ...result.outputFiles],
    commands: commands.map(({ path }) => basename(path, '.mjs')),
  };
}

/** @param names of the commands that the router loads */
async function buildCommands(names) {
  const result = await build({
    ...shared,
    entryPoints: names.map((name) => `${COMMANDS}/${name}.ts`),
    outdir: join(outdir, 'commands'),
    outExtension: { '.js': '.mjs' },
    // One chunk for each engine: only the configured one is loaded.
    splitting: true,
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: 'eof',
    // Optional dependencies of the drivers.
    external: [
      'pg-native',
      'kerberos',
      'snappy',
      '@mongodb-js/zstd',
      'mongodb-client-encryption',
      'gcp-metadata',
      'socks',
      '@aws-sdk/credential-providers',
      '@aws-sdk/credential-provider-node',
    ],
    // pg creates a Response to find out whether it runs at Cloudflare; that loads Node's fetch: 5 MB.
    define: { Response: 'undefined' },
    plugins: [
      englishOnly,
      noOtherCompilers,
      nodeReadsHostNames,
      noTelemetry,
      saslprepWhenNeeded,
      proxiesAreBundled,
    ].map(watched),
    banner: {
      js: [
        "import { createRequire as __createRequire } from 'node:module';",
        "import { fileURLToPath as __toPath } from 'node:url';",
        "import { dirname as __dirnameOf } from 'node:path';",
        'const require = __createRequire(import.meta.url);',
        'const __filename = __toPath(import.meta.url);',
        'const __dirname = __dirnameOf(__filename);',
      ].join('\n'),
    },
  });
  if (unused.size > 0)
    throw new Error(`plugins that found nothing to replace: ${[...unused].join(', ')}`);
  return result.outputFiles.map(escaped);
}

/**
 * One letter beyond Latin-1 doubles a bundle in memory, and esbuild leaves those in templates and regular
 * expressions. An escape means the same in both, but for `String.raw`, which nothing uses with such letters.
 */
function escaped({ path, text }) {
  const code = (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return { path, contents: text.replaceAll(/[^\0-\xff]/g, code) };
}

/** Writes a file by rename, so that a command that starts during a build never reads half of it. */
async function put({ path, contents }, mode = 0o644) {
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}`;
  await writeFile(temporary, contents, { mode });
  await rename(temporary, path);
}

/** Copies the addon for file locks, which Node lacks, for each platform that a sidecar runs on. */
async function copyAddons() {
  const { resolve: find } = createRequire(import.meta.url);
  const prebuilds = join(dirname(find('fs-native-extensions/package.json')), 'prebuilds');
  for (const platform of ['linux-x64', 'linux-arm64', 'darwin-x64', 'darwin-arm64']) {
    const path = join(outdir, 'native', platform, 'fs-native-extensions.node');
    await mkdir(dirname(path), { recursive: true });
    const temporary = `${path}.${process.pid}`;
    await copyFile(join(prebuilds, platform, basename(path)), temporary);
    await rename(temporary, path);
  }
}

async function removeStale(files) {
  const kept = new Set(files.map(({ path }) => path));
  const directory = join(outdir, 'commands');
  const found = existsSync(directory) ? await readdir(directory) : [];
  const stale = found.map((name) => join(directory, name)).filter((path) => /\.m?js$/.test(path));
  await Promise.all(
    stale.filter((path) => !kept.has(path)).map((path) => rm(path, { force: true })),
  );
}

async function checkVersion() {
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
  const source = await readFile(join(root, 'src/version.ts'), 'utf8');
  if (!source.includes(`VERSION = '${version}'`)) {
    throw new Error(`src/version.ts must have the version of package.json, ${version}`);
  }
}

try {
  await checkVersion();
  const cli = await buildCli();
  const commands = process.argv.includes('--cli-only')
    ? undefined
    : await buildCommands(cli.commands);
  await Promise.all((commands ?? []).map((file) => put(file)));
  await Promise.all(cli.files.map((file) => put(file, file.path.endsWith('.js') ? 0o755 : 0o644)));
  if (commands) await removeStale(commands);
  if (commands) await copyAddons();
} catch (error) {
  // esbuild has already printed its own messages.
  if (!error.errors) process.stderr.write(`build: ${error.message}\n`);
  process.exitCode = 1;
}
