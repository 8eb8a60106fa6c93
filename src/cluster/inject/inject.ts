import type { CopyMethod } from '../../receipt/receipt.ts';
import { buildParts, isSidecar, type Parts } from './container.ts';
import { doubts, list } from './warnings.ts';
import { type Database, findDatabase } from './find-database.ts';
import { type Notice, planHooks } from './hooks.ts';
import { layContainer, layVolumes } from './overlay.ts';
import {
  ANNOTATIONS,
  CONTAINER,
  DEFAULT_CONTAINER,
  FILE_BACKUP,
  FILE_BACKUP_EXCLUDES,
  INIT_CONTAINER,
  INJECT_LABEL,
  RESTORE_LABEL,
  RUN_VOLUME,
  STATE_VOLUME,
} from '../objects/names.ts';
import type { InjectConfig } from './options.ts';
import { diff, type Operation } from '../objects/json-patch.ts';
import type { Pod, PodSpec } from '../objects/pod.ts';
import type { FieldIssue } from '../objects/names.ts';
import { type PodSettings, readSettings } from './settings.ts';
import { OWN_VOLUMES } from './volumes.ts';

export type { Notice } from './hooks.ts';

/** What is to be done with a pod. */
export type Injection =
  | {
      readonly outcome: 'injected';
      /** Makes `pod` of the pod that was given; empty where nothing is to be done. */
      readonly patch: readonly Operation[];
      readonly pod: Pod;
      readonly notices: readonly Notice[];
    }
  | { readonly outcome: 'skipped'; readonly code: SkipCode; readonly message: string }
  | { readonly outcome: 'invalid'; readonly issues: readonly FieldIssue[] };

export type SkipCode = 'NotOptedIn' | 'RunsToCompletion' | 'Windows' | 'NameTaken';

type Annotations = Readonly<Record<string, string>>;

/**
 * Decides what a pod needs to be backed up truly. A pure function: the same pod and configuration give
 * the same patch, and a pod that has been patched needs nothing more, also after the API server has put
 * in its defaults and after a restore. What is older is brought up to date, field by field.
 */
export function inject(pod: Pod, config: InjectConfig): Injection {
  const skip = skipReason(pod);
  if (skip) return { outcome: 'skipped', ...skip };
  const annotations = pod.metadata?.annotations ?? {};
  const user = usersOwn(annotations);
  const { settings, issues, ignored } = readSettings(user);
  if (issues.length > 0) return { outcome: 'invalid', issues };
  const database = findDatabase(pod, settings);
  if ('field' in database) return { outcome: 'invalid', issues: [database] };

  const parts = buildParts({ pod, database, settings, copy: settings.copy, config });
  const copy = copyOf(user, settings, parts);
  const final =
    copy === settings.copy ? parts : buildParts({ pod, database, settings, copy, config });
  const hookTimeoutMs = settings.hookTimeoutMs ?? config.hookTimeoutMs;
  const hooks = planHooks(user, hookTimeoutMs);
  const own = ownAnnotations(user, database, copy, hooks.annotations);
  const changed = assemble(pod, final, {
    ...user,
    ...own,
    [ANNOTATIONS.written]: JSON.stringify(own),
  });
  const notices = [
    ...ignored.map(ignoredNotice),
    ...hooks.notices,
    ...doubts(pod, { user, settings, parts: final, hookTimeoutMs }),
  ];
  return { outcome: 'injected', patch: diff(pod, changed), pod: changed, notices };
}

/** Tells of an annotation that was left unread. */
export function ignoredNotice({ field, message }: FieldIssue): Notice {
  return { code: 'AnnotationIgnored', message: `${field} ${message}: it was left unread` };
}

function skipReason(pod: Pod): { code: SkipCode; message: string } | undefined {
  const labels = pod.metadata?.labels ?? {};
  if (labels[INJECT_LABEL] !== 'true') {
    return { code: 'NotOptedIn', message: `The pod has no label ${INJECT_LABEL}: "true".` };
  }
  const owners = pod.metadata?.ownerReferences ?? [];
  const job =
    owners.find(({ kind }) => kind === 'Job') ??
    labels['batch.kubernetes.io/job-name'] ??
    labels['job-name'];
  if (job !== undefined || (pod.spec?.restartPolicy ?? 'Always') !== 'Always') {
    const message = 'The pod runs to its end, which a sidecar would keep it from.';
    return { code: 'RunsToCompletion', message };
  }
  if (pod.spec?.os?.name === 'windows') {
    return { code: 'Windows', message: 'The sidecar runs on Linux only.' };
  }
  if (pod.spec?.initContainers?.some(({ name }) => name === CONTAINER) === true) {
    const message = `An init container is called ${CONTAINER}; Velero cannot run hooks in one.`;
    return { code: 'NameTaken', message };
  }
  if (pod.spec?.containers?.some((one) => one.name === CONTAINER && !isSidecar(one)) === true) {
    const message = `A container of something else is called ${CONTAINER}; give it another name.`;
    return { code: 'NameTaken', message };
  }
  return undefined;
}

/** Every annotation but those that an earlier injection wrote and nobody has changed since. */
function usersOwn(annotations: Annotations): Annotations {
  const written = readWritten(annotations[ANNOTATIONS.written]);
  return Object.fromEntries(
    Object.entries(annotations).filter(
      ([key, value]) => key !== ANNOTATIONS.written && written[key] !== value,
    ),
  );
}

function readWritten(text: string | undefined): Readonly<Record<string, unknown>> {
  try {
    const parsed: unknown = JSON.parse(text ?? '{}');
    return typeof parsed === 'object' && parsed !== null ? { ...parsed } : {};
  } catch {
    return {};
  }
}

/** Velero's file-system backup of the data volume copies file by file, whatever else was meant. */
function copyOf(user: Annotations, settings: PodSettings, { data }: Parts): CopyMethod | undefined {
  if (settings.copy !== undefined || data === undefined) return settings.copy;
  return list(user[FILE_BACKUP]).includes(data.volume) ? 'files' : undefined;
}

/** What is written beside the user's own annotations; the guesses, too, so that they can be seen. */
function ownAnnotations(
  user: Annotations,
  { container, profile }: Database,
  copy: CopyMethod | undefined,
  hooks: Annotations,
): Annotations {
  const wanted: Record<string, string> = {
    [ANNOTATIONS.engine]: profile.name,
    [ANNOTATIONS.container]: container.name,
    ...(copy === undefined ? {} : { [ANNOTATIONS.copy]: copy }),
    [DEFAULT_CONTAINER]: container.name,
    [FILE_BACKUP_EXCLUDES]: `${RUN_VOLUME},${STATE_VOLUME}`,
    ...hooks,
  };
  return Object.fromEntries(Object.entries(wanted).filter(([key]) => user[key] === undefined));
}

function assemble(pod: Pod, parts: Parts, annotations: Annotations): Pod {
  const spec: PodSpec = pod.spec ?? {};
  const volumes = layVolumes(spec, OWN_VOLUMES);
  const restored = pod.metadata?.labels?.[RESTORE_LABEL] !== undefined;
  const prepared = spec.initContainers?.some(({ name }) => name === INIT_CONTAINER) === true;
  const init = restored || prepared ? parts.prepareRestore : undefined;
  return {
    ...pod,
    metadata: { ...pod.metadata, annotations },
    spec: {
      ...spec,
      ...(init === undefined
        ? {}
        : { initContainers: layContainer(spec.initContainers, init, volumes) }),
      containers: layContainer(spec.containers, parts.sidecar, volumes),
      volumes,
    },
  };
}
