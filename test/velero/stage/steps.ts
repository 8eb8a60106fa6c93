import { INIT_CONTAINER } from '../../../src/cluster/objects/names.ts';
import type { Access } from '../apps/index.ts';
import { until } from '../wait.ts';
import type { Stage } from './stage.ts';
import type { ReceiptSeen } from './sidecar.ts';

/** For the writes of a load beside others, or on a driver that copies live files. */
export const PATIENT_MS = 120_000;

/** The newest receipt of a pod's sidecar, with `thawedAt` as `holdOf` takes it. */
export async function receiptOf(
  stage: Stage,
  namespace: string,
  pod: string,
): Promise<ReceiptSeen & { readonly thawedAt: string | null }> {
  const [receipt] = await stage.sidecar(namespace, pod).receipts();
  if (receipt === undefined) throw new Error(`${namespace}/${pod} has no receipt`);
  return { ...receipt, thawedAt: receipt.thawedAt ?? null };
}

/** What became of a restored pod: its server runs, or `prepare-restore` keeps it from starting. */
export interface Outcome {
  readonly accepted: boolean;
  /** What `prepare-restore` printed. */
  readonly said: string;
}

interface PodSeen {
  readonly status: {
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    readonly initContainerStatuses?: readonly {
      readonly name: string;
      readonly state: Ending;
      readonly lastState: Ending;
    }[];
  };
}

interface Ending {
  readonly terminated?: { readonly exitCode: number };
}

export async function outcomeOf(stage: Stage, access: Access, pod: string): Promise<Outcome> {
  const { tools } = stage;
  const where = ['-n', access.namespace];
  const accepted = await until(
    `${access.namespace}/${pod} runs or is refused`,
    240_000,
    async () => {
      const { status } = await tools.get<PodSeen>('pod', pod, ...where);
      const ready = status.conditions?.some((one) => one.type === 'Ready' && one.status === 'True');
      if (ready === true) return { is: true };
      const init = status.initContainerStatuses?.find(({ name }) => name === INIT_CONTAINER);
      const codes = [init?.state, init?.lastState].map((state) => state?.terminated?.exitCode ?? 0);
      return codes.some((code) => code !== 0) && { is: false };
    },
  );
  return { accepted: accepted.is, said: await initLog(stage, access.namespace, pod) };
}

/** A container that is made again has no log yet: then the one before it counts. */
async function initLog(stage: Stage, namespace: string, pod: string): Promise<string> {
  const logs = ['logs', pod, '-n', namespace, '-c', INIT_CONTAINER, '--tail=20'];
  const said = await until(`the log of ${INIT_CONTAINER}`, 30_000, async () => {
    for (const more of [[], ['--previous']]) {
      const { stdout } = await stage.tools.tryKubectl([...logs, ...more]);
      if (stdout.trim() !== '') return stdout.trim();
    }
    return false;
  }).catch((error: Error) => error.message);
  return said;
}

/** The messages of a namespace's Events with a reason. */
export async function eventsOf(
  stage: Stage,
  namespace: string,
  reason: string,
): Promise<readonly string[]> {
  const { items } = await stage.tools.get<{
    items: readonly { reason: string; message: string }[];
  }>('events', '-n', namespace);
  return items.filter((event) => event.reason === reason).map(({ message }) => message);
}
