// Builds etcd, kube-apiserver and kube-controller-manager from the Go module proxy, for the tests that
// need a real API server. Prints the folder of the three programs; a second call does not build again.
//
//   node scripts/kubernetes.mjs            ~/.cache/quiesce/kubernetes-VERSION (QUIESCE_CACHE moves it)
//
// Needs no root. The build runs at low priority and takes 10 to 30 minutes.
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cache, go } from './go.mjs';

const VERSION = '1.35.4';
const STAGING = `v0.${VERSION.split('.').slice(1).join('.')}`;
const PROGRAMS = {
  etcd: 'go.etcd.io/etcd/server/v3',
  'kube-apiserver': 'k8s.io/kubernetes/cmd/kube-apiserver',
  'kube-controller-manager': 'k8s.io/kubernetes/cmd/kube-controller-manager',
};

const folder = join(cache, `kubernetes-${VERSION}`);
const missing = Object.keys(PROGRAMS).filter((name) => !existsSync(join(folder, name)));
if (missing.length > 0) build(missing);
process.stdout.write(`${folder}\n`);

function build(names) {
  const source = join(folder, 'source');
  mkdirSync(source, { recursive: true });
  writeModule(source);
  for (const name of names) {
    process.stderr.write(`Building ${name} ${VERSION}; this happens once.\n`);
    const made = join(folder, `.${name}.${process.pid}`);
    go(
      { cwd: source },
      'build',
      '-mod=mod',
      '-trimpath',
      '-ldflags',
      flags(),
      '-o',
      made,
      PROGRAMS[name],
    );
    renameSync(made, join(folder, name));
  }
  rmSync(source, { recursive: true, force: true });
}

/** Writes Kubernetes' own go.mod, with the published staging modules in place of its local folders. */
function writeModule(source) {
  writeFileSync(join(source, 'go.mod'), 'module quiesce.dev/kubernetes\n');
  const { GoMod } = JSON.parse(
    go({ cwd: source }, 'mod', 'download', '-json', `k8s.io/kubernetes@v${VERSION}`),
  );
  const theirs = readFileSync(GoMod, 'utf8');
  const ours = theirs
    .replace(/^module .*$/m, 'module quiesce.dev/kubernetes')
    .replace(/^replace \([^)]*\)$/m, (block) =>
      block.replaceAll(/=> \.\/staging\/src\/(\S+)/g, `=> $1 ${STAGING}`),
    )
    .concat(`\nrequire k8s.io/kubernetes v${VERSION}\n`);
  writeFileSync(join(source, 'go.mod'), ours);
}

function flags() {
  const [major, minor] = VERSION.split('.');
  const known = { gitVersion: `v${VERSION}`, gitMajor: major, gitMinor: minor };
  const set = Object.entries(known).map(
    ([name, value]) => `-X k8s.io/component-base/version.${name}=${value}`,
  );
  return ['-s', '-w', ...set].join(' ');
}
