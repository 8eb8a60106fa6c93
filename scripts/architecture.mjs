// The parts of src/ and what each may import. The import rules (.dependency-cruiser.mjs) and the table in
// docs/ARCHITECTURE.md are generated from this list.

/** Every part may import itself and these. */
export const GROUND = ['src/lib/', 'src/defaults.ts', 'src/errors.ts', 'src/version.ts'];

/**
 * @typedef {object} Part
 * @property {string[]} at folders (ending in a slash) and files; the longest match decides a file's part
 * @property {string} what one line for the table
 * @property {string[]} [may] folders, files, or other parts by their first place, in addition to the ground floor
 * @property {string[]} [types] the same, but only their types
 * @property {boolean} [bare] may not import the ground floor: only `may` counts
 */

/** @type {Part[]} */
export const PARTS = [
  {
    at: GROUND,
    what: 'the ground floor: durations, durable files, deadlines, locks; defaults; the error catalogue',
  },
  {
    at: ['src/receipt/'],
    what: 'the receipt, its reader, its files on the volume; the claim of the volume',
  },
  {
    at: ['src/cli.ts'],
    what: 'verb router; loads `src/commands/` by verb',
    may: ['src/shim/', 'src/commands/'],
  },
  {
    at: ['src/shim/'],
    what: 'the shim, bundled with the router into one script of `node:` imports; it has its own HTTP client (`response.ts`)',
    types: ['src/receipt/'],
  },
  {
    at: ['src/engines/names.ts'],
    what: 'the table of engines: settings and secrets, port, copy methods. Config, log, webhook and doctor derive from it',
    bare: true,
    types: ['src/receipt/receipt.ts'],
  },
  {
    at: ['src/logger.ts'],
    what: 'the log; it redacts secrets by the names in the table',
    may: ['src/engines/names.ts'],
  },
  {
    at: ['src/engines/profile.ts', 'src/engines/profiles.ts'],
    what: 'names and conventions of an engine’s images; each engine has its own in `NAME/profile.ts`. No driver',
    may: ['src/engines/names.ts', 'src/engines/'],
  },
  {
    at: ['src/engines/engine.ts', 'src/engines/restore-module.ts'],
    what: 'the contract of every engine: a live server, and a restored copy',
    types: ['src/receipt/', 'src/engines/names.ts'],
  },
  {
    at: ['src/engines/index.ts', 'src/engines/bounded.ts', 'src/engines/sealing.ts'],
    what: 'name → dynamic import, the only importer of engine folders; the limit on connections to a database; the fsync of files that no engine syncs',
    may: ['src/receipt/', 'src/engines/', 'src/engines/names.ts'],
    types: ['src/engines/engine.ts'],
  },
  {
    at: ['src/engines/shared/'],
    what: 'code that engines share',
    may: ['src/receipt/', 'src/engines/engine.ts', 'src/engines/names.ts'],
    types: ['src/engines/restore-module.ts'],
  },
  {
    at: ['src/engines/'],
    what: 'one folder for each engine, all of the same shape: `connection/`, `data-dir/`, `freeze/`, `metadata/`, `verify/`, `restore/`; PostgreSQL’s `freeze/` has a folder for each way to freeze. No engine imports another',
    may: [
      'src/receipt/',
      'src/engines/engine.ts',
      'src/engines/restore-module.ts',
      'src/engines/shared/',
      'src/engines/names.ts',
      'src/engines/profile.ts',
    ],
  },
  {
    at: ['src/freeze/'],
    what: 'lease (`lease.ts`, `due-thaws.ts`: pure), runner, coordinator, one run, journal',
    may: ['src/receipt/'],
    types: ['src/engines/engine.ts'],
  },
  {
    at: ['src/restore/'],
    what: 'prepare-restore, verification at start',
    may: ['src/receipt/'],
    types: ['src/engines/engine.ts', 'src/engines/restore-module.ts'],
  },
  {
    at: ['src/http/'],
    what: 'fastify apps, zod schemas, error answers, the `Control` they serve; `listener.ts` and `connections.ts` limit open connections, `message.ts` refuses malformed requests',
    may: ['src/receipt/receipt.ts', 'src/receipt/restore-level.ts'],
    types: [
      'src/engines/engine.ts',
      'src/freeze/requests.ts',
      'src/restore/verify-at-start.ts',
      'src/logger.ts',
    ],
  },
  {
    at: ['src/config/'],
    what: 'the settings of the sidecar, read once',
    may: [
      'src/receipt/receipt.ts',
      'src/receipt/restore-level.ts',
      'src/receipt/restore-mark.ts',
      'src/engines/engine.ts',
      'src/engines/names.ts',
      'src/logger.ts',
    ],
  },
  {
    at: ['src/sidecar/'],
    what: 'the daemon: composition, the `Control` behind HTTP, readiness, metrics, the control socket',
    may: [
      'src/receipt/',
      'src/freeze/',
      'src/restore/',
      'src/http/',
      'src/config/',
      'src/engines/index.ts',
      'src/logger.ts',
    ],
    types: ['src/engines/engine.ts'],
  },
  {
    at: ['src/cluster/api/'],
    what: 'the Kubernetes API; the only importer of the Kubernetes client',
  },
  {
    at: ['src/cluster/objects/'],
    what: 'pods, names, patches, YAML: pure',
  },
  {
    at: ['src/cluster/inject/'],
    what: 'pod → patch or reason, a pure function',
    may: [
      'src/cluster/objects/',
      'src/receipt/receipt.ts',
      'src/receipt/restore-level.ts',
      'src/engines/engine.ts',
      'src/engines/names.ts',
      'src/engines/profile.ts',
      'src/engines/profiles.ts',
    ],
    types: ['src/config/'],
  },
  {
    at: ['src/cluster/certificates/'],
    what: 'certificate authority and rotation',
    may: ['src/cluster/api/'],
    types: ['src/logger.ts'],
  },
  {
    at: ['src/cluster/webhook/'],
    what: 'AdmissionReview → answer (pure), HTTPS server, Events',
    may: [
      'src/cluster/api/',
      'src/cluster/certificates/',
      'src/cluster/inject/',
      'src/http/',
      'src/logger.ts',
    ],
    types: ['src/cluster/objects/', 'src/config/'],
  },
  {
    at: ['src/cluster/inventory/'],
    what: 'the objects of a cluster or of manifests; workloads and their pods; selectors; what Velero and the webhook do with them',
    may: [
      'src/cluster/api/',
      'src/cluster/objects/',
      'src/cluster/inject/',
      'src/receipt/receipt.ts',
      'src/cluster/webhook/options.ts',
      'src/engines/names.ts',
    ],
  },
  {
    at: ['src/cluster/doctor/'],
    what: 'inventory → findings, a pure function (`examine.ts`); `rules/` has one entry for each finding, with its text for `docs/doctor.md`',
    may: [
      'src/cluster/api/',
      'src/cluster/objects/',
      'src/cluster/inject/',
      'src/cluster/inventory/',
      'src/cluster/certificates/',
      'src/cluster/plan/custom-resources.ts',
      'src/cluster/plan/stages.ts',
      'src/cluster/webhook/options.ts',
      'src/config/schema.ts',
      'src/engines/names.ts',
      'src/receipt/receipt.ts',
      'src/shim/args.ts',
    ],
  },
  {
    at: ['src/cluster/plan/'],
    what: 'objects → the plan of an application: members, order, volumes, what is not kept. A pure function',
    may: [
      'src/cluster/objects/',
      'src/cluster/inject/',
      'src/cluster/inventory/',
      'src/engines/names.ts',
      'src/engines/profile.ts',
      'src/engines/profiles.ts',
      'src/receipt/receipt.ts',
    ],
  },
  {
    at: ['src/cluster/backup/'],
    what: 'the objects in a backup of Velero, from its storage',
    may: ['src/cluster/api/', 'src/cluster/inventory/', 'src/cluster/snapshot/rights.ts'],
  },
  {
    at: ['src/cluster/snapshot/'],
    what: 'one run over all members: freeze, cut, thaw, verdict, record; the runs on record',
    may: [
      'src/cluster/api/',
      'src/cluster/objects/',
      'src/cluster/inventory/',
      'src/cluster/plan/',
      'src/receipt/',
      'src/engines/names.ts',
    ],
  },
  {
    at: ['src/cluster/exporter/'],
    what: 'results of runs and of Velero’s snapshots as metrics',
    may: [
      'src/cluster/api/',
      'src/cluster/inventory/',
      'src/cluster/plan/document.ts',
      'src/cluster/snapshot/document.ts',
      'src/cluster/snapshot/names.ts',
      'src/http/',
      'src/logger.ts',
    ],
  },
  {
    at: ['src/testbed/'],
    what: 'servers, volumes and loads that the demo, tests and benchmarks share; not in the image',
  },
  {
    at: ['src/demo/'],
    what: 'the main job on one machine',
    may: ['src/testbed/'],
    types: ['src/receipt/', 'src/http/control.ts', 'src/restore/verify-at-start.ts'],
  },
  {
    at: ['src/commands/'],
    what: 'the verbs outside the shim, each loaded on demand',
    may: [
      'src/receipt/restore-mark.ts',
      'src/config/',
      'src/demo/',
      'src/engines/names.ts',
      'src/engines/index.ts',
      'src/restore/',
      'src/sidecar/',
      'src/cluster/',
      'src/shim/',
    ],
  },
];
