import type { Parts } from './container.ts';
import { durationText, type Notice } from './hooks.ts';
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

interface Input {
  /** The annotations that are the user's own. */
  readonly user: Readonly<Record<string, string>>;
  readonly settings: PodSettings;
  readonly parts: Parts;
  readonly hookTimeoutMs: number;
}

/** What was done as well as it can be, and its owner should know. */
export function doubts(pod: Pod, input: Input): readonly Notice[] {
  return [
    ...aboutData(input),
    ...aboutUser(input),
    ...aboutCopy(pod, input),
    ...aboutLease(input),
    ...aboutState(input),
  ];
}

/** The volumes in an annotation's list. */
export function list(text: string | undefined): readonly string[] {
  return (text ?? '').split(',').map((one) => one.trim());
}

function* aboutData({ parts: { data } }: Input): Iterable<Notice> {
  if (data === undefined) {
    const message =
      'no volume of the data was found: no proof is written beside the data, and a restore is not prepared';
    yield { code: 'DataNotFound', message };
  } else if (data.ephemeral) {
    const message = `the data lies in the emptyDir ${data.volume}, which is in no backup`;
    yield { code: 'DataEphemeral', message };
  } else if (data.onHost) {
    const message = `the data lies in the hostPath ${data.volume}, which Velero copies by no method`;
    yield { code: 'DataOnHost', message };
  }
}

function* aboutUser({ parts: { sidecar } }: Input): Iterable<Notice> {
  if (sidecar.securityContext?.runAsUser !== undefined) return;
  const message =
    'nothing tells the user of the database: set runAsUser, or the sidecar may not read the data';
  yield { code: 'UserUnknown', message };
}

function* aboutCopy(pod: Pod, { user, settings, parts }: Input): Iterable<Notice> {
  const { data, mounts } = parts;
  const files = data !== undefined && list(user[FILE_BACKUP]).includes(data.volume);
  if (files && settings.copy !== undefined && settings.copy !== 'files') {
    const message = `${FILE_BACKUP} copies ${data.volume} file by file, but ${ANNOTATIONS.copy} is ${settings.copy}`;
    yield { code: 'CopyContradicts', message };
  } else if (files && settings.copy === undefined) {
    const message = `${FILE_BACKUP} copies ${data.volume} file by file: ${ANNOTATIONS.copy} was set to files`;
    yield { code: 'CopyFiles', message };
  }
  const volumes = persistentVolumes(pod, mounts);
  if (!files && volumes.length > 1 && (settings.copy ?? 'snapshot') === 'snapshot') {
    const message = `the database has several volumes (${volumes.join(', ')}): set ${ANNOTATIONS.copy} to volumes if data lies on more than one`;
    yield { code: 'SeveralVolumes', message };
  }
}

function* aboutLease({ settings: { ttlMs }, hookTimeoutMs }: Input): Iterable<Notice> {
  if (ttlMs === undefined || ttlMs >= hookTimeoutMs) return;
  const message = `${ANNOTATIONS.ttl} is ${durationText(ttlMs)}, and the thaw's hook alone has ${durationText(hookTimeoutMs)}: the lease may end before the thaw`;
  yield { code: 'TtlTooShort', message };
}

function* aboutState({ user }: Input): Iterable<Notice> {
  const given = user[FILE_BACKUP_EXCLUDES];
  const excluded = list(given);
  if (given === undefined || [RUN_VOLUME, STATE_VOLUME].every((one) => excluded.includes(one)))
    return;
  const message = `${FILE_BACKUP_EXCLUDES} is the user's own and stays: add ${RUN_VOLUME},${STATE_VOLUME} to it`;
  yield { code: 'StateNotExcluded', message };
}
