// Completes package-lock.json after `npm install`. If a registry lacks the packages of some platforms,
// npm leaves them out of the lock, and newer npms then refuse `npm ci` with that lock.
import { readFile, writeFile } from 'node:fs/promises';

const PATH = 'package-lock.json';
const OS = ['android', 'darwin', 'freebsd', 'linux', 'openharmony', 'win32'];
const CPU = ['arm64', 'arm', 'x64', 'ia32', 'ppc64', 'riscv64', 's390x'];

const lock = JSON.parse(await readFile(PATH, 'utf8'));

/** The lock entry of a platform package, from its name: `@scope/binding-linux-x64-gnu`. */
function entryFor(name, version, engines) {
  const parts = name
    .split('/')
    .pop()
    .replace(/^binding-/, '')
    .split('-');
  const os = OS.find((known) => known === parts[0]);
  const cpu = CPU.find((known) => known === parts[1]);
  if (!os || !cpu) throw new Error(`cannot derive the platform of ${name} from its name`);
  const libc = parts[2]?.startsWith('gnu') ? 'glibc' : parts[2]?.startsWith('musl') ? 'musl' : '';
  return {
    version,
    cpu: [cpu],
    dev: true,
    ...(os === 'linux' && libc !== '' ? { libc: [libc] } : {}),
    optional: true,
    os: [os],
    ...(engines ? { engines } : {}),
  };
}

let added = 0;
for (const [path, entry] of Object.entries(lock.packages)) {
  if (path === '') continue;
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    const known =
      lock.packages[`node_modules/${name}`] ?? lock.packages[`${path}/node_modules/${name}`];
    if (known) continue;
    lock.packages[`node_modules/${name}`] = entryFor(name, version, entry.engines);
    added += 1;
  }
}
lock.packages = Object.fromEntries(
  Object.entries(lock.packages).sort(([a], [b]) => a.localeCompare(b, 'en')),
);
await writeFile(PATH, `${JSON.stringify(lock, null, 2)}\n`);
process.stdout.write(`${added} platform packages added to ${PATH}\n`);
