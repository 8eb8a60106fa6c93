import { readFile } from 'node:fs/promises';
import { stripVTControlCharacters } from 'node:util';
import { notInjected, inNamespace, postgres } from '../apps/index.ts';
import { commandsIn, runCommand } from '../cluster/chart.ts';
import type { Stage } from '../stage/stage.ts';
import type { Story } from './story.ts';

const PAGE = 'docs/install.md';

/** What a command of the page must print; one that is not here must exit with 0. */
const EXPECTED: readonly (readonly [RegExp, RegExp])[] = [
  [/get pod db-0 -o jsonpath/, /^postgres quiesce$/],
  [/quiesce status$/, /^thawed; postgres 17.*reachable/],
  [/quiesce freeze --id try/, /frozen/],
  [/quiesce thaw --id try/, /consistent/],
  [/quiesce receipts$/, /try/],
  // Velero prints colours into pipes, too.
  [/velero backup describe/, /Phase: +Completed[^]*HooksAttempted: +2[^]*HooksFailed: +0/],
];

export const installPage: Story = {
  name: 'install-page',
  group: 'docs',
  title: 'docs/install.md: the commands of its sections 3 to 5, word for word',
  inCi: true,
  play: async (stage) => {
    const page = await readFile(PAGE, 'utf8');
    for (const section of [/^3\. A database/, /^4\. Test it/, /^5\. Back it up/]) {
      for (const command of commandsIn(page, section)) await follow(stage, command);
    }
    const { status, stderr } = await stage.sidecar('shop', 'db-0').quiesce('thaw', '--id', 'try');
    stage.expect('a second thaw fails', status !== 0, status);
    stage.match('with ALREADY_THAWED', stderr, /ALREADY_THAWED/);
    await stage.remove('shop', 'labelled');
  },
};

async function follow(stage: Stage, command: string): Promise<void> {
  if (/ NS | NAME /.test(command)) return await addLabel(stage, command);
  const printed = await runCommand(stage.tools, command);
  const [, wanted] = EXPECTED.find(([line]) => line.test(command)) ?? [];
  if (wanted === undefined) stage.expect(command, true);
  else stage.match(command, stripVTControlCharacters(printed).trim(), wanted);
}

/** "For your own database, put the label on its pod template." */
async function addLabel(stage: Stage, command: string): Promise<void> {
  const app = postgres(inNamespace('labelled'), notInjected);
  await stage.deploy(app);
  await runCommand(stage.tools, command.replace('NS', 'labelled').replace('NAME', 'db'));
  await stage.tools.kubectl(['-n', 'labelled', 'rollout', 'status', 'statefulset/db']);
  const names = ['-o', 'jsonpath={.spec.containers[*].name}'];
  const containers = await stage.tools.kubectl(['-n', 'labelled', 'get', 'pod', 'db-0', ...names]);
  stage.equal(command, containers, 'postgres quiesce');
}
