// Writes the generated files: docs/openapi.json, docs/receipt.schema.json, docs/errors.md, docs/doctor.md
// and docs/commands.md from the code, the table in docs/ARCHITECTURE.md from the list of parts, and
// charts/quiesce/README.md from the comments in values.yaml.
// With --check it writes nothing, and fails with the list of files that are out of date.
import { build } from 'esbuild';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { partsTable } from './architecture-rules.mjs';
import { chartReadme } from './chart-readme.mjs';
import { commandsPage } from './commands-page.mjs';
import { doctorPage } from './doctor-page.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const TABLE_STARTS = '<!-- Generated from scripts/architecture.mjs by npm run generate. -->';
const TABLE_ENDS = '<!-- /Generated -->';
const RECEIPT_ID = 'https://quiesce.dev/schemas/receipt-v1.json';

/** The error codes that every operation can answer with. */
const ANYWHERE = [
  'BAD_REQUEST',
  'UNAUTHORIZED',
  'HOST_REFUSED',
  'ORIGIN_REFUSED',
  'METHOD_NOT_ALLOWED',
  'REQUEST_TIMEOUT',
  'EXPECTATION_FAILED',
  'INVALID_FIELD',
  'HEADERS_TOO_LARGE',
  'INTERNAL',
  'TOO_MANY_CONNECTIONS',
];
const WITH_BODY = ['INVALID_JSON', 'BODY_TOO_LARGE', 'UNSUPPORTED_MEDIA_TYPE'];
const OWN = {
  freeze: ['COPY_UNSUPPORTED', 'JOURNAL_FAILED', 'SHUTTING_DOWN', 'FREEZE_TIMEOUT'],
  receipt: ['RECEIPT_NOT_FOUND'],
  verify: ['RESTORE_RECEIPT_INVALID'],
  acknowledgeRestore: ['JOURNAL_FAILED'],
};
const ASKS_THE_ENGINE = ['freeze', 'thaw', 'metadata', 'verify'];
const CONFLICTS = {
  freeze: ['FREEZE_HELD', 'VOLUME_IN_USE', 'FREEZE_ABORTED', 'NOT_FROZEN', 'NOT_CONSISTENT'],
  thaw: ['NOT_FROZEN', 'ALREADY_THAWED', 'NOT_CONSISTENT'],
  verify: ['NOT_VERIFIED'],
  acknowledgeRestore: ['NOTHING_TO_ACKNOWLEDGE'],
};
const HEADERS = {
  401: { 'www-authenticate': header('Always Bearer.') },
  405: { allow: header('The methods that the path accepts.') },
};

function header(description) {
  return { description, required: true, schema: { type: 'string' } };
}

/** The routes import the document that is being generated; they get an empty one. */
const withoutOpenapi = {
  name: 'without-openapi',
  setup({ onLoad }) {
    onLoad({ filter: /docs\/openapi\.json$/ }, () => ({ contents: '{}', loader: 'json' }));
  },
};

const ENTRY = `
export { fastify } from 'fastify';
export { default as swagger } from '@fastify/swagger';
export { jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod';
export { z } from 'zod';
export { addRoutes } from './src/http/routes.ts';
export { catalogue } from './src/errors.ts';
export { receiptSchema } from './src/receipt/receipt.ts';
export { THEMES } from './src/cluster/doctor/rules/index.ts';
export { RESOURCES, resourceName } from './src/cluster/inventory/resources.ts';
export { VERSION } from './src/version.ts';
export * as defaults from './src/defaults.ts';
export { helpFor, overview } from './src/shim/help.ts';
export { SHIM_VERBS } from './src/shim/args.ts';
export { COMMANDS } from './src/commands/index.ts';
`;

/** Bundles the sources into a file inside the checkout, so that packages resolve as usual. */
async function loadSources() {
  const outfile = join(root, 'node_modules', `.quiesce-generate-${process.pid}.mjs`);
  try {
    await build({
      stdin: { contents: ENTRY, resolveDir: root, loader: 'ts' },
      outfile,
      bundle: true,
      packages: 'external',
      platform: 'node',
      format: 'esm',
      target: 'node20',
      logLevel: 'error',
      plugins: [withoutOpenapi],
    });
    return await import(pathToFileURL(outfile).href);
  } finally {
    await rm(outfile, { force: true });
  }
}

async function openapi(sources) {
  const app = sources.fastify();
  app.setValidatorCompiler(() => () => true);
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));
  await app.register(sources.swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'quiesce control API',
        version: sources.VERSION,
        description: `Served on the Unix socket ${sources.defaults.CONTROL_SOCKET} and on ${sources.defaults.CONTROL_ADDRESS}. An absent body is {}. Every answer that is not a success has the form of Error, for paths (404) and methods (405) that do not exist, too.`,
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      servers: [{ url: `http://${sources.defaults.CONTROL_ADDRESS}` }],
      // None on the socket, nor where QUIESCE_CONTROL_TOKEN is not set.
      security: [{}, { bearer: [] }],
      components: {
        securitySchemes: {
          bearer: { type: 'http', scheme: 'bearer', description: 'QUIESCE_CONTROL_TOKEN' },
        },
      },
    },
    transform: sources.jsonSchemaTransform,
    transformObject: sources.jsonSchemaTransformObject,
  });
  // Declaring routes does not call the control behind them, so an empty object will do.
  await app.register(async (scope) => sources.addRoutes(scope, {}, 'socket'));
  await app.ready();
  const document = app.swagger();
  await app.close();
  for (const path of Object.values(document.paths)) {
    for (const operation of Object.values(path)) describeAnswers(operation, sources.catalogue);
  }
  dropUnreferenced(document);
  return json(document);
}

/** Makes bodies optional except for verify, and lists the error codes of each status. */
function describeAnswers(operation, catalogue) {
  const { operationId: id, requestBody, responses } = operation;
  if (requestBody) requestBody.required = id === 'verify';
  const codes = [
    ...ANYWHERE,
    ...(requestBody ? WITH_BODY : []),
    ...(OWN[id] ?? []),
    ...(CONFLICTS[id] ?? []),
    ...(ASKS_THE_ENGINE.includes(id) ? Object.keys(catalogue).filter(isOfTheEngine) : []),
  ];
  for (const code of codes) responses[catalogue[code].status] ??= failure();
  for (const [status, answer] of Object.entries(responses)) {
    const possible = codes.filter((code) => catalogue[code].status === Number(status));
    answer.description = status === '200' ? 'Done.' : possible.join(', ');
    if (HEADERS[status]) answer.headers = HEADERS[status];
  }
}

function isOfTheEngine(code) {
  return code.startsWith('ENGINE_');
}

function failure() {
  return { content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } } };
}

/** The provider declares every named schema twice, for input and output: drops the unused ones. */
function dropUnreferenced(document) {
  const { schemas } = document.components;
  for (let before = -1; before !== Object.keys(schemas).length;) {
    before = Object.keys(schemas).length;
    const text = JSON.stringify(document);
    for (const name of Object.keys(schemas)) {
      if (!text.includes(`"#/components/schemas/${name}"`)) delete schemas[name];
    }
  }
}

function receiptSchema({ z, receiptSchema: schema }) {
  const { $schema, $defs } = z.toJSONSchema(schema, { io: 'input' });
  const { Receipt, ...others } = $defs;
  return json({ $schema, $id: RECEIPT_ID, title: 'Receipt', ...Receipt, $defs: others });
}

function errorsPage({ catalogue }) {
  const rows = Object.entries(catalogue).map(
    ([code, { status, exit }]) => `| [\`${code}\`](#${code.toLowerCase()}) | ${status} | ${exit} |`,
  );
  const sections = Object.entries(catalogue).map(
    ([code, { status, exit, meaning, hint }]) =>
      `## ${code}\n\n${meaning}\n\n**What to do:** ${hint}\n\nHTTP ${status} · exit code ${exit}\n`,
  );
  return `# Errors

<!-- Generated from src/errors.ts by npm run generate. -->

Every error has a code, a message and a hint. The HTTP API answers \`{"error": {"code", "message", "hint", "field"?}}\`, with \`receipt\` or \`checks\` next to \`error\` where there is one; the command line prints \`quiesce: CODE: message Hint: hint\` on stderr and ends with the exit code. With \`-o json\` it prints the same document as the API on stdout instead.

Exit codes: 0 done · 1 unexpected · 2 usage or configuration · 3 sidecar not reachable · 4 held by another freeze · 5 engine failed (rolled back) · 6 timeout (rolled back) · 7 not consistent, not verified or nothing frozen.

| Code | HTTP | Exit |
| --- | --- | --- |
${rows.join('\n')}

${sections.join('\n')}`;
}

/** The existing page with its table regenerated. */
async function architecturePage() {
  const page = await readFile(join(root, 'docs/ARCHITECTURE.md'), 'utf8');
  const [before, after] = [page.indexOf(TABLE_STARTS), page.indexOf(TABLE_ENDS)];
  if (before < 0 || after < 0)
    throw new Error('docs/ARCHITECTURE.md lacks the markers around its table');
  const head = page.slice(0, before + TABLE_STARTS.length);
  return `${head}\n\n${partsTable()}\n\n${page.slice(after)}`;
}

function json(value) {
  return `${JSON.stringify(value, null, 2)}\n`;
}

const sources = await loadSources();
const files = {
  'docs/openapi.json': await openapi(sources),
  'docs/receipt.schema.json': receiptSchema(sources),
  'docs/errors.md': errorsPage(sources),
  'docs/doctor.md': doctorPage(sources),
  'docs/ARCHITECTURE.md': await architecturePage(),
  'docs/commands.md': await commandsPage(sources),
  'charts/quiesce/README.md': await chartReadme(join(root, 'charts/quiesce')),
};
const stale = [];
for (const [name, wanted] of Object.entries(files)) {
  const path = join(root, name);
  const found = await readFile(path, 'utf8').catch(() => undefined);
  if (found === wanted) continue;
  stale.push(name);
  if (!process.argv.includes('--check')) await writeFile(path, wanted);
}
if (process.argv.includes('--check') && stale.length > 0) {
  process.stderr.write(`out of date: ${stale.join(', ')}; run npm run generate\n`);
  process.exitCode = 1;
}
