import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { type Manifest, one } from './helm.ts';
import { freePort } from './webhook.ts';

export interface Alert {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly state: string;
}

/** A real Prometheus with the chart's rules, which scrapes the exporter as the chart's ServiceMonitor says. */
export class Prometheus {
  readonly #process: ChildProcess;
  readonly #address: string;

  private constructor(process: ChildProcess, address: string) {
    this.#process = process;
    this.#address = address;
  }

  /**
   * @param dir an empty folder of its own
   * @param manifests the rendered chart
   * @param target where the exporter listens
   */
  static async start(
    dir: string,
    manifests: readonly Manifest[],
    target: string,
  ): Promise<Prometheus> {
    await writeFile(join(dir, 'rules.yaml'), stringify(one(manifests, 'PrometheusRule')['spec']));
    await writeFile(join(dir, 'prometheus.yaml'), stringify(configOf(manifests, target)));
    const address = `127.0.0.1:${await freePort()}`;
    const args = [
      `--config.file=${join(dir, 'prometheus.yaml')}`,
      `--storage.tsdb.path=${join(dir, 'data')}`,
      `--web.listen-address=${address}`,
    ];
    return new Prometheus(spawn('prometheus', args, { stdio: 'ignore' }), address);
  }

  async isReady(): Promise<boolean> {
    const answer = await fetch(`http://${this.#address}/-/ready`).catch(() => undefined);
    return answer?.status === 200;
  }

  /** Whether it has scraped a metric. */
  async has(name: string): Promise<boolean> {
    const answer = await fetch(`http://${this.#address}/api/v1/query?query=${name}`);
    const { data } = (await answer.json()) as { data: { result: readonly unknown[] } };
    return data.result.length > 0;
  }

  /** The alerts of a name that fire. */
  async firing(name: string): Promise<readonly Alert[]> {
    try {
      const answer = await fetch(`http://${this.#address}/api/v1/alerts`);
      const { data } = (await answer.json()) as { data: { alerts: Alert[] } };
      return data.alerts.filter(
        ({ labels, state }) => labels['alertname'] === name && state === 'firing',
      );
    } catch {
      return [];
    }
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    this.#process.kill('SIGKILL');
    await once(this.#process, 'exit');
  }
}

function configOf(manifests: readonly Manifest[], target: string): object {
  const [endpoint] = (
    one(manifests, 'ServiceMonitor', /-exporter$/)['spec'] as {
      endpoints: { honorLabels: boolean; path: string }[];
    }
  ).endpoints;
  const labels = { namespace: 'quiesce-system', pod: 'quiesce-exporter-a' };
  return {
    global: { scrape_interval: '1s', evaluation_interval: '1s' },
    rule_files: ['rules.yaml'],
    scrape_configs: [
      {
        job_name: 'quiesce-exporter',
        honor_labels: endpoint?.honorLabels,
        metrics_path: endpoint?.path,
        static_configs: [{ targets: [target], labels }],
      },
    ],
  };
}
