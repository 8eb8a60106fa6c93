// Gets the tools for the tests of the chart from the Go module proxy, and prints their paths as one line
// of JSON. A second call finds them in the cache (~/.cache/quiesce; QUIESCE_CACHE moves it):
//
//   node scripts/chart-tools.mjs     {"helm": "…/bin/helm-4.3.1", "crds": "…/crds-…"}
//
// helm is built, which takes minutes. The CustomResourceDefinitions of the monitors and of cert-manager
// are files in their projects' own modules.
import { copyFileSync, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { cache, goInstall, goModule } from './go.mjs';

const HELM = '4.3.1';
const CRDS = {
  'github.com/prometheus-operator/prometheus-operator@v0.85.0': [
    'example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml',
    'example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml',
    'example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml',
  ],
  'github.com/cert-manager/cert-manager@v1.21.2': [
    'deploy/crds/cert-manager.io_certificates.yaml',
    'deploy/crds/cert-manager.io_issuers.yaml',
  ],
};

try {
  const helm = goInstall(join(cache, 'bin', `helm-${HELM}`), `helm.sh/helm/v4/cmd/helm@v${HELM}`);
  process.stdout.write(`${JSON.stringify({ helm, crds: definitions() })}\n`);
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}

/** The folder with the CustomResourceDefinitions, as their projects publish them. */
function definitions() {
  const versions = Object.keys(CRDS).map((module) => module.split('@v')[1]);
  const folder = join(cache, `crds-${versions.join('-')}`);
  if (existsSync(folder)) return folder;
  const made = `${folder}.${process.pid}`;
  mkdirSync(made, { recursive: true });
  for (const [module, files] of Object.entries(CRDS)) {
    const source = goModule(module);
    for (const file of files) copyFileSync(join(source, file), join(made, basename(file)));
  }
  renameSync(made, folder);
  rmSync(made, { recursive: true, force: true });
  return folder;
}
