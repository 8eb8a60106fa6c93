import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { parseAllDocuments } from 'yaml';
import { built } from './built.ts';

const run = promisify(execFile);
const repository = fileURLToPath(new URL('../..', import.meta.url));

export const CHART = join(repository, 'charts/quiesce');

/** Long enough to build helm once on a busy machine. */
export const BUILD_TIMEOUT_MS = 60 * 60_000;

/** A Kubernetes object: a rendered one, or one to apply. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly [field: string]: unknown;
}

export interface Output {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Helm {
  /** Runs helm to its end, with any exit code. */
  run(...args: string[]): Promise<Output>;
  /**
   * Renders with `helm template`, tests included.
   * @throws Error with helm's message where it refuses
   */
  template(...args: string[]): Promise<Manifest[]>;
}

export interface ChartTools {
  readonly helm: Helm;
  /** A folder with the definitions of PodMonitor, Certificate and similar resources. */
  readonly crds: string;
}

let tools: Promise<ChartTools> | undefined;

/** The real helm. `scripts/chart-tools.mjs` builds it once if it is missing, even if several workers ask. */
export async function realHelm(): Promise<Helm> {
  return (await chartTools()).helm;
}

export function chartTools(): Promise<ChartTools> {
  tools ??= (async () => {
    const printed = await built(join(repository, 'scripts/chart-tools.mjs'));
    const { helm, crds } = JSON.parse(printed) as { helm: string; crds: string };
    return { helm: helmAt(helm), crds };
  })();
  return tools;
}

function helmAt(program: string): Helm {
  const call = async (...args: string[]): Promise<Output> => {
    try {
      return { code: 0, ...(await run(program, args, { maxBuffer: 1 << 26 })) };
    } catch (thrown) {
      const { code, stdout = '', stderr = '' } = thrown as Partial<Output>;
      if (typeof code !== 'number') throw thrown;
      return { code, stdout, stderr };
    }
  };
  return {
    run: call,
    async template(...args) {
      const line = ['template', 'quiesce', CHART, '--namespace', 'quiesce-system', ...args];
      const { code, stdout, stderr } = await call(...line);
      if (code !== 0) throw new Error(stderr);
      return manifestsOf(stdout);
    },
  };
}

/**
 * Parses helm's output as strictly as Argo CD and kustomize do.
 * @throws Error where it is not YAML or has a key twice
 */
export function manifestsOf(text: string): Manifest[] {
  return parseAllDocuments(text, { uniqueKeys: true }).flatMap((document) => {
    const [problem] = document.errors;
    if (problem) throw problem;
    return (document.toJS() as Manifest | null) ?? [];
  });
}

/** The one object of a kind (and name). */
export function one(manifests: readonly Manifest[], kind: string, name?: RegExp): Manifest {
  const found = manifests.filter((m) => m.kind === kind && (name?.test(m.metadata.name) ?? true));
  const [only] = found;
  if (found.length === 1 && only) return only;
  const names = manifests.map((m) => `${m.kind}/${m.metadata.name}`).join(', ');
  throw new Error(`${found.length} objects are ${kind} ${name ?? ''} among: ${names}`);
}
