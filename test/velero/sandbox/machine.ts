import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tryRun } from '../run.ts';

/** What a node of a cluster usually changes on its machine. */
export interface Machine {
  readonly [what: string]: readonly string[];
}

const SETTINGS = [
  'fs/inotify/max_user_instances',
  'kernel/panic',
  'kernel/panic_on_oops',
  'net/ipv4/ip_forward',
  'net/netfilter/nf_conntrack_max',
  'vm/overcommit_memory',
];
const FOLDERS = [
  '/etc/cni',
  '/opt/cni',
  '/opt/containerd',
  '/run/containerd',
  '/run/netns',
  '/usr/libexec/kubernetes',
  '/var/lib/calico',
  '/var/lib/cni',
  '/var/lib/containerd',
  '/var/lib/kubelet',
  '/var/log/containers',
  '/var/log/pods',
];

/** Mounts, networks, rules of the firewall, settings and folders of this machine, as they are now. */
export async function lookAtMachine(): Promise<Machine> {
  return {
    mounts: await linesOf('findmnt', '--raw', '--noheadings', '--output', 'TARGET'),
    'network interfaces': (await linesOf('ip', '-brief', 'link')).map(
      (line) => line.split(/\s/)[0] ?? '',
    ),
    // Without the comments, which have the time, and without counters.
    'iptables rules': (await linesOf('iptables-save'))
      .filter((line) => !line.startsWith('#'))
      .map((line) => line.replace(/ \[\d+:\d+\]$/, '')),
    'address sets': await linesOf('ipset', 'list', '-name'),
    settings: await Promise.all(SETTINGS.map(settingOf)),
    folders: FOLDERS.filter((path) => existsSync(path)),
  };
}

/** What `after` has and `before` had not, and the reverse, a sentence each. */
export function differencesOf(before: Machine, after: Machine): readonly string[] {
  return Object.keys(before).flatMap((what) => {
    const [was, is] = [before[what] ?? [], after[what] ?? []];
    const added = is.filter((line) => !was.includes(line)).map((line) => `${what}: now ${line}`);
    const gone = was.filter((line) => !is.includes(line)).map((line) => `${what}: no more ${line}`);
    return [...added, ...gone];
  });
}

async function linesOf(program: string, ...args: readonly string[]): Promise<string[]> {
  const { stdout } = await tryRun(program, args);
  return stdout.split('\n').filter((line) => line.trim() !== '');
}

async function settingOf(name: string): Promise<string> {
  const value = await readFile(`/proc/sys/${name}`, 'utf8').catch(() => 'absent');
  return `${name}=${value.trim()}`;
}
