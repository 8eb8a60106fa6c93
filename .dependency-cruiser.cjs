/** The import rules of docs/ARCHITECTURE.md. */
module.exports = {
  forbidden: [
    {
      name: 'no-circular',
      comment: 'A cycle is a design that has no order.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'no-unresolvable',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true, pathNot: '^(pg-native)$' },
    },
    {
      name: 'shim-node-only',
      comment: 'A hook starts in milliseconds: the router and the shim load node: and pure files.',
      severity: 'error',
      from: { path: '^src/cli\\.ts$|^src/shim/' },
      to: {
        dynamic: false,
        dependencyTypesNot: ['core', 'type-only'],
        pathNot:
          '^src/(errors|version|defaults)\\.ts$|^src/shim/|^src/commands/index\\.ts$|^src/lib/(duration|flags|read-flags|flag-help|printable|nearest|failure|demo-servers)\\.ts$',
      },
    },
    {
      name: 'defaults-import-nothing',
      comment: 'Every part reads them, the shim too.',
      severity: 'error',
      from: { path: '^src/defaults\\.ts$' },
      to: {},
    },
    {
      name: 'ground-floor',
      comment: 'What everything may use knows nothing of what uses it.',
      severity: 'error',
      from: { path: '^src/lib/|^src/(errors|logger|version)\\.ts$' },
      to: { path: '^src/', pathNot: '^src/lib/|^src/(errors|logger|version|defaults)\\.ts$' },
    },
    {
      name: 'commands-loaded-by-verb',
      comment: 'The table alone names the verbs, and loads the one that is asked for.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/commands/' },
      to: { path: '^src/commands/', pathNot: '^src/commands/index\\.ts$' },
    },
    {
      name: 'freeze-knows-the-engine-type-only',
      comment: 'The lease knows the engine contract, and nothing of HTTP or of a certain engine.',
      severity: 'error',
      from: { path: '^src/freeze/' },
      to: { path: '^src/(http|shim|demo|cluster|commands|restore)/|^src/engines/(?!engine\\.ts$)' },
    },
    {
      name: 'engines-behind-their-index',
      comment: 'Only engines/index.ts names an engine, so that only the configured one loads.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/engines/' },
      to: { path: '^src/engines/', pathNot: '^src/engines/(index|engine)\\.ts$' },
    },
    {
      name: 'engines-apart-from-each-other',
      severity: 'error',
      from: { path: '^src/engines/([^/]+)/' },
      to: { path: '^src/engines/', pathNot: '^src/engines/($1/|shared/|engine\\.ts$)' },
    },
    {
      name: 'engines-know-no-edges',
      severity: 'error',
      from: { path: '^src/engines/' },
      to: { path: '^src/(http|shim|demo|cluster|commands)/|^src/(sidecar|config)/|^src/cli\\.ts$' },
    },
    {
      name: 'http-knows-the-control-only',
      comment: 'The API serves the Control interface, whatever stands behind it.',
      severity: 'error',
      from: { path: '^src/http/' },
      to: {
        path: '^src/',
        pathNot:
          '^src/(http|lib)/|^src/(errors|logger|version|defaults)\\.ts$|^src/freeze/requests\\.ts$|^src/restore/verify-at-start\\.ts$|^src/receipt/receipt\\.ts$|^src/engines/engine\\.ts$',
      },
    },
    {
      name: 'one-kubernetes-client',
      comment: 'It costs 50 MB, which a sidecar does not have.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/cluster/api/' },
      to: { path: 'node_modules/@kubernetes/' },
    },
    {
      name: 'cluster-apart',
      comment: 'What works on a cluster is loaded by its verbs alone, never by the sidecar.',
      severity: 'error',
      from: {
        path: '^src/',
        pathNot: '^src/cluster/|^src/cli\\.ts$|^src/commands/(inject|webhook|doctor)\\.ts$',
      },
      to: { path: '^src/cluster/' },
    },
    {
      name: 'cluster-floors',
      comment:
        'Objects, then what is injected, then what is read of a cluster; the doctor judges last.',
      severity: 'error',
      from: { path: '^src/cluster/(objects|inject|api|inventory)/' },
      to: { path: '^src/cluster/doctor/|^src/commands/' },
    },
    {
      name: 'cluster-objects-alone',
      severity: 'error',
      from: { path: '^src/cluster/(objects|api)/' },
      to: { path: '^src/cluster/', pathNot: '^src/cluster/$1/' },
    },
    {
      name: 'injection-reads-no-cluster',
      comment: 'It is a pure function of one pod and its settings.',
      severity: 'error',
      from: { path: '^src/cluster/inject/' },
      to: { path: '^src/cluster/', pathNot: '^src/cluster/(inject|objects)/' },
    },
    {
      name: 'src-knows-no-tests',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^(test|bench|scripts)/' },
    },
    {
      name: 'no-dev-dependencies-in-production',
      severity: 'error',
      from: { path: '^src/' },
      to: {
        dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'],
        dependencyTypesNot: ['type-only'],
      },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default'],
    },
  },
};
