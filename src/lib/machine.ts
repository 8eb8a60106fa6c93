import { machine } from 'node:os';

/** The architecture of this machine as `uname -m` and the servers name it: `x86_64`, `aarch64`. */
export function machineArchitecture(): string {
  const name = machine();
  return name === 'arm64' ? 'aarch64' : name;
}
