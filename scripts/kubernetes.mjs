// Builds etcd, kube-apiserver and kube-controller-manager from the Go module proxy, for the tests that
// need a real API server. Prints the folder of the programs; a second call does not build again.
//
//   node scripts/kubernetes.mjs            ~/.cache/quiesce/kubernetes-VERSION (QUIESCE_CACHE moves it)
//   node scripts/kubernetes.mjs --node     also kube-scheduler, kube-proxy and kubelet
//
// Needs no root. The build runs at low priority and takes 10 to 30 minutes.
import { join } from 'node:path';
import { VERSIONS } from './cluster-versions.mjs';
import { buildWrapped } from './go-wrapped.mjs';
import { cache } from './go.mjs';

const VERSION = VERSIONS.kubernetes;
const STAGING = `v0.${VERSION.split('.').slice(1).join('.')}`;
const CONTROL_PLANE = {
  etcd: 'go.etcd.io/etcd/server/v3',
  'kube-apiserver': 'k8s.io/kubernetes/cmd/kube-apiserver',
  'kube-controller-manager': 'k8s.io/kubernetes/cmd/kube-controller-manager',
};
const NODE = {
  'kube-scheduler': 'k8s.io/kubernetes/cmd/kube-scheduler',
  'kube-proxy': 'k8s.io/kubernetes/cmd/kube-proxy',
  kubelet: 'k8s.io/kubernetes/cmd/kubelet',
};

const folder = join(cache, `kubernetes-${VERSION}`);
buildWrapped({
  folder,
  module: 'k8s.io/kubernetes',
  version: VERSION,
  programs: { ...CONTROL_PLANE, ...(process.argv.includes('--node') ? NODE : {}) },
  // The published staging modules stand in for the folders that Kubernetes' own go.mod points to.
  mod: (text) =>
    text.replace(/^replace \([^)]*\)$/m, (block) =>
      block.replaceAll(/=> \.\/staging\/src\/(\S+)/g, `=> $1 ${STAGING}`),
    ),
  set: versionVariables(),
});
process.stdout.write(`${folder}\n`);

function versionVariables() {
  const [major, minor] = VERSION.split('.');
  const known = { gitVersion: `v${VERSION}`, gitMajor: major, gitMinor: minor };
  return Object.fromEntries(
    Object.entries(known).map(([name, value]) => [`k8s.io/component-base/version.${name}`, value]),
  );
}
