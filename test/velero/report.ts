import { writeFile } from 'node:fs/promises';
import type { Results } from './inside.ts';
import type { Programs } from './layout.ts';
import type { Played } from './play.ts';
import { benchPage, type Run } from './report-bench.ts';
import { run, tryRun } from './run.ts';
import { format, resolveConfig } from 'prettier';

const TESTED = 'docs/kubernetes-tested.md';
const BENCH = 'bench/results-cluster.md';

/** Writes the two pages that say what a whole run has shown. */
export async function record(results: Results, programs: Programs): Promise<void> {
  const facts = await factsOf(programs);
  await write(TESTED, testedPage(results, facts));
  await write(BENCH, benchPage(results.stories, facts));
}

interface Facts extends Run {
  readonly versions: readonly (readonly [string, string])[];
}

async function factsOf({ versions }: Programs): Promise<Facts> {
  const { stdout: commit } = await run('git', ['rev-parse', '--short=12', 'HEAD']);
  const { stdout: changed } = await run('git', ['status', '--porcelain', '--untracked-files=no']);
  const { stdout: cores } = await run('nproc', []);
  const { stdout: kernel } = await run('uname', ['-r']);
  return {
    commit: `${commit.trim()}${changed.trim() === '' ? '' : ' with changes'}`,
    date: new Date().toISOString().slice(0, 10),
    machine: `${cores.trim()} cores, Linux ${kernel.trim()}`,
    versions: [
      [
        'Kubernetes (API server, controller manager, scheduler, kubelet, kube-proxy)',
        versions['kubernetes'] ?? '',
      ],
      ['Velero, with its node agent and CSI support', versions['velero'] ?? ''],
      ['Velero’s AWS plugin (object store)', versions['velero-plugin-for-aws'] ?? ''],
      [
        'external-snapshotter (snapshot controller, volume group snapshots)',
        versions['snapshotter'] ?? '',
      ],
      ['external-provisioner', versions['provisioner'] ?? ''],
      ['kube-router (NetworkPolicies)', versions['kube-router'] ?? ''],
      ['S3: moto', versions['moto'] ?? ''],
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

function testedPage(results: Results, facts: Facts): string {
  const { stories, upSeconds } = results;
  const minutes = Math.round(stories.reduce((all, { seconds }) => all + seconds, 0) / 60);
  const passed = stories.filter(({ ok }) => ok).length;
  return `# Tested on a real cluster

<!-- Written by npm run test:velero -- --record -->

\`npm run test:velero\` brings up Kubernetes with a kubelet, CSI snapshots and Velero on one machine, installs
quiesce as [install.md](install.md) says, and plays these stories under a load that records every acknowledged
write ([CONTRIBUTING.md](../CONTRIBUTING.md#a-real-cluster)).

${passed} of ${stories.length} stories passed on ${facts.date}, on commit ${facts.commit} (${facts.machine}). The cluster was up
after ${upSeconds} s; the stories took ${minutes} min.

| story | what | result | seconds |
| --- | --- | --- | --- |
${stories.map(storyRow).join('\n')}

## Versions
| part | version |
| --- | --- |
${facts.versions.map(([part, version]) => `| ${part} | ${version} |`).join('\n')}
`;
}

function storyRow({ name, title, ok, seconds, findings }: Played): string {
  const result = ok ? `passed, ${findings.length} checks` : '**failed**';
  return `| \`${name}\` | ${title} | ${result} | ${seconds} |`;
}

async function write(path: string, text: string): Promise<void> {
  const options = (await resolveConfig(path)) ?? {};
  await writeFile(path, await format(text, { ...options, filepath: path }));
}
