import { type ChildProcess, spawn } from 'node:child_process';
import { cleanEnv, cliPath } from '../../src/testbed/processes.ts';
import type { Receipt } from '../../src/receipt/receipt.ts';

export interface ShimEnd {
  /** `null` when a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly receipt: Receipt | undefined;
}

/** The real command line, run as a hook runs it. It can be killed and stopped. */
export class Shim {
  readonly child: ChildProcess;
  readonly done: Promise<ShimEnd>;

  constructor(args: readonly string[], socket: string) {
    const child = spawn(process.execPath, [cliPath(), ...args, '-o', 'json'], {
      env: cleanEnv({ QUIESCE_SOCKET: socket }),
      // In a session of its own: Ctrl-C ends the harness, which then ends what it started.
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child = child;
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    this.done = new Promise((resolve) => {
      child.once('close', (code) => resolve({ code, stdout, stderr, receipt: receiptIn(stdout) }));
    });
  }

  signal(name: NodeJS.Signals): void {
    this.child.kill(name);
  }
}

/** The printed receipt, alone or with an error. */
function receiptIn(stdout: string): Receipt | undefined {
  try {
    const parsed = JSON.parse(stdout) as { kind?: string; receipt?: Receipt };
    return parsed.kind === 'Receipt' ? (parsed as Receipt) : parsed.receipt;
  } catch {
    return undefined;
  }
}
