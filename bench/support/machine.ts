import { cpus, totalmem } from 'node:os';
import { tool } from '../../src/testbed/os.ts';
import { describeEnvironment } from './environment.ts';

/** One line that describes the machine, for which alone milliseconds hold. */
export async function describeMachine(dir: string): Promise<string> {
  const [cpu] = cpus();
  const fs = await tool('stat', '-f', '-c', '%T', dir).catch(() => 'an unknown file system');
  const memory = Math.round(totalmem() / 2 ** 30);
  return `${cpus().length} × ${cpu?.model.trim()}, ${memory} GiB, data on ${fs.trim()}, ${process.platform} ${process.arch}, Node ${process.version}, ${describeEnvironment()}`;
}
