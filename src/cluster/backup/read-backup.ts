import { randomBytes } from 'node:crypto';
import { formatDuration } from '../../lib/duration.ts';
import { abortedWithin, lookUntil, unlessAborted } from '../../lib/deadline.ts';
import { QuiesceError } from '../../errors.ts';
import { didYouMean } from '../../lib/command-line/nearest.ts';
import type { ApiAnswer, ClusterConnection, PodConnection } from '../api/reader.ts';
import { type KubeObject, listAt, textAt } from '../objects/kube-object.ts';
import { forbidden } from '../api/rights.ts';
import { BOUNDS, readContents } from './contents.ts';
import { download, type Ways } from './download.ts';
import { openService } from './service.ts';

export interface BackupChoice {
  readonly name: string;
  /** Of Velero. */
  readonly namespace: string;
  /** The values of Secrets, too; absent: only their names. */
  readonly secrets?: boolean;
  /** For everything. */
  readonly timeoutMs: number;
  progress(sentence: string): void;
}

/** A backup of Velero, and the objects that it holds. */
export interface BackupContents {
  readonly backup: KubeObject;
  readonly objects: readonly KubeObject[];
}

const GROUP = 'velero.io';
const API = 'velero.io/v1';
const LOOK_EVERY_MS = 250;
/** With contents in the storage. */
const DONE = new Set(['Completed', 'PartiallyFailed']);
const NEVER = new Set(['Failed', 'FailedValidation', 'Deleting']);

/**
 * Reads what a backup holds. Velero itself knows the storage: it answers a DownloadRequest with a URL.
 *
 * @throws QuiesceError BACKUP_NOT_FOUND, BACKUP_NOT_COMPLETED, BACKUP_UNREACHABLE, BACKUP_INVALID,
 * FORBIDDEN, CLUSTER_UNREACHABLE
 */
export async function readBackup(
  connection: PodConnection,
  choice: BackupChoice,
  signal: AbortSignal,
): Promise<BackupContents> {
  const api = new VeleroApi(connection, choice.namespace);
  const limit = abortedWithin(choice.timeoutMs, signal);
  try {
    choice.progress(`reading the backup ${choice.name}`);
    const backup = await completed(api, choice.name);
    const location = await locationOf(api, backup);
    choice.progress('asking Velero for its contents');
    const url = await urlOf(api, choice.name, location, limit);
    choice.progress('downloading its contents');
    const ways: Ways = {
      ca: location.ca,
      openService: (service) => openService(connection, service, limit),
    };
    const { secrets = false } = choice;
    return { backup, objects: await contentsAt(url, ways, secrets, limit) };
  } catch (error) {
    if (error instanceof QuiesceError || !limit.aborted || signal.aborted) throw error;
    throw late(choice.timeoutMs);
  }
}

async function contentsAt(
  url: string,
  ways: Ways,
  secrets: boolean,
  signal: AbortSignal,
): Promise<readonly KubeObject[]> {
  const answer = await download(url, ways, signal);
  let broken: Error | undefined;
  answer.once('error', (error) => (broken = error));
  try {
    return await unlessAborted(readContents(answer, BOUNDS, secrets), signal);
  } catch (error) {
    if (broken === undefined || signal.aborted) throw error;
    // What came is damaged because the rest did not come.
    const message = `The storage of the backup, ${new URL(url).host}, broke off: ${broken.message}.`;
    throw new QuiesceError('BACKUP_UNREACHABLE', message, { hint: 'Run it again.' });
  }
}

function late(ms: number): QuiesceError {
  const message = `The contents of the backup were not here within ${formatDuration(ms)}.`;
  return new QuiesceError('BACKUP_UNREACHABLE', message, { hint: 'Raise --timeout.' });
}

async function completed(api: VeleroApi, name: string): Promise<KubeObject> {
  const backup = await api.get('backups', name);
  if (backup === undefined) throw await notFound(api, name);
  const phase = textAt(backup, 'status', 'phase') ?? 'New';
  if (DONE.has(phase) && backup.metadata?.deletionTimestamp === undefined) return backup;
  const never = NEVER.has(phase) || backup.metadata?.deletionTimestamp !== undefined;
  throw new QuiesceError(
    'BACKUP_NOT_COMPLETED',
    `The backup ${name} is ${phase}: ${never ? 'it has no contents to read' : 'its contents are not stored yet'}.`,
    { hint: never ? 'Choose another backup: velero backup get.' : 'Wait until it is Completed.' },
  );
}

async function notFound(api: VeleroApi, name: string): Promise<QuiesceError> {
  const all = await api.list('backups').catch(() => []);
  if (all === undefined) {
    const message = `The cluster has no backups of Velero: it does not serve ${GROUP}.`;
    return new QuiesceError('BACKUP_NOT_FOUND', message, { hint: 'Choose its --context.' });
  }
  const names = all.flatMap(({ metadata }) => metadata?.name ?? []);
  const hint = `${didYouMean(name, names)}velero backup get lists them; --velero-namespace says where Velero runs.`;
  const message = `There is no backup ${name} in the namespace ${api.namespace}.`;
  return new QuiesceError('BACKUP_NOT_FOUND', message, { hint });
}

interface Location {
  readonly name: string;
  /** Why Velero cannot use it. */
  readonly wrong: string | undefined;
  /** Certificates of the storage, as PEM. */
  readonly ca: string | undefined;
}

/** What is known of the storage. Without the right to read it, nothing is. */
async function locationOf(api: VeleroApi, backup: KubeObject): Promise<Location> {
  const name = textAt(backup, 'spec', 'storageLocation') ?? 'default';
  const found = await api.get('backupstoragelocations', name).catch(() => undefined);
  const ca = textAt(found, 'spec', 'objectStorage', 'caCert');
  const phase = textAt(found, 'status', 'phase');
  const why = textAt(found, 'status', 'message') ?? '';
  return {
    name,
    wrong: phase === 'Unavailable' ? `Unavailable${why === '' ? '' : ` (${why})`}` : undefined,
    ca: ca === undefined ? undefined : Buffer.from(ca, 'base64').toString('utf8'),
  };
}

/** Velero removes requests after ten minutes; this one goes at once, as its answer is a credential. */
async function urlOf(
  api: VeleroApi,
  backup: string,
  location: Location,
  signal: AbortSignal,
): Promise<string> {
  const name = `quiesce-${randomBytes(8).toString('hex')}`;
  await api.create('downloadrequests', {
    apiVersion: API,
    kind: 'DownloadRequest',
    metadata: { name, namespace: api.namespace },
    spec: { target: { kind: 'BackupContents', name: backup } },
  });
  try {
    const look = async (): Promise<string | undefined> => {
      const request = await api.get('downloadrequests', name);
      const url = textAt(request, 'status', 'downloadURL');
      return url === '' ? undefined : url;
    };
    return await lookUntil(look, LOOK_EVERY_MS, signal);
  } catch (error) {
    throw signal.aborted && isLate(signal) ? unanswered(api, location) : error;
  } finally {
    await api.remove('downloadrequests', name).catch(() => undefined);
  }
}

function isLate({ reason }: AbortSignal): boolean {
  return reason instanceof Error && reason.name === 'TimeoutError';
}

function unanswered({ namespace }: VeleroApi, { name, wrong }: Location): QuiesceError {
  const why = wrong === undefined ? '' : ` Its BackupStorageLocation ${name} is ${wrong}.`;
  const message = `Velero gave no URL for the contents of the backup.${why}`;
  const hint = `Look at its log: kubectl -n ${namespace} logs deploy/velero.`;
  return new QuiesceError('BACKUP_UNREACHABLE', message, { hint });
}

/** Velero's own objects, in its namespace. */
class VeleroApi {
  readonly namespace: string;
  readonly #connection: ClusterConnection;

  constructor(connection: ClusterConnection, namespace: string) {
    this.#connection = connection;
    this.namespace = namespace;
  }

  /** `undefined`: there is no such object, or no such kind. */
  async get(plural: string, name: string): Promise<KubeObject | undefined> {
    const path = `${this.#root(plural)}/${encodeURIComponent(name)}`;
    const { status, body } = await this.#ask('get', plural, () => this.#connection.get(path));
    return status === 404 ? undefined : (body as KubeObject);
  }

  /** `undefined`: there is no such kind. */
  async list(plural: string): Promise<readonly KubeObject[] | undefined> {
    const path = `${this.#root(plural)}?limit=500`;
    const { status, body } = await this.#ask('list', plural, () => this.#connection.get(path));
    return status === 404 ? undefined : (listAt(body, 'items') as readonly KubeObject[]);
  }

  async create(plural: string, object: KubeObject): Promise<void> {
    await this.#ask('create', plural, () =>
      this.#connection.send('POST', this.#root(plural), object),
    );
  }

  async remove(plural: string, name: string): Promise<void> {
    await this.#connection.send('DELETE', `${this.#root(plural)}/${name}`);
  }

  #root(plural: string): string {
    return `/apis/${API}/namespaces/${this.namespace}/${plural}`;
  }

  async #ask(verb: string, resource: string, call: () => Promise<ApiAnswer>): Promise<ApiAnswer> {
    const answer = await call().catch((error: unknown) => {
      const reason = error instanceof Error ? error.message : String(error);
      const message = `${this.#connection.name} does not answer: ${reason}.`;
      throw new QuiesceError('CLUSTER_UNREACHABLE', message, { cause: error });
    });
    const { status, body } = answer;
    if (status < 300 || (status === 404 && verb !== 'create')) return answer;
    const reason = textAt(body, 'message') ?? `the API answered ${status}`;
    if (status === 403) {
      const namespace = this.namespace;
      const right = { verb, group: GROUP, resource, namespace };
      throw forbidden([right], reason, [right], 'quiesce-plan');
    }
    const message = `${this.#connection.name} refuses to ${verb} ${resource}: ${reason.replace(/\.$/, '')}.`;
    throw new QuiesceError('CLUSTER_UNREACHABLE', message);
  }
}
