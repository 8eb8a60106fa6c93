// Builds dist/: cli.js, one file that loads node: only, and commands/*.mjs, loaded by verb.
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

/** Where the verbs are that are not part of the shim, one file each. */
const COMMANDS = 'src/commands';

// No charset: one letter beyond Latin-1 would make a whole bundle take twice its size in memory.
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
      if (!name) return { errors: [{ text: `cli.ts may load commands only, not ${file}` }] };
      return { path: `./commands/${name}.mjs`, external: true };
    });
  },
};

/** zod carries its messages in some fifty languages; one is spoken here, and memory is counted. */
const englishOnly = {
  name: 'english-only',
  setup({ onLoad }) {
    onLoad({ filter: /zod\/v4\/locales\/index\.(?:js|cjs)$/ }, () => ({
      contents: "export { default as en } from './en.js';",
    }));
  },
};

/** What fastify would load if it were given no compilers; src/http/base.ts gives its own. */
const noOtherCompilers = {
  name: 'no-other-compilers',
  setup({ onLoad }) {
    const filter = /@fastify\/(?:ajv-compiler|fast-json-stringify-compiler)\/index\.js$/;
    const contents = "throw new Error('fastify was given no compilers');";
    onLoad({ filter }, () => ({ contents }));
  },
};

/** Node knows international host names itself; the table that this package brings takes a megabyte. */
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
 * MongoDB's driver prepares passwords by tables of Unicode that take some MB. Printable ASCII comes out
 * of them as it was (RFC 4013), so they are loaded for other passwords only.
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

/** prom-client's own metrics of a process could export by it; src/sidecar/metrics.ts has others. */
const noTelemetry = {
  name: 'no-telemetry',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^@opentelemetry\/api$/ }, ({ importer, path }) =>
      importer.includes('/prom-client/') ? { path, namespace: 'nothing' } : undefined,
    );
    onLoad({ filter: /./, namespace: 'nothing' }, () => ({ contents: '' }));
  },
};

/** What MongoDB's driver does without, the Kubernetes client loads at once. */
const proxiesAreBundled = {
  name: 'proxies-are-bundled',
  setup({ onResolve }) {
    onResolve({ filter: /^socks$/ }, ({ importer }) => {
      if (!importer.includes('/socks-proxy-agent/')) return undefined;
      return { path: createRequire(importer).resolve('socks') };
    });
  },
};

/** Plugins that have found nothing to replace so far. */
const unused = new Set();

/** Notes that a plugin was of use: one whose package has moved its files would do nothing, in silence. */
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
    // A hook pays for every start, and Node's loader of ES modules takes a fifth of an empty one.
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
    // One chunk an engine: only the configured one is loaded.
    splitting: true,
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: 'eof',
    // What drivers load where it is installed, and do without where it is not.
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
    // pg makes a Response to see whether it runs at Cloudflare, which loads all of Node's fetch: 5 MB.
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
  if (unused.size > 0) throw new Error(`nothing to replace was found by ${[...unused].join(', ')}`);
  return result.outputFiles;
}

/** By rename, so that a command that starts during a build never reads half a file. */
async function put({ path, contents }, mode = 0o644) {
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}`;
  await writeFile(temporary, contents, { mode });
  await rename(temporary, path);
}

/** Node has no call for a file lock: a small addon has, for each platform that has a sidecar. */
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
    throw new Error(`src/version.ts does not say ${version}, which package.json does`);
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
  // esbuild has printed its own messages.
  if (!error.errors) process.stderr.write(`build: ${error.message}\n`);
  process.exitCode = 1;
}
