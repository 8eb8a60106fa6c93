import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import type { Hold } from '../../src/engines/engine.ts';
import { Coordinator } from '../../src/freeze/coordinator.ts';
import { Journal } from '../../src/freeze/journal.ts';
import { buildControlApp } from '../../src/http/app.ts';
import type { Control, Status } from '../../src/http/control.ts';
import { ReceiptVolume } from '../../src/receipt/volume.ts';
import { silentObserver } from './deaf-observer.ts';
import { ScriptedEngine } from './scripted-engine.ts';

const silent = pino({ level: 'silent' });

class FarmEngine extends ScriptedEngine {
  readonly blocks: boolean;

  constructor(name: string, blocks: boolean) {
    super();
    this.name = name;
    this.blocks = blocks;
  }

  override async hold(...args: Parameters<ScriptedEngine['hold']>): Promise<Hold> {
    return { ...(await super.hold(...args)), writesBlocked: this.blocks };
  }
}

export interface FarmSidecarOptions {
  readonly engine: string;
  readonly blocks: boolean;
  readonly token?: string;
  readonly ttlMs?: number;
}

/**
 * A sidecar as it is, with its routes, its coordinator and its lease, over a scripted engine instead of a
 * database.
 */
export class FarmSidecar {
  readonly engine: FarmEngine;
  readonly coordinator: Coordinator;
  readonly socket: string;
  reachable = true;
  port = 0;
  readonly #apps;

  constructor(dir: string, options: FarmSidecarOptions) {
    this.engine = new FarmEngine(options.engine, options.blocks);
    this.socket = join(dir, 'control.sock');
    this.coordinator = new Coordinator({
      engine: this.engine,
      journal: new Journal(join(dir, 'state')),
      volume: new ReceiptVolume(join(dir, 'data')),
      copy: 'snapshot',
      app: undefined,
      logger: silent,
      now: () => performance.now(),
      volumeFree: async () => undefined,
      claimVolume: async () => undefined,
      observer: silentObserver,
      defaults: { ttlMs: options.ttlMs ?? 60_000, timeoutMs: 5_000 },
      ttlMaxMs: 3_600_000,
    });
    const control = this.#control();
    const token = options.token === undefined ? {} : { token: options.token };
    this.#apps = {
      tcp: buildControlApp({ control, transport: 'tcp', logger: silent, ...token }),
      socket: buildControlApp({ control, transport: 'socket', logger: silent }),
    };
  }

  async listen(): Promise<void> {
    await this.#apps.tcp.listen({ host: '127.0.0.1', port: 0 });
    await this.#apps.socket.listen({ path: this.socket });
    const address = this.#apps.tcp.server.address();
    this.port = typeof address === 'object' && address !== null ? address.port : 0;
  }

  async close(): Promise<void> {
    await Promise.all([this.#apps.tcp.close(), this.#apps.socket.close()]);
  }

  /** A container that dies: its port is closed, and its engine's hold is lost. */
  async die(): Promise<void> {
    this.engine.lose();
    this.#apps.tcp.server.closeAllConnections();
    await this.close();
  }

  #control(): Control {
    const { coordinator, engine } = this;
    const rest = {
      metadata: async () => ({ warnings: [] }),
      receipts: () => coordinator.receipts(),
      status: (): Status => ({
        state: coordinator.phase,
        lease: coordinator.lease(),
        engine: {
          name: engine.name,
          reachable: this.reachable,
          version: '1.0',
          role: 'primary',
          identity: {},
          message: this.reachable ? null : 'it refuses connections',
        },
        copy: 'snapshot',
        ttlMaxMs: coordinator.ttlMaxMs,
        restore: null,
        acknowledgedRestore: null,
        lastReceipt: coordinator.lastReceipt,
        version: '0.0.0',
      }),
    };
    return {
      ...rest,
      freeze: coordinator.freeze.bind(coordinator),
      thaw: coordinator.thaw.bind(coordinator),
      abandon: coordinator.abandon.bind(coordinator),
    } as unknown as Control;
  }
}

/** Many sidecars in one process. */
export class SidecarFarm {
  readonly root: string;
  readonly sidecars: FarmSidecar[] = [];

  private constructor(root: string) {
    this.root = root;
  }

  static async make(): Promise<SidecarFarm> {
    return new SidecarFarm(await mkdtemp(join(tmpdir(), 'quiesce-farm-')));
  }

  async add(options: FarmSidecarOptions): Promise<FarmSidecar> {
    const dir = join(this.root, String(this.sidecars.length));
    await mkdir(join(dir, 'data'), { recursive: true });
    const sidecar = new FarmSidecar(dir, options);
    await sidecar.listen();
    this.sidecars.push(sidecar);
    return sidecar;
  }

  async remove(): Promise<void> {
    await Promise.all(this.sidecars.map((one) => one.close().catch(() => undefined)));
    await rm(this.root, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  }
}
