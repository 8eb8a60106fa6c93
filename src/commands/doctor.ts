import { parseArgs } from 'node:util';
import { connectReader, type ClusterReader } from '../cluster/api/reader.ts';
import { examine } from '../cluster/doctor/examine.ts';
import { secretUses } from '../cluster/doctor/rules/credentials.ts';
import { survey } from '../cluster/inventory/survey.ts';
import { readInventory } from '../cluster/inventory/read-manifests.ts';
import { readCluster } from '../cluster/inventory/read-cluster.ts';
import type { Inventory } from '../cluster/inventory/catalog.ts';
import { probe } from '../cluster/doctor/probe.ts';
import { describe, diagnose, exitOf } from '../cluster/doctor/report.ts';
import { type Finding, SEVERITIES, type Severity } from '../cluster/doctor/rule.ts';
import { QuiesceError, toQuiesceError } from '../errors.ts';

const HELP = `Usage: quiesce doctor [-n NAMESPACE]... [flags]
       quiesce doctor -f FILE|DIR|-... [flags]

Looks at a cluster, or at manifests, and names everything with volumes that is unprotected or
half-configured, what is wrong around it (Velero, snapshot classes, the webhook), and how to mend it.
Reads only. docs/doctor.md lists what it finds.

  -A, --all-namespaces       every namespace                        (default)
  -n, --namespace NAME       only this one; may be repeated
  -f, --filename PATH        manifests instead of a cluster: files, folders, - for standard input;
                             may be repeated
      --whole-cluster        with -f: what is not in the manifests does not exist
      --context NAME         of the kubeconfig                      (its current one)
      --kubeconfig FILE      (KUBECONFIG, ~/.kube/config, or the pod's service account)
      --probe                also ask every running sidecar whether it reaches its database and has its
                             grants: quiesce status and metadata in its container (pods/exec)
      --velero-namespace NS  where Velero is, with -n               (velero)
      --fail-on SEVERITY     error | warning | info: from which on a finding fails   (warning)
  -o, --output text|json

What the credentials may not read is a finding of its own, NOT_LOOKED_AT. Of Secrets that a sidecar
uses the names of the keys are read, where that is allowed, and nothing else.

Exit codes: 0 everything was looked at and nothing found that fails, 7 findings at or above --fail-on,
2 bad flags or manifests, no cluster, or something that was not looked at, 1 unexpected.
`;

/** A look that is over by then shows no progress. */
const QUIET_MS = 2_000;

interface Options {
  readonly files: readonly string[];
  readonly namespaces: readonly string[] | undefined;
  readonly whole: boolean;
  readonly context: string | undefined;
  readonly kubeconfig: string | undefined;
  readonly veleroNamespace: string;
  readonly failOn: Severity;
  readonly json: boolean;
  readonly probe: boolean;
}

/** The verb `doctor`. @returns the exit code. */
export async function run(args: readonly string[]): Promise<number> {
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(HELP);
    return 0;
  }
  try {
    const options = readOptions(args);
    const { inventory, source, probed } = await look(options);
    const examined = examine(inventory, probed);
    if (options.files.length > 0 && options.namespaces && examined.workloads.length === 0) {
      const message = `Nothing in these files runs in ${options.namespaces.join(', ')}.`;
      throw new QuiesceError('MANIFEST_INVALID', message, { hint: 'Mend --namespace.' });
    }
    const diagnosis = diagnose(examined, { ...inventory, source });
    const text = options.json ? JSON.stringify(diagnosis, null, 2) : describe(diagnosis);
    process.stdout.write(`${text}\n`);
    return exitOf(diagnosis, options.failOn);
  } catch (error) {
    const known = toQuiesceError(error);
    const detail = known.code === 'INTERNAL' && error instanceof Error ? ` ${error.stack}` : '';
    process.stderr.write(`quiesce: ${known.code}: ${known.message}${detail} Hint: ${known.hint}\n`);
    return known.exit;
  }
}

interface Seen {
  readonly inventory: Inventory;
  readonly source: string;
  /** What sidecars said themselves. */
  readonly probed: readonly Finding[];
}

async function look(options: Options): Promise<Seen> {
  const { files, namespaces, whole, veleroNamespace } = options;
  const now = Date.now();
  if (files.length > 0) {
    const inventory = await readInventory(files, { whole, namespaces, now });
    const source = files.map((one) => (one === '-' ? 'stdin' : one)).join(', ');
    return { inventory, source, probed: [] };
  }
  const reader = connect(options);
  const progress = new Progress();
  try {
    const inventory = await readCluster(reader, {
      namespaces,
      veleroNamespace,
      now,
      secretsOf: secretUses,
      progress: (sentence) => progress.say(sentence),
    });
    if (!options.probe) return { inventory, source: reader.name, probed: [] };
    progress.say('asking the sidecars');
    const { facts } = survey(inventory).around;
    const probed = await probe(facts, (place, command) => reader.run(place, command));
    return { inventory, source: reader.name, probed };
  } finally {
    progress.end();
  }
}

function connect({ context, kubeconfig }: Options): ClusterReader {
  try {
    return connectReader({ context, kubeconfig });
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    throw new QuiesceError('CLUSTER_UNREACHABLE', `No cluster: ${reason}.`, { cause: error });
  }
}

function readOptions(args: readonly string[]): Options {
  const values = parse(args);
  const files = values.filename ?? [];
  const names = values.namespace ?? [];
  const bad = names.find((name) => !/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name));
  if (bad !== undefined) throw usage(`--namespace cannot be ${JSON.stringify(bad.slice(0, 60))}.`);
  if (values['all-namespaces'] === true && names.length > 0) {
    throw usage('-A and --namespace exclude each other.');
  }
  const whole = values['whole-cluster'] === true;
  if (whole && files.length === 0) throw usage('--whole-cluster goes with -f.');
  if (values.probe === true && files.length > 0)
    throw usage('--probe asks pods: it needs a cluster.');
  if (files.length > 0 && (values.context !== undefined || values.kubeconfig !== undefined)) {
    throw usage('-f looks at manifests: --context and --kubeconfig are for a cluster.');
  }
  return {
    files,
    namespaces: names.length > 0 ? names : undefined,
    whole,
    context: values.context,
    kubeconfig: values.kubeconfig,
    veleroNamespace: values['velero-namespace'] ?? 'velero',
    failOn: oneOf('--fail-on', SEVERITIES, values['fail-on'] ?? 'warning'),
    json: oneOf('--output', ['text', 'json'], values.output ?? 'text') === 'json',
    probe: values.probe === true,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        'all-namespaces': { type: 'boolean', short: 'A' },
        namespace: { type: 'string', short: 'n', multiple: true },
        filename: { type: 'string', short: 'f', multiple: true },
        'whole-cluster': { type: 'boolean' },
        probe: { type: 'boolean' },
        context: { type: 'string' },
        kubeconfig: { type: 'string' },
        'velero-namespace': { type: 'string' },
        'fail-on': { type: 'string' },
        output: { type: 'string', short: 'o' },
      },
      strict: true,
      allowPositionals: false,
    }).values;
  } catch (error) {
    throw usage(error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error));
  }
}

function oneOf<T extends string>(flag: string, allowed: readonly T[], value: string): T {
  const found = allowed.find((one) => one === value);
  if (found === undefined) throw usage(`${flag} must be one of ${allowed.join(', ')}.`);
  return found;
}

function usage(message: string): QuiesceError {
  return new QuiesceError('USAGE', message, { hint: 'quiesce doctor --help' });
}

/** One line on a terminal, once it takes long. */
class Progress {
  readonly #begun = performance.now();
  #shown = false;

  say(sentence: string): void {
    if (!process.stderr.isTTY || performance.now() - this.#begun < QUIET_MS) return;
    this.#shown = true;
    process.stderr.write(`\r\u001B[K${sentence} ...`);
  }

  end(): void {
    if (this.#shown) process.stderr.write('\r\u001B[K');
  }
}
