import {
  type App,
  inNamespace,
  leastPrivileged,
  notInjected,
  ownPsqlHooks,
  postgres,
  redis,
} from '../../apps/index.ts';
import { doctor, finds } from '../../stage/doctor.ts';
import type { Stage } from '../../stage/stage.ts';
import { inNamespaces } from '../../stage/under-load.ts';
import { withoutWebhook } from '../../stage/webhook.ts';
import type { Story } from '../story.ts';
import { platform, schedules } from './platform.ts';

const DB = 'doctor';
const CACHE = 'doctor-cache';
const FOUND = 'doctor-found';
const POD = 'db-0';

export const states: Story = {
  name: 'doctor',
  group: 'doctor',
  title: 'quiesce doctor finds nothing in a good cluster, and each half-configured state',
  inCi: false,
  play: async (stage) => {
    const app = postgres(inNamespace(DB), leastPrivileged);
    await inNamespaces(stage, [DB, CACHE, FOUND], async () => {
      await Promise.all([stage.deploy(app), stage.deploy(redis(inNamespace(CACHE)))]);
      await schedules(stage, [DB, CACHE], async () => {
        await good(stage, 'in a good cluster');
        await grant(stage);
        await platform(stage);
        await good(stage, 'when all is mended');
        await unprotected(stage);
        await webhook(stage, app);
      });
    });
  },
};

/** Nothing is reported, not even a remark; with the sidecars' answers, neither. */
async function good(stage: Stage, when: string): Promise<void> {
  for (const flags of [[], ['--probe']]) {
    const { exitCode, said } = await doctor(stage, ...flags);
    const command = ['quiesce doctor', ...flags].join(' ');
    stage.equal(`${when}, ${command} reports nothing`, [exitCode, said], [0, '']);
  }
}

/** A role that lost a privilege. */
async function grant(stage: Stage): Promise<void> {
  const call = 'EXECUTE ON FUNCTION pg_backup_start(text, boolean)';
  const sql = async (statement: string): Promise<void> => {
    const psql = ['psql', '-U', 'postgres', '-c', statement];
    await stage.tools.kubectl(['-n', DB, 'exec', POD, '-c', 'postgres', '--', ...psql]);
  };
  await sql(`REVOKE ${call} FROM quiesce`);
  const what = 'the role lost a privilege';
  const { said } = await finds(stage, what, 'GRANTS_MISSING', '-n', DB, '--probe');
  stage.match(
    'and prints the statement that gives it back',
    said,
    /GRANT EXECUTE .*pg_backup_start/,
  );
  await sql(`GRANT ${call} TO quiesce`);
}

/** A database without the label, and one whose hooks are its user's. */
async function unprotected(stage: Stage): Promise<void> {
  await stage.tools.apply(postgres(inNamespace(FOUND), notInjected).manifest());
  await finds(stage, 'a database without the label', 'UNPROTECTED', '-n', FOUND);
  await stage.tools.apply(postgres(inNamespace(FOUND), ownPsqlHooks).manifest());
  const what = 'a database with hooks of its user’s own';
  await finds(stage, what, 'HOOKS_OVERWRITTEN', '-n', FOUND);
  await stage.remove(FOUND);
}

/** A pod that is made while the webhook is down has no sidecar, until it is made again. */
async function webhook(stage: Stage, app: App): Promise<void> {
  await withoutWebhook(stage, async () => {
    await finds(stage, 'the webhook is down', 'WEBHOOK_DOWN');
    await makeAgain(stage, app);
    await finds(stage, 'a pod was made meanwhile', 'SIDECAR_MISSING');
  });
  await finds(stage, 'the webhook is back, the pod is as it was', 'SIDECAR_MISSING');
  await makeAgain(stage, app);
  await good(stage, 'when the pod was made again');
}

async function makeAgain(stage: Stage, { namespace, pods }: App): Promise<void> {
  await stage.tools.kubectl(['-n', namespace, 'delete', 'pod', ...pods, '--wait=true']);
  await stage.ready(namespace, pods);
}
