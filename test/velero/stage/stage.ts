import { mkdir } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import type { Access, App } from '../apps/index.ts';
import type { Tools } from '../kubectl.ts';
import { state } from '../layout.ts';
import { say } from '../say.ts';
import { until } from '../wait.ts';
import { accessTo } from './access.ts';
import { Sidecar } from './sidecar.ts';
import { Velero } from './velero.ts';

export interface Finding {
  readonly what: string;
  readonly ok: boolean;
  /** What was seen, where that says more than `ok`. */
  readonly seen: string;
}

/** A number of the run, for bench/results-cluster.md. */
export interface Measure {
  readonly what: string;
  readonly value: number;
  readonly unit: 'ms' | 's';
}

/** What a story plays on: the cluster with quiesce and Velero, and a record of what was seen. */
export class Stage {
  readonly tools: Tools;
  readonly velero: Velero;
  /** Distinguishes the names of Velero's objects between plays. */
  readonly tag: string;
  readonly findings: Finding[] = [];
  readonly measures: Measure[] = [];

  constructor(tools: Tools, tag: string) {
    this.tools = tools;
    this.tag = tag;
    this.velero = new Velero(tools);
  }

  /** Records whether something is as it must be. A story goes on after a failed one, and fails at its end. */
  expect(what: string, ok: boolean, seen: unknown = ''): void {
    const text = typeof seen === 'string' ? seen : JSON.stringify(seen);
    this.findings.push({ what, ok, seen: text });
    say(`  ${ok ? 'ok ' : 'NOT'} ${what}${ok || text === '' ? '' : `: ${text}`}`);
  }

  equal(what: string, seen: unknown, wanted: unknown): void {
    const ok = isDeepStrictEqual(seen, wanted);
    this.expect(what, ok, ok ? '' : { seen, wanted });
  }

  /** Records whether a text has what it must have. */
  match(what: string, seen: string, wanted: RegExp): void {
    this.expect(what, wanted.test(seen), `${seen.trim().slice(-600)} (not ${wanted})`);
  }

  measure(what: string, value: number, unit: Measure['unit'] = 'ms'): void {
    this.measures.push({ what, value, unit });
    say(`      ${what}: ${value.toFixed(unit === 'ms' ? 0 : 1)} ${unit}`);
  }

  access(namespace: string): Access {
    return accessTo(this.tools, namespace);
  }

  sidecar(namespace: string, pod: string): Sidecar {
    return new Sidecar(this.tools, namespace, pod);
  }

  /** Installs an application and does what its user does once. */
  async deploy(app: App): Promise<void> {
    await this.tools.apply(app.manifest());
    await this.ready(app.namespace, app.pods);
    await app.initialise(this.access(app.namespace));
  }

  async ready(namespace: string, pods: readonly string[], withinMs = 240_000): Promise<void> {
    for (const pod of pods) {
      const where = ['-n', namespace];
      await until(`pod ${namespace}/${pod}`, 120_000, async () => {
        return (await this.tools.tryKubectl(['get', 'pod', pod, ...where])).status === 0;
      });
      const timeout = `--timeout=${Math.round(withinMs / 1_000)}s`;
      await this.tools.kubectl(['wait', '--for=condition=Ready', `pod/${pod}`, ...where, timeout]);
    }
  }

  /** Deletes namespaces with all that is in them, and waits until they are gone. */
  async remove(...namespaces: readonly string[]): Promise<void> {
    const wait = ['--ignore-not-found', '--wait=true', '--timeout=180s'];
    // A namespace that still has pods is looked at again only after half of their grace period.
    const pods = namespaces.map((namespace) => {
      const all = ['delete', 'statefulsets,pods', '--all', '-n', namespace];
      return this.tools.kubectl([...all, '--wait=true', '--timeout=180s']);
    });
    await Promise.all(pods);
    await this.tools.kubectl(['delete', 'namespace', ...namespaces, ...wait]);
  }

  /** A path for a ledger. */
  async ledger(name: string): Promise<string> {
    await mkdir(state('ledgers'), { recursive: true });
    return state('ledgers', `${name}-${this.tag}`);
  }
}
