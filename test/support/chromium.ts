import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { requireInstalled } from './packages.ts';

type Json = Readonly<Record<string, unknown>>;

/** How a page is looked at. */
export interface Look {
  readonly width: number;
  readonly height: number;
  readonly scheme: 'light' | 'dark';
  readonly media: 'screen' | 'print';
}

/** What Chromium reported of a page while it was open. */
export interface Seen {
  /** Errors of scripts, and every message of the console. */
  readonly messages: string[];
  /** Everything that was requested, but for the page itself. */
  readonly requests: string[];
}

/** A real Chromium without a window, spoken to through its DevTools protocol on two pipes. */
export class Chromium {
  readonly #process: ChildProcess;
  readonly #profile: string;
  readonly #waiting = new Map<number, (answer: Json) => void>();
  readonly #listeners = new Set<(event: Json) => void>();
  #last = 0;
  #rest = '';

  private constructor(process: ChildProcess, profile: string) {
    this.#process = process;
    this.#profile = profile;
    const output = process.stdio[4] as Readable;
    output.setEncoding('utf8').on('data', (text: string) => this.#read(text));
  }

  static async start(): Promise<Chromium> {
    requireInstalled({ chromium: 'chromium' });
    const profile = await mkdtemp(join(tmpdir(), 'q-chromium-'));
    const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'];
    const child = spawn(
      'chromium',
      [...flags, `--user-data-dir=${profile}`, '--remote-debugging-pipe', 'about:blank'],
      { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] },
    );
    return new Chromium(child, profile);
  }

  async stop(): Promise<void> {
    const ended = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await ended;
    await rm(this.#profile, { recursive: true, force: true, maxRetries: 5 });
  }

  /** Opens a file in a tab of its own. */
  async open(file: string): Promise<Tab> {
    const { targetId } = await this.send('Target.createTarget', { url: 'about:blank' });
    const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true });
    const tab = new Tab(this, String(sessionId));
    await tab.load(`file://${file}`);
    return tab;
  }

  send(method: string, params: Json = {}, sessionId?: string): Promise<Json> {
    const id = (this.#last += 1);
    const message = { id, method, params, ...(sessionId && { sessionId }) };
    (this.#process.stdio[3] as Writable).write(`${JSON.stringify(message)}\0`);
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, ({ result, error }) => {
        if (error === undefined) resolve((result ?? {}) as Json);
        else reject(new Error(`${method}: ${JSON.stringify(error)}`));
      });
    });
  }

  listen(listener: (event: Json) => void): void {
    this.#listeners.add(listener);
  }

  #read(text: string): void {
    const parts = `${this.#rest}${text}`.split('\0');
    this.#rest = parts.pop() ?? '';
    for (const part of parts) {
      const message = JSON.parse(part) as Json;
      if (typeof message['id'] === 'number') this.#waiting.get(message['id'])?.(message);
      else for (const listener of this.#listeners) listener(message);
    }
  }
}

export class Tab {
  readonly seen: Seen = { messages: [], requests: [] };
  readonly #browser: Chromium;
  readonly #session: string;

  constructor(browser: Chromium, session: string) {
    this.#browser = browser;
    this.#session = session;
    browser.listen((event) => this.#hear(event));
  }

  async load(url: string): Promise<void> {
    for (const domain of ['Page', 'Runtime', 'Log', 'Network'])
      await this.#send(`${domain}.enable`);
    const loaded = new Promise<void>((resolve) => {
      this.#browser.listen(({ method, sessionId }) => {
        if (method === 'Page.loadEventFired' && sessionId === this.#session) resolve();
      });
    });
    await this.#send('Page.navigate', { url });
    await loaded;
    const at = this.seen.requests.indexOf(url);
    if (at === -1) throw new Error(`${url} was not loaded`);
    this.seen.requests.splice(at, 1);
  }

  async look({ width, height, scheme, media }: Look): Promise<void> {
    const mobile = width < 500;
    await this.#send('Emulation.setDeviceMetricsOverride', {
      width,
      height,
      mobile,
      deviceScaleFactor: 1,
    });
    const features = [{ name: 'prefers-color-scheme', value: scheme }];
    await this.#send('Emulation.setEmulatedMedia', { media, features });
  }

  /** The value of an expression in the page. */
  async read<T>(expression: string): Promise<T> {
    const answer = await this.#send('Runtime.evaluate', { expression, returnByValue: true });
    if (answer['exceptionDetails'] !== undefined) throw new Error(JSON.stringify(answer));
    return (answer['result'] as { value: T }).value;
  }

  /** The whole page as PNG. */
  async picture(): Promise<Buffer> {
    const { data } = await this.#send('Page.captureScreenshot', { captureBeyondViewport: true });
    return Buffer.from(String(data), 'base64');
  }

  #send(method: string, params: Json = {}): Promise<Json> {
    return this.#browser.send(method, params, this.#session);
  }

  #hear({ method, params, sessionId }: Json): void {
    if (sessionId !== this.#session) return;
    const said = params as Json;
    if (method === 'Network.requestWillBeSent') {
      this.seen.requests.push(String((said['request'] as Json)['url']));
    }
    const loud = ['Runtime.exceptionThrown', 'Runtime.consoleAPICalled', 'Log.entryAdded'];
    if (loud.includes(String(method))) this.seen.messages.push(JSON.stringify(said));
  }
}
