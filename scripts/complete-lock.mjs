// Completes package-lock.json after `npm install`: a registry that does not serve the packages of some
// platforms makes npm leave them out of the lock, and newer npms then refuse `npm ci` on it.
import { readFile, writeFile } from 'node:fs/promises';

const PATH = 'package-lock.json';
const OS = ['android', 'darwin', 'freebsd', 'linux', 'openharmony', 'win32'];
const CPU = ['arm64', 'arm', 'x64', 'ia32', 'ppc64', 'riscv64', 's390x'];

const lock = JSON.parse(await readFile(PATH, 'utf8'));

/** Platform packages say in their name what they are for: `@scope/binding-linux-x64-gnu`. */
function describe(name, version, engines) {
  const parts = name
    .split('/')
    .pop()
    .replace(/^binding-/, '')
    .split('-');
  const os = OS.find((known) => known === parts[0]);
  const cpu = CPU.find((known) => known === parts[1]);
  if (!os || !cpu) throw new Error(`cannot tell the platform of ${name}`);
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
    lock.packages[`node_modules/${name}`] = describe(name, version, entry.engines);
    added += 1;
  }
}
lock.packages = Object.fromEntries(
  Object.entries(lock.packages).sort(([a], [b]) => a.localeCompare(b, 'en')),
);
await writeFile(PATH, `${JSON.stringify(lock, null, 2)}\n`);
process.stdout.write(`${added} platform packages added to ${PATH}\n`);
