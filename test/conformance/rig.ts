import { existsSync } from 'node:fs';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { type Answer, get } from '../../src/testbed/processes.ts';
import type { CopyMethod } from '../../src/receipt/receipt.ts';
import { type Receipt, receiptSchema } from '../../src/receipt/receipt.ts';
import { makeTempDir } from '../support/postgres.ts';
import { type Reply, TestSidecar } from '../support/sidecar.ts';
import type { Ledger, StartOptions, Subject, World } from './fixture.ts';

const WRITE_WITHIN_MS = 15_000;
const BLOCKED_FOR_MS = 600;

/** A server with a sidecar, and the requests and expectations in which the promises are written. */
export class Rig<L extends Ledger> {
  readonly subject: Subject<L>;
  readonly world: World<L>;
  readonly dir: string;
  sidecar: TestSidecar;
  readonly #copy: CopyMethod;
  #sidecars: TestSidecar[] = [];

  private constructor(subject: Subject<L>, world: World<L>, dir: string, copy: CopyMethod) {
    this.subject = subject;
    this.world = world;
    this.dir = dir;
    this.#copy = copy;
    this.sidecar = new TestSidecar(dir, {});
  }

  static async open<L extends Ledger>(
    subject: Subject<L>,
    copy: CopyMethod = subject.copy,
    more: Pick<StartOptions, 'disk'> = {},
  ): Promise<Rig<L>> {
    const dir = await makeTempDir();
    const world = await subject.start({ dir, copy, ...more });
    return new Rig(subject, world, dir, copy);
  }

  /** Stops the present sidecar and starts a new one with a new state directory. */
  async begin(
    env: Readonly<Record<string, string | undefined>> = {},
    until: 'live' | 'ready' = 'ready',
  ): Promise<TestSidecar> {
    await this.sidecar.stop();
    this.sidecar = await this.another(env);
    return await this.sidecar.start(until);
  }

  /** Another sidecar for this volume, with its own state directory; not started yet. */
  async another(env: Readonly<Record<string, string | undefined>> = {}): Promise<TestSidecar> {
    return await this.#make({
      ...this.world.env,
      QUIESCE_DATA_DIR: this.world.volume.path,
      QUIESCE_COPY: this.#copy,
      QUIESCE_REPLICA: this.subject.replica,
      QUIESCE_FREEZE_TIMEOUT: '60s',
      QUIESCE_LOG_LEVEL: 'trace',
      ...env,
    });
  }

  /** Starts a sidecar for a copy. */
  async sidecarFor(
    dataDir: string,
    env: Readonly<Record<string, string | undefined>>,
  ): Promise<TestSidecar> {
    const copy = { QUIESCE_DATA_DIR: dataDir, QUIESCE_COPY: this.#copy };
    return await (await this.#make({ ...env, ...copy })).start();
  }

  async #make(env: Readonly<Record<string, string | undefined>>): Promise<TestSidecar> {
    const dir = join(this.dir, `q${this.#sidecars.length}`);
    await mkdir(dir);
    const set = Object.entries({ QUIESCE_ENGINE: this.subject.engine, ...env }).filter(
      (entry): entry is [string, string] => entry[1] !== undefined,
    );
    const sidecar = new TestSidecar(dir, Object.fromEntries(set));
    this.#sidecars.push(sidecar);
    return sidecar;
  }

  async close(): Promise<void> {
    for (const sidecar of this.#sidecars) {
      await sidecar.signal('SIGCONT');
      await sidecar.signal('SIGKILL');
    }
    await this.world.dispose();
    await rm(this.dir, { recursive: true, force: true });
  }

  freeze(body: object = {}): Promise<Reply> {
    return this.sidecar.api('POST', '/v1/freeze', body);
  }

  thaw(id?: string): Promise<Reply> {
    return this.sidecar.api('POST', '/v1/thaw', id === undefined ? {} : { id });
  }

  /** Freezes; the freeze must succeed. */
  async held(body: object = {}): Promise<Receipt> {
    const { status, body: receipt } = await this.freeze(body);
    expect(status, JSON.stringify(receipt)).toBe(200);
    return receiptSchema.parse(receipt);
  }

  /** Thaws; the thaw must succeed. */
  async consistent(id?: string): Promise<Receipt> {
    const { status, body } = await this.thaw(id);
    expect(status, JSON.stringify(body) + this.sidecar.output.slice(-3_000)).toBe(200);
    const receipt = receiptSchema.parse(body);
    expect(receipt).toMatchObject({ verdict: 'consistent' });
    return receipt;
  }

  /** Thaws; this must fail, because an earlier thaw of that freeze got its success. */
  async alreadyThawed(freeze: string, id?: string): Promise<Receipt> {
    const { status, body } = await this.thaw(id);
    expect(status, JSON.stringify(body)).toBe(409);
    expect(body.error.code).toBe('ALREADY_THAWED');
    const receipt = receiptSchema.parse(body.receipt);
    expect(receipt).toMatchObject({ id: freeze, verdict: 'consistent' });
    return receipt;
  }

  /** Thaws; this must release the server and fail, with one of these reasons. */
  async inconsistent(reasons: RegExp, id?: string): Promise<Receipt> {
    const { status, body } = await this.thaw(id);
    expect(status, JSON.stringify(body)).toBe(409);
    expect(body.error.code).toBe('NOT_CONSISTENT');
    const receipt = receiptSchema.parse(body.receipt);
    expect(receipt.verdict).toBe('inconsistent');
    expect(receipt.reasons.join(' ')).toMatch(reasons);
    return receipt;
  }

  async state(): Promise<string> {
    return (await this.sidecar.status()).state;
  }

  async expectThawed(withinMs = 15_000): Promise<void> {
    await expect.poll(() => this.state(), { timeout: withinMs }).toBe('thawed');
  }

  /**
   * Expects that writes succeed, the server is as before, and the volumes carry no evidence of a freeze.
   *
   * @param after how the last hold ended: a proven one may leave what matches `keptAfterThaw`.
   */
  async expectNothingHeld(after: 'loss' | 'proof' = 'loss'): Promise<void> {
    await this.expectServerFree(after);
    expect(await this.onVolume()).toEqual([]);
    expect(this.marks()).toEqual([]);
  }

  /** Expects that writes succeed and the server is as before. */
  async expectServerFree(after: 'loss' | 'proof' = 'loss'): Promise<void> {
    const { world, subject } = this;
    const kept = after === 'proof' ? subject.keptAfterThaw : null;
    const look = async (): Promise<string[]> => [
      ...(await world.held()).filter((sentence) => !kept?.test(sentence)),
      ...(await world.changed()),
    ];
    await expect.poll(look, { timeout: WRITE_WITHIN_MS }).toEqual([]);
    await this.expectWritesFlow();
  }

  /** Expects that an administrator sees the hold, in the view that must be empty afterwards. */
  async expectSeenInServer(): Promise<void> {
    expect((await this.world.held()).length > 0).toBe(this.subject.seenInServer);
  }

  async expectWritesFlow(withinMs = WRITE_WITHIN_MS): Promise<void> {
    const late = sleep(withinMs, 'late', { ref: false });
    expect(await Promise.race([this.world.write().then(() => 'acknowledged'), late])).toBe(
      'acknowledged',
    );
  }

  /** Expects that a write waits, or succeeds. A waiting write finishes later by itself. */
  async expectWrites(blocked: boolean): Promise<void> {
    if (!blocked) return await this.expectWritesFlow();
    const write = this.world.write().then(
      () => 'acknowledged',
      (error: Error) => error.message,
    );
    const late = sleep(BLOCKED_FOR_MS, 'waits', { ref: false });
    expect(await Promise.race([write, late])).toBe('waits');
  }

  get evidence(): string {
    return join(this.world.volume.path, '.quiesce');
  }

  /** The files in `.quiesce/`, except the results of verified restores and the file of the claim. */
  async onVolume(): Promise<string[]> {
    const names = await readdir(this.evidence).catch((): string[] => []);
    return names.filter((name) => name !== 'claim' && !name.startsWith('restored-'));
  }

  /** The folders that mark further volumes as frozen, if they exist. */
  marks(): string[] {
    const folders = this.world.marked.map((folder) => join(folder, '.quiesce'));
    return folders.filter((folder) => existsSync(folder));
  }

  /** Writes text to a file, as a person keeps a receipt. */
  async keep(name: string, text: string): Promise<string> {
    const path = join(this.dir, name);
    await writeFile(path, text);
    return path;
  }
}

/** One rig for several groups of tests; each group leaves it usable for the next. */
export class SharedRig<L extends Ledger> {
  readonly #subject: Subject<L>;
  #rig: Promise<Rig<L>> | undefined;

  constructor(subject: Subject<L>) {
    this.#subject = subject;
  }

  /** Opens the rig at the first call. */
  async get(): Promise<Rig<L>> {
    this.#rig ??= Rig.open(this.#subject);
    return await this.#rig;
  }

  async close(): Promise<void> {
    await (await this.#rig)?.close();
  }
}

/** The answer that a kubelet gets. */
export async function readiness({ metricsPort }: TestSidecar): Promise<Answer> {
  return await get({ host: '127.0.0.1', port: metricsPort }, '/readyz');
}

/** Whether a copy carries a receipt, and so was cut inside a freeze. */
export function carriesReceipt(copy: string): boolean {
  return existsSync(join(copy, '.quiesce/receipt.json'));
}
