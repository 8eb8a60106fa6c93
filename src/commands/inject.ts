import { readFile } from 'node:fs/promises';
import { text as readAll } from 'node:stream/consumers';
import { FlagReader, INJECT_FLAGS, readInjectConfig } from '../cluster/inject/flags.ts';
import { describeReports, injectManifest } from '../cluster/inject/manifest.ts';
import { QuiesceError, toQuiesceError } from '../errors.ts';

const HELP = `Usage: quiesce inject -f FILE --image REF [flags]

Prints a manifest with the sidecar, its volumes and the Velero annotations in every pod template that
has the label quiesce.dev/inject: "true": what the webhook adds, for GitOps and for clusters that allow
no webhooks. What is not touched stays to the letter. Injecting the result again changes nothing.

  -f, --filename FILE      YAML or JSON, one or more objects; - reads standard input
  --image REF              image of the containers that are added (required)
  --image-pull-policy P    Always | IfNotPresent | Never     (the cluster's)
  --hook-timeout D         Velero's, where a pod names none  (30s)
  --cpu-request Q          of the sidecar                    (10m)
  --memory-request Q       of the sidecar                    (64Mi)
  --memory-limit Q         of the sidecar                    (256Mi)

What was done, and what its owner should know, is told on standard error.
Exit codes: 0 at least one pod has all it needs, 2 bad flags, manifest or annotations, or nothing to
inject in it (then nothing is printed), 1 unexpected.
`;

/** The verb `inject`. @returns the exit code. */
export async function run(args: readonly string[]): Promise<number> {
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(HELP);
    return 0;
  }
  try {
    const flags = { ...INJECT_FLAGS, filename: '' };
    const reader = new FlagReader('inject', flags, args, process.env, { filename: 'f' });
    const config = readInjectConfig(reader);
    const file = reader.matching('filename', /./);
    reader.finish();
    const { text, reports } = injectManifest(await read(file), config);
    const summary = describeReports(reports);
    // A pipeline that goes on with an unprotected manifest would take it for a protected one.
    if (reports.every(({ outcome }) => outcome === 'skipped')) {
      const sentence = summary.replaceAll('\n  ', ': ').replaceAll('\n', ' ');
      throw new QuiesceError('MANIFEST_INVALID', sentence);
    }
    process.stdout.write(text);
    process.stderr.write(`${summary}\n`);
    return 0;
  } catch (error) {
    const known = toQuiesceError(error);
    const detail = known.code === 'INTERNAL' && error instanceof Error ? ` ${error.stack}` : '';
    process.stderr.write(`quiesce: ${known.code}: ${known.message}${detail} Hint: ${known.hint}\n`);
    return known.exit;
  }
}

async function read(file: string): Promise<string> {
  if (file === '-') return await readAll(process.stdin);
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
    throw new QuiesceError('MANIFEST_INVALID', `${file} cannot be read (${code}).`);
  }
}
