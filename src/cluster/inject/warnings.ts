import { type EngineName, entryOf } from '../../engines/names.ts';
import type { Additions } from './container.ts';
import { Environment } from './environment.ts';
import type { Database } from './find-database.ts';
import { durationText, type Notice } from './hooks.ts';
import { unknownLogin } from './login.ts';
import {
  ANNOTATIONS,
  FILE_BACKUP,
  FILE_BACKUP_EXCLUDES,
  RUN_VOLUME,
  STATE_VOLUME,
} from '../objects/names.ts';
import type { Pod } from '../objects/pod.ts';
import type { PodSettings } from './settings.ts';
import { persistentVolumes } from './volumes.ts';

interface WarningInput {
  /** The user's own annotations. */
  readonly user: Readonly<Record<string, string>>;
  readonly settings: PodSettings;
  readonly engine: EngineName;
  readonly database: Database;
  readonly additions: Additions;
  readonly hookTimeoutMs: number;
  /** The platform chooses the users. */
  readonly platform: boolean;
}

/** Notices about an injection that works but may not do what the pod's owner expects. */
export function findWarnings(pod: Pod, input: WarningInput): readonly Notice[] {
  return [
    ...dataWarnings(input),
    ...userWarnings(input),
    ...copyWarnings(pod, input),
    ...leaseWarnings(input),
    ...stateWarnings(input),
    ...serverWarnings(input),
  ];
}

/** The volume names in an annotation's list. */
export function splitList(text: string | undefined): readonly string[] {
  return (text ?? '').split(',').map((one) => one.trim());
}

function* dataWarnings({ additions: { data, elsewhere } }: WarningInput): Iterable<Notice> {
  if (elsewhere !== undefined) {
    const message = `the data is in ${elsewhere}, where no volume is mounted: no backup contains it, and it is lost with its container. Mount the volume there or above it`;
    yield { code: 'DataNotOnVolume', message };
  } else if (data === undefined) {
    const message =
      'no volume with the data was found: freezes leave no receipt on the volume, and restores are not prepared';
    yield { code: 'DataNotFound', message };
  } else if (data.ephemeral) {
    const message = `the data is in the emptyDir ${data.volume}, which no snapshot contains and which is lost with its pod`;
    yield { code: 'DataEphemeral', message };
  } else if (data.onHost) {
    const message = `the data is in the hostPath ${data.volume}, which Velero cannot copy`;
    yield { code: 'DataOnHost', message };
  }
}

function* userWarnings({ additions: { sidecar }, platform }: WarningInput): Iterable<Notice> {
  if (platform || sidecar.securityContext?.runAsUser !== undefined) return;
  const message =
    "the database's user is unknown: set runAsUser, or the sidecar may be unable to read the data";
  yield { code: 'UserUnknown', message };
}

function* copyWarnings(
  pod: Pod,
  { user, settings, engine, additions }: WarningInput,
): Iterable<Notice> {
  const { data, mounts } = additions;
  const files = data !== undefined && splitList(user[FILE_BACKUP]).includes(data.volume);
  if (files && settings.copy !== undefined && settings.copy !== 'files') {
    const message = `${FILE_BACKUP} copies ${data.volume} file by file, but ${ANNOTATIONS.copy} is ${settings.copy}`;
    yield { code: 'CopyContradicts', message };
  } else if (files && settings.copy === undefined) {
    const message = `${FILE_BACKUP} copies ${data.volume} file by file, so ${ANNOTATIONS.copy} was set to files`;
    yield { code: 'CopyFiles', message };
  }
  const volumes = persistentVolumes(pod, mounts, data);
  if (!files && volumes.length > 1 && (settings.copy ?? 'snapshot') === 'snapshot') {
    const message = `the database has several volumes (${volumes.join(', ')}): a freeze is refused if more than one of them has data`;
    yield { code: 'SeveralVolumes', message };
  }
  if (settings.copy !== undefined && entryOf(engine).copiedAfterThaw?.includes(settings.copy)) {
    const message = `${ANNOTATIONS.copy} is ${settings.copy}, for which a volume must be copied after the thaw: Velero copies all of them before it, so the freezes of its backups are refused`;
    yield { code: 'CopiedTooEarly', message };
  }
}

function* leaseWarnings({ settings: { ttlMs }, hookTimeoutMs }: WarningInput): Iterable<Notice> {
  if (ttlMs === undefined || ttlMs >= hookTimeoutMs) return;
  const message = `${ANNOTATIONS.ttl} is ${durationText(ttlMs)}, but the timeout of the thaw's hook is ${durationText(hookTimeoutMs)}: the lease may end before the thaw`;
  yield { code: 'TtlTooShort', message };
}

function* serverWarnings({ database, additions: { sidecar } }: WarningInput): Iterable<Notice> {
  const login = unknownLogin(database, sidecar);
  if (login !== undefined) yield { code: 'LoginUnknown', message: login };
  const { container, profile } = database;
  const nothing = profile.savesNothing?.(container, new Environment(container));
  if (nothing !== undefined) {
    const message = `the server keeps nothing on disk: ${nothing}. Every freeze will fail until it saves`;
    yield { code: 'NothingSaved', message };
  }
}

function* stateWarnings({ user }: WarningInput): Iterable<Notice> {
  const given = user[FILE_BACKUP_EXCLUDES];
  const excluded = splitList(given);
  if (given === undefined || [RUN_VOLUME, STATE_VOLUME].every((one) => excluded.includes(one)))
    return;
  const message = `this pod already has ${FILE_BACKUP_EXCLUDES}, which is kept: add ${RUN_VOLUME},${STATE_VOLUME} to it`;
  yield { code: 'StateNotExcluded', message };
}
