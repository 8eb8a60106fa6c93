import { tryRun } from '../run.ts';
import type { Stage } from './stage.ts';

interface Finding {
  readonly code: string;
  readonly severity: string;
  /** `NAMESPACE KIND/NAME`. */
  readonly object: string;
  readonly message: string;
}

export interface Examined {
  readonly exitCode: number | null;
  readonly findings: readonly Finding[];
  /** `CODE NAMESPACE KIND/NAME: …`, for messages. */
  readonly said: string;
  has(code: string): boolean;
}

/** `quiesce doctor`, as an operator runs it on a machine with a kubeconfig. */
export async function doctor(stage: Stage, ...flags: readonly string[]): Promise<Examined> {
  const line = ['dist/cli.js', 'doctor', '-o', 'json', ...flags];
  const { status, stdout, stderr } = await tryRun(process.execPath, line, {
    env: stage.tools.env,
    timeoutMs: 180_000,
  });
  if (status !== 0 && status !== 7) throw new Error(`quiesce doctor: ${status}: ${stderr.trim()}`);
  const { findings } = JSON.parse(stdout) as { findings: readonly Finding[] };
  const lines = findings.map(({ code, object, message }) => {
    return `${code} ${object}: ${message}`;
  });
  return {
    exitCode: status,
    findings,
    said: lines.join('\n'),
    has: (code) => findings.some((one) => one.code === code),
  };
}

/** Records whether the doctor finds a state, and fails because of it. */
export async function finds(
  stage: Stage,
  what: string,
  code: string,
  ...flags: readonly string[]
): Promise<Examined> {
  const examined = await doctor(stage, ...flags);
  const command = ['quiesce doctor', ...flags].join(' ');
  const ok = examined.exitCode === 7 && examined.has(code);
  stage.expect(`${what}: ${command} reports ${code}`, ok, `${examined.exitCode}\n${examined.said}`);
  return examined;
}
