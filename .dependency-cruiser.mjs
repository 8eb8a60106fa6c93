import { importRules } from './scripts/architecture-rules.mjs';

/** The import rules: those of each part, and what is true of several. */
export default {
  forbidden: [
    ...importRules(),
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
          '^src/(errors|version|defaults)\\.ts$|^src/shim/|^src/commands/index\\.ts$|^src/lib/duration\\.ts$|^src/lib/command-line/',
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
      name: 'commands-loaded-by-verb',
      comment: 'The table alone names the verbs, and loads the one that is asked for.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/commands/' },
      to: { path: '^src/commands/', pathNot: '^src/commands/index\\.ts$' },
    },
    {
      name: 'the-lease-is-pure',
      comment: 'It decides from its state, the event and the time it is given.',
      severity: 'error',
      from: { path: '^src/freeze/(lease|lease-types|due-thaws)\\.ts$' },
      to: {
        path: '.',
        pathNot: '^src/freeze/(lease|lease-types|due-thaws|requests)\\.ts$',
        dependencyTypesNot: ['type-only'],
      },
    },
    {
      name: 'engines-apart-from-each-other',
      severity: 'error',
      from: { path: '^src/engines/([^/]+)/', pathNot: '^src/engines/shared/' },
      to: {
        path: '^src/engines/',
        pathNot:
          '^src/engines/($1/|shared/|(engine|names|profile|restore-module|ask-module)\\.ts$)',
      },
    },
    {
      name: 'the-table-of-engines-imports-nothing',
      comment: 'Config, log, webhook and doctor load it.',
      severity: 'error',
      from: { path: '^src/engines/names\\.ts$' },
      to: { dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'profiles-are-data',
      comment: 'The webhook loads them all: no driver, and nothing else of an engine.',
      severity: 'error',
      from: { path: '^src/engines/([^/]+/profile|profile|profiles)\\.ts$' },
      to: { path: '.', pathNot: '^src/engines/([^/]+/profile|profile|names)\\.ts$' },
    },
    {
      name: 'one-kubernetes-client',
      comment: 'It costs 50 MB, which a sidecar does not have.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/cluster/api/' },
      to: { path: 'node_modules/@kubernetes/' },
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
