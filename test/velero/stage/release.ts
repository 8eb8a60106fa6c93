import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { runCommand } from '../cluster/chart.ts';
import { ROOT, state } from '../layout.ts';
import type { Stage } from './stage.ts';

const WHERE = ['quiesce', '-n', 'quiesce-system'];

/** The command of docs/schedules.md, and a folder where it can be run as it stands. */
export interface Upgrade {
  readonly command: string;
  /** The text of values.yaml. */
  readonly values: string;
}

/** Upgrades the release of quiesce, does something, and takes the release back to what it was. */
export async function withRelease<T>(
  stage: Stage,
  { command, values }: Upgrade,
  act: () => Promise<T>,
): Promise<T> {
  const { tools } = stage;
  const before = await manifestOf(stage);
  const revision = await revisionOf(stage);
  const folder = state(`release-${stage.tag}`);
  await mkdir(folder, { recursive: true });
  await symlink(`${ROOT}/charts`, `${folder}/charts`);
  await writeFile(`${folder}/values.yaml`, values);
  try {
    await runCommand(tools, command, folder);
    return await act();
  } finally {
    await tools.helm(['rollback', ...WHERE, String(revision), '--wait', '--timeout', '180s']);
    stage.equal('afterwards the release is as before', await manifestOf(stage), before);
  }
}

async function manifestOf({ tools }: Stage): Promise<string> {
  return await tools.helm(['get', 'manifest', ...WHERE]);
}

async function revisionOf({ tools }: Stage): Promise<number> {
  const history = await tools.helm(['history', ...WHERE, '-o', 'json']);
  const revisions = JSON.parse(history) as readonly { revision: number; status: string }[];
  const found = revisions.find(({ status }) => status === 'deployed');
  if (found === undefined) throw new Error(`no revision of the release is deployed: ${history}`);
  return found.revision;
}
