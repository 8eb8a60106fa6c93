import { spawnSync } from 'node:child_process';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Keeps installed services from starting: they would take the standard ports. */
const POLICY = '/usr/sbin/policy-rc.d';
const VALKEY = 'valkey-server';

/**
 * Installs programs that have no stand-in, by program and Debian package. Debian 12 has Valkey only in its
 * backports, which are added for this one installation.
 *
 * @throws Error with the line to run, where this process may not install
 */
export function requireInstalled(programs: Readonly<Record<string, string>>): void {
  const missing = Object.entries(programs).filter(([program]) => !onPath(program));
  if (missing.length === 0) return;
  const packages = missing.map(([, name]) => name);
  const line = `apt-get update && apt-get install -y ${packages.join(' ')} (Valkey on Debian 12: from bookworm-backports)`;
  if (process.getuid?.() === 0 && onPath('apt-get')) {
    process.stderr.write(`Installing what the tests run: ${packages.join(', ')}\n`);
    install(packages);
    withoutStarting(() => {
      if (packages.includes(VALKEY) && !onPath(VALKEY)) fromBackports(VALKEY);
    });
  }
  const left = Object.keys(programs).filter((program) => !onPath(program));
  if (left.length > 0) {
    throw new Error(`The tests need ${left.join(' and ')}. Run as root: ${line}`);
  }
}

function fromBackports(name: string): void {
  const shown = spawnSync(
    'apt-get',
    ['indextargets', '--format', '$(REPO_URI) $(CODENAME) $(COMPONENT)', 'Created-By: Packages'],
    { encoding: 'utf8' },
  );
  const [uri, codename] =
    shown.stdout
      .split('\n')
      .map((target) => target.split(' '))
      .find(([, codename = '', component]) => /^[a-z]+$/.test(codename) && component === 'main') ??
    [];
  const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';
  if (uri === undefined || !existsSync(keyring)) return;
  const list = '/etc/apt/sources.list.d/quiesce-tests-backports.list';
  writeFileSync(list, `deb [signed-by=${keyring}] ${uri} ${codename}-backports main\n`);
  try {
    run('apt-get', 'update', '-qq');
    run('apt-get', 'install', '-y', '-qq', '-t', `${codename}-backports`, name);
  } finally {
    rmSync(list, { force: true });
  }
}

/** Installs each one separately: an unknown package must not stop the others. */
export function install(packages: readonly string[]): void {
  withoutStarting(() => {
    run('apt-get', 'update', '-qq');
    for (const name of packages) run('apt-get', 'install', '-y', '-qq', name);
  });
}

function withoutStarting(work: () => void): void {
  const held = existsSync(POLICY);
  if (!held) writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    work();
  } finally {
    if (!held) rmSync(POLICY, { force: true });
  }
}

export function onPath(program: string): boolean {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return folders.some((folder) => existsSync(join(folder, program)));
}

function run(command: string, ...args: string[]): void {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const { status, stderr } = spawnSync(command, args, { env, encoding: 'utf8' });
  if (status !== 0) process.stderr.write(`${command} ${args.join(' ')} failed: ${stderr}\n`);
}
