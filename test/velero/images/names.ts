import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { VERSIONS } from '../../../scripts/cluster-versions.mjs';
import { ROOT } from '../layout.ts';

const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const { version } = JSON.parse(read('package.json')) as { version: string };
const chart = parse(read('charts/quiesce/values.yaml')) as { tests: { image: string } };

/** The names of the images, as manifests, the chart and Velero ask for them. */
export const IMAGES = {
  pause: 'localhost/pause:1',
  postgres: 'docker.io/library/postgres:17',
  redis: 'docker.io/library/redis:7',
  mongo: 'docker.io/library/mongo:6',
  curl: chart.tests.image,
  quiesce: `docker.io/library/quiesce:${version}`,
  velero: `docker.io/velero/velero:v${VERSIONS.velero}`,
  veleroPlugin: `docker.io/velero/velero-plugin-for-aws:v${VERSIONS['velero-plugin-for-aws']}`,
} as const;

/** What makes the images, by program and Debian package. */
export const PACKAGES: Readonly<Record<string, string>> = {
  buildah: 'buildah',
  debootstrap: 'debootstrap',
  gcc: 'gcc',
  runc: 'runc',
};
