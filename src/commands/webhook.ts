import closeWithGrace from 'close-with-grace';
import { ownNamespace, startWebhook, type Webhook } from '../cluster/webhook/webhook.ts';
import { readWebhookOptions } from '../cluster/webhook/options.ts';
import { toQuiesceError } from '../errors.ts';

const HELP = `Usage: quiesce webhook --image REF [flags]

A mutating admission webhook: adds the sidecar, its volumes and the Velero annotations to every pod
with the label quiesce.dev/inject: "true". docs/webhook.md has the whole.

  --image REF                image of the containers that are added (required)
  --image-pull-policy P      Always | IfNotPresent | Never        (the cluster's)
  --failure-policy P         Ignore | Fail: pods with bad annotations  (Ignore)
  --addr HOST:PORT           HTTPS for the API server             (0.0.0.0:9443)
  --metrics-addr HOST:PORT   metrics and health                   (0.0.0.0:9095)
  --certificates MODE        self-managed | files                 (self-managed)
  --service NAME             self-managed: of the certificate     (quiesce-webhook)
  --namespace NAME           self-managed: of Service and Secret  (the pod's own)
  --secret NAME              self-managed: shared by replicas     (quiesce-webhook-tls)
  --configuration NAME       self-managed: whose caBundle is kept (quiesce)
  --certificate-lifetime D   self-managed                         (2160h)
  --ca-lifetime D            self-managed                         (26280h)
  --cert-dir DIR             files: tls.crt and tls.key           (/etc/quiesce/tls)
  --hook-timeout D           Velero's, where a pod names none     (30s)
  --cpu-request Q            of the sidecar                       (10m)
  --memory-request Q         of the sidecar                       (64Mi)
  --memory-limit Q           of the sidecar                       (256Mi)
  --shutdown-delay D         still serving after SIGTERM          (5s)
  --log-level L              trace … fatal, silent                (info)

Each may be an environment variable: QUIESCE_WEBHOOK_IMAGE, …; the flag wins.
Exit codes: 0 stopped, 2 bad flags or an address in use, 1 unexpected.
`;

/** Under the kubelet's 30 seconds, and longer than the delay and a request. */
const STOP_WITHIN_MS = 25_000;

/** The verb `webhook`. @returns the exit code, where it could not start. */
export async function run(args: readonly string[]): Promise<number> {
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(HELP);
    return 0;
  }
  try {
    const options = readWebhookOptions(args, process.env, await ownNamespace());
    return await untilStopped(await startWebhook(options));
  } catch (error) {
    const known = toQuiesceError(error);
    const detail = known.code === 'INTERNAL' && error instanceof Error ? ` ${error.stack}` : '';
    process.stderr.write(`quiesce: ${known.code}: ${known.message}${detail} Hint: ${known.hint}\n`);
    return known.exit;
  }
}

/** Never resolves: the process ends when it was told to. */
function untilStopped(webhook: Webhook): Promise<number> {
  return new Promise(() => {
    closeWithGrace({ delay: STOP_WITHIN_MS, logger: false }, async ({ err }) => {
      if (err) process.stderr.write(`quiesce: INTERNAL: ${err.stack}\n`);
      await webhook.stop();
    });
  });
}
