import { SidecarFarm } from './sidecar-farm.ts';

/** Scripted sidecars in a process of their own: prints their ports and sockets, and ends with its input. */
const farm = await SidecarFarm.make();
const count = Number(process.argv[2] ?? 1);
for (let index = 0; index < count; index += 1) {
  await farm.add({ engine: index % 2 === 0 ? 'postgres' : 'redis', blocks: index % 2 === 1 });
}
const places = farm.sidecars.map(({ port, socket, engine }) => ({
  port,
  socket,
  engine: engine.name,
}));
process.stdout.write(`${JSON.stringify(places)}\n`);
process.stdin.resume();
process.stdin.on('end', () => {
  void farm.remove().then(() => process.exit(0));
});
