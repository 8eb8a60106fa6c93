import { join } from 'node:path';
import { ScriptedSidecar, scriptOf } from './scripted-sidecar.ts';
import { SidecarFarm } from './sidecar-farm.ts';

/**
 * Sidecars in a process of their own: prints its process id, their ports and sockets, and ends with its
 * input. `sidecar-farm-main.ts COUNT [scripted]`
 */
const farm = await SidecarFarm.make();
const count = Number(process.argv[2] ?? 1);

async function real(index: number) {
  const { port, socket, engine } = await farm.add({
    engine: index % 2 === 0 ? 'postgres' : 'redis',
    blocks: index % 2 === 1,
  });
  return { port, socket, engine: engine.name };
}

async function scripted() {
  const models = [await real(0), await real(1)];
  const scripts = await Promise.all(farm.sidecars.map(scriptOf));
  const places = Array.from({ length: count }, async (_, index) => {
    const socket = join(farm.root, `${index}.sock`);
    const script = scripts[index % 2];
    if (script === undefined) throw new Error('there is no script');
    const port = await new ScriptedSidecar(script).listen(socket);
    return { port, socket, engine: models[index % 2]?.engine };
  });
  return await Promise.all(places);
}

async function reals() {
  const places = [];
  for (let index = 0; index < count; index += 1) places.push(await real(index));
  return places;
}

const places = process.argv[3] === 'scripted' ? await scripted() : await reals();
process.stdout.write(`${JSON.stringify({ pid: process.pid, places })}\n`);
process.stdin.resume();
process.stdin.on('end', () => {
  void farm.remove().then(() => process.exit(0));
});
