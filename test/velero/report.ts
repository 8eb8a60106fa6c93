import { writeFile } from 'node:fs/promises';
import { format, resolveConfig } from 'prettier';
import { VERSIONS } from '../../scripts/cluster-versions.mjs';
import { benchPage, type Run } from './report-bench.ts';
import { newestResults, type Result } from './results.ts';
import { run, tryRun } from './run.ts';
import { STORIES } from './stories/index.ts';
import type { Story } from './stories/story.ts';

const TESTED = 'docs/kubernetes-tested.md';
const BENCH = 'bench/results-cluster.md';

/**
 * Writes the two pages that say what each story has shown on the newest commit on which it was played.
 *
 * @throws Error where none was
 */
export async function record(): Promise<void> {
  const all = await newestResults();
  const results = STORIES.flatMap(({ name }) => all.find((one) => one.name === name) ?? []);
  if (results.length === 0) {
    throw new Error('No story was played on the last commits of this branch.');
  }
  const facts = await factsOf(results);
  await write(TESTED, testedPage(results, facts));
  await write(BENCH, benchPage(results, facts));
}

interface Facts extends Run {
  readonly versions: readonly (readonly [string, string])[];
}

async function factsOf(results: readonly Result[]): Promise<Facts> {
  const { stdout: cores } = await run('nproc', []);
  const { stdout: kernel } = await run('uname', ['-r']);
  return {
    commits: [...new Set(results.map(({ commit }) => commit))],
    date:
      results
        .map(({ at }) => at)
        .toSorted()
        .at(-1)
        ?.slice(0, 10) ?? '',
    machine: `${cores.trim()} cores, Linux ${kernel.trim()}`,
    versions: [
      [
        'Kubernetes (API server, controller manager, scheduler, kubelet, kube-proxy)',
        VERSIONS.kubernetes,
      ],
      ['Velero, with its node agent and CSI support', VERSIONS.velero],
      ['Velero’s AWS plugin (object store)', VERSIONS['velero-plugin-for-aws']],
      ['external-snapshotter (snapshot controller, volume group snapshots)', VERSIONS.snapshotter],
      ['external-provisioner', VERSIONS.provisioner],
      ['kube-router (NetworkPolicies)', VERSIONS['kube-router']],
      ['S3: moto', VERSIONS.moto],
      ['containerd', await packageVersion('containerd')],
      ['runc', await packageVersion('runc')],
      ['CNI plugins', await packageVersion('containernetworking-plugins')],
    ],
  };
}

async function packageVersion(name: string): Promise<string> {
  const { stdout } = await tryRun('dpkg-query', ['--show', '--showformat=${Version}', name]);
  return stdout.trim() || 'not of a package';
}

function testedPage(results: readonly Result[], facts: Facts): string {
  const minutes = Math.round(results.reduce((all, { seconds }) => all + seconds, 0) / 60);
  const passed = results.filter(({ ok }) => ok).length;
  const up = results.flatMap(({ upSeconds }) => upSeconds ?? []);
  return `# Tested on a real cluster

<!-- Written by npm run test:velero -- --record -->

\`npm run test:velero\` brings up Kubernetes with a kubelet, CSI snapshots and Velero on one machine, installs
quiesce as [install.md](install.md) says, and plays these stories. The load of each records every acknowledged
write, and a restored database is compared with that record
([CONTRIBUTING.md](../CONTRIBUTING.md#a-real-cluster)).

**${passed} of ${STORIES.length} stories passed**, each on the newest commit on which it was played, the last one on
${facts.date} (${facts.machine}). ${upText(up)}The stories took ${minutes} min in all.

| story | what | result | seconds | commit |
| --- | --- | --- | --- | --- |
${STORIES.map((story) => storyRow(story, results)).join('\n')}

## Versions
| part | version |
| --- | --- |
${facts.versions.map(([part, version]) => `| ${part} | ${version} |`).join('\n')}

## What stands in for something else
- **The images** of the databases have the programs of npm, Debian and PyPI, laid out as the official images with
  their users, folders and entrypoints. The image of quiesce is made from its Dockerfile by buildah, on bases of
  Debian and this machine's Node, so \`docker build\` of install.md does not run.
- **The storage** is the tests' own CSI driver on btrfs: reflinks of the image behind a loop device, atomic and
  without the page cache. Its storage class \`live-copy\` copies live files one by one.
- **S3** is moto, in memory. Velero's plugin for AWS has its object store only.
- **One node**: nothing here shows what happens when pods move between nodes.
`;
}

/** A cluster that was kept from an earlier run has no time of its own. */
function upText(up: readonly number[]): string {
  if (up.length === 0) return '';
  return `A cluster was up after ${Math.min(...up)} to ${Math.max(...up)} s. `;
}

function storyRow({ name, title }: Story, results: readonly Result[]): string {
  const found = results.find((one) => one.name === name);
  if (found === undefined) return `| \`${name}\` | ${title} | not played | | |`;
  const { ok, findings, seconds, commit } = found;
  const result = ok ? `passed, ${findings.length} checks` : '**failed**';
  return `| \`${name}\` | ${title} | ${result} | ${seconds} | ${commit} |`;
}

async function write(path: string, text: string): Promise<void> {
  const options = (await resolveConfig(path)) ?? {};
  const wrapped = { proseWrap: 'always', printWidth: 100, filepath: path } as const;
  await writeFile(path, await format(text, { ...options, ...wrapped }));
}
