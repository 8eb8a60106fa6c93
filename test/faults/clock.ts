import { spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';

const LIBRARY = `/usr/lib/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu/faketime/libfaketime.so.1`;

/**
 * A wall clock for one process that can jump: libfaketime is preloaded and leaves the monotonic clock
 * unchanged. The machine's own clock is never touched.
 */
export class WallClock {
  readonly env: Readonly<Record<string, string>>;
  readonly #file: string;
  /** Whether the process sees the jumps; libfaketime may be missing. */
  readonly works: boolean;

  constructor(file: string) {
    this.#file = file;
    this.works = existsSync(LIBRARY) || install();
    this.env = this.works
      ? {
          LD_PRELOAD: LIBRARY,
          FAKETIME_TIMESTAMP_FILE: file,
          FAKETIME_NO_CACHE: '1',
          FAKETIME_DONT_FAKE_MONOTONIC: '1',
          FAKETIME_DONT_RESET: '1',
        }
      : {};
    this.jump(0);
  }

  /** Shifts the wall clock by this many seconds from now on. */
  jump(seconds: number): void {
    writeFileSync(this.#file, `${seconds < 0 ? '-' : '+'}${Math.abs(seconds)}\n`);
  }
}

function install(): boolean {
  if (process.getuid?.() !== 0) return false;
  process.stderr.write('Installing faketime for the clock jumps\n');
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  spawnSync('sh', ['-c', 'apt-get update -qq && apt-get install -y -qq faketime'], { env });
  return existsSync(LIBRARY);
}
