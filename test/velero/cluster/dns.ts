import { execFile } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { promisify } from 'node:util';

// The cluster's name server, as far as services need one. It runs on its own, so that it outlives the run
// that started it: dns.mjs ADDRESS KUBECTL

interface Endpoint {
  readonly hostname?: string;
  readonly addresses: readonly string[];
  readonly conditions?: { readonly ready?: boolean };
}
interface Item {
  readonly kind: 'Service' | 'EndpointSlice';
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
  readonly spec?: { readonly clusterIP?: string; readonly publishNotReadyAddresses?: boolean };
  readonly endpoints?: readonly Endpoint[];
}

const PORT = 53;
const FRESH_MS = 1_000;
const TYPE_A = 1;
const [address = '127.0.0.1', kubectl = 'kubectl'] = process.argv.slice(2);

let table = new Map<string, readonly string[]>();
let askedAt = -Infinity;
let asking: Promise<void> | undefined;

const socket = createSocket('udp4');
socket.on('message', (query, { port, address: from }) => {
  void answer(query).then((reply) => reply && socket.send(reply, port, from));
});
socket.bind(PORT, address);

async function answer(query: Buffer): Promise<Buffer | undefined> {
  const question = questionOf(query);
  if (question === undefined) return undefined;
  if (performance.now() - askedAt > FRESH_MS) {
    asking ??= refresh().finally(() => (asking = undefined));
    await asking;
  }
  const found = table.get(question.name);
  const addresses = question.type === TYPE_A ? (found ?? []) : [];
  // Answer, authoritative, recursion desired; then "no error" or "no such name".
  const flags = [0x85, found === undefined ? 0x83 : 0x80];
  const counts = [0, 1, 0, addresses.length, 0, 0, 0, 0];
  const head = Buffer.from([query[0] ?? 0, query[1] ?? 0, ...flags, ...counts]);
  return Buffer.concat([head, query.subarray(12, question.end), ...addresses.map(record)]);
}

function questionOf(query: Buffer): { name: string; type: number; end: number } | undefined {
  const labels: string[] = [];
  let at = 12;
  for (let length = query[at]; length !== undefined && length > 0; length = query[at]) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length));
    at += length + 1;
  }
  if (at + 5 > query.length) return undefined;
  const name = labels
    .join('.')
    .toLowerCase()
    .replace(/\.cluster\.local$/, '');
  return { name, type: query.readUInt16BE(at + 1), end: at + 5 };
}

/** An A record for the question's name, valid for 2 s. */
function record(ip: string): Buffer {
  const head = [0xc0, 12, 0, TYPE_A, 0, 1, 0, 0, 0, 2, 0, 4];
  return Buffer.from([...head, ...ip.split('.').map(Number)]);
}

async function refresh(): Promise<void> {
  const line = ['get', 'services,endpointslices', '-A', '-o', 'json'];
  try {
    const { stdout } = await promisify(execFile)(kubectl, line, { maxBuffer: 1 << 26 });
    table = tableOf((JSON.parse(stdout) as { items: readonly Item[] }).items);
    askedAt = performance.now();
  } catch {
    // The API server may be restarting: the last table stays.
  }
}

function tableOf(items: readonly Item[]): Map<string, readonly string[]> {
  const names = new Map<string, readonly string[]>();
  const headless = new Map<string, boolean>();
  for (const { kind, metadata, spec } of items) {
    if (kind !== 'Service') continue;
    const name = `${metadata.name}.${metadata.namespace}.svc`;
    if (spec?.clusterIP !== undefined && spec.clusterIP !== 'None')
      names.set(name, [spec.clusterIP]);
    else headless.set(name, spec?.publishNotReadyAddresses === true);
  }
  for (const { kind, metadata, endpoints } of items) {
    if (kind !== 'EndpointSlice') continue;
    const service = `${metadata.labels?.['kubernetes.io/service-name']}.${metadata.namespace}.svc`;
    for (const { hostname, addresses, conditions } of endpoints ?? []) {
      if (conditions?.ready === false && headless.get(service) !== true) continue;
      if (hostname !== undefined) names.set(`${hostname}.${service}`, addresses);
      if (headless.has(service)) {
        names.set(service, [...(names.get(service) ?? []), ...addresses]);
      }
    }
  }
  return names;
}
