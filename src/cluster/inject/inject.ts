import type { CopyMethod } from '../../receipt/receipt.ts';
import { buildAdditions, isSidecar, type Additions } from './container.ts';
import { findWarnings, splitList } from './warnings.ts';
import { type Database, findDatabase } from './find-database.ts';
import { HOLD, holding, isHeld } from './hold.ts';
import { buildHooks, copiesAside, hookTimeouts, type Notice } from './hooks.ts';
import { overlayContainer, type OverlayContext, overlayVolumes } from './overlay.ts';
import {
  ANNOTATIONS,
  CONTAINER,
  DEFAULT_CONTAINER,
  FILE_BACKUP,
  FILE_BACKUP_EXCLUDES,
  INIT_CONTAINER,
  INJECT_LABEL,
  RESTORE_ANNOTATION,
  RESTORE_LABEL,
  RUN_VOLUME,
  STATE_VOLUME,
} from '../objects/names.ts';
import type { NamespaceRules } from './namespace-rules.ts';
import type { InjectConfig } from './options.ts';
import { patchedPod } from './patch.ts';
import { refusals } from './refusals.ts';
import { diff, type Operation } from '../objects/json-patch.ts';
import type { Pod, PodSpec } from '../objects/pod.ts';
import type { FieldIssue } from '../objects/names.ts';
import { leavesUser } from './security-context.ts';
import { type PodSettings, readSettings, withVariables } from './settings.ts';
import { usersSettings } from './overlay-env.ts';
import { CONTAINER_KEY, readWritten, recordOf } from './written.ts';
import { OWN_VOLUMES } from './volumes.ts';

export type { Notice } from './hooks.ts';

/** The decision about a pod. */
export type Injection =
  | {
      readonly outcome: 'injected';
      /** Turns the given pod into `pod`. Empty if the pod needs no change. */
      readonly patch: readonly Operation[];
      readonly pod: Pod;
      readonly notices: readonly Notice[];
    }
  | { readonly outcome: 'skipped'; readonly code: SkipCode; readonly message: string }
  | { readonly outcome: 'invalid'; readonly issues: readonly FieldIssue[] };

export type SkipCode = 'NotOptedIn' | 'RunsToCompletion' | 'Windows' | 'NameTaken';

type Annotations = Readonly<Record<string, string>>;

/**
 * Decides what a pod needs for consistent backups. A pure function: the same pod and configuration give
 * the same patch. A patched pod needs no second patch, even after the API server has set its defaults,
 * or after a restore. An older injection is brought up to date field by field.
 *
 * @param rules what the pod's namespace demands, where that is known
 */
export function inject(given: Pod, config: InjectConfig, rules?: NamespaceRules): Injection {
  const skip = skipReason(given);
  if (skip) return { outcome: 'skipped', ...skip };
  const pod = patchedPod(given, config.patch, config.imagePullSecrets);
  const annotations = pod.metadata?.annotations ?? {};
  const written = readWritten(annotations[ANNOTATIONS.written]);
  const user = userAnnotations(annotations, written.annotations);
  const { settings: annotated, issues, ignored } = readSettings(user);
  const settings = withVariables(annotated, pod, written.container);
  if (issues.length > 0) return { outcome: 'invalid', issues };
  const database = findDatabase(pod, settings);
  if ('field' in database) return { outcome: 'invalid', issues: [database] };

  const input = { pod, database, settings, config, rules };
  const additions = buildAdditions({ ...input, copy: settings.copy });
  const copy = chooseCopy(user, settings, additions);
  const finalAdditions = copy === settings.copy ? additions : buildAdditions({ ...input, copy });
  const isSlow = copiesAside(database.profile.name, copy);
  const timeouts = hookTimeouts(settings.hookTimeoutMs, config.hookTimeoutMs, isSlow);
  const hooks = buildHooks(user, timeouts, copy);
  const own = buildAnnotations(user, database, copy, hooks.annotations);
  const changed = assemble(pod, finalAdditions, {
    annotations: { ...user, ...own },
    own,
    always: config.prepareRestore === true,
    context: { written: written.container, engine: database.profile.name },
  });
  const notices = [
    ...ignored.map(ignoredNotice),
    ...hooks.notices,
    ...findWarnings(pod, {
      user,
      settings,
      engine: database.profile.name,
      database,
      additions: finalAdditions,
      hookTimeoutMs: timeouts.post,
      platform: leavesUser(database, config, rules),
    }),
    ...refusals(changed, rules),
  ];
  return { outcome: 'injected', patch: diff(given, changed), pod: changed, notices };
}

/** Reports an ignored annotation. */
export function ignoredNotice({ field, message }: FieldIssue): Notice {
  return { code: 'AnnotationIgnored', message: `${field} ${message} (annotation ignored)` };
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
    const message = 'The pod runs to completion, and a sidecar would keep it running.';
    return { code: 'RunsToCompletion', message };
  }
  if (pod.spec?.os?.name === 'windows') {
    return { code: 'Windows', message: 'The sidecar runs on Linux only.' };
  }
  if (pod.spec?.initContainers?.some(({ name }) => name === CONTAINER) === true) {
    const message = `An init container is named ${CONTAINER}, and Velero cannot run hooks in an init container.`;
    return { code: 'NameTaken', message };
  }
  if (pod.spec?.containers?.some((one) => one.name === CONTAINER && !isSidecar(one)) === true) {
    const message = `Another application's container is named ${CONTAINER}; rename it.`;
    return { code: 'NameTaken', message };
  }
  return undefined;
}

/** The user's own annotations: all but those that an earlier injection wrote and that still have its value. */
function userAnnotations(
  annotations: Annotations,
  written: Readonly<Record<string, unknown>>,
): Annotations {
  return Object.fromEntries(
    Object.entries(annotations).filter(
      ([key, value]) => key !== ANNOTATIONS.written && written[key] !== value,
    ),
  );
}

/** The user's copy method, else `files` if Velero's file-system backup copies the data volume. */
function chooseCopy(
  user: Annotations,
  settings: PodSettings,
  { data }: Additions,
): CopyMethod | undefined {
  if (settings.copy !== undefined || data === undefined) return settings.copy;
  return splitList(user[FILE_BACKUP]).includes(data.volume) ? 'files' : undefined;
}

/** The annotations to add to the user's own. They include guesses, so that users can see them. */
function buildAnnotations(
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

/** Velero's label, or the annotation of a user whose volume came back in another way. */
function isRestored({ metadata }: Pod): boolean {
  return (
    metadata?.labels?.[RESTORE_LABEL] !== undefined ||
    metadata?.annotations?.[RESTORE_ANNOTATION] !== undefined
  );
}

interface Assembly {
  readonly annotations: Annotations;
  /** Those of the annotations that injection adds. */
  readonly own: Annotations;
  /** Add the init container to every pod, restored or not. */
  readonly always: boolean;
  readonly context: Omit<OverlayContext, 'volumes'>;
}

function assemble(
  pod: Pod,
  { sidecar, prepareRestore }: Additions,
  { annotations, own, always, context }: Assembly,
): Pod {
  const spec: PodSpec = pod.spec ?? {};
  const prepared = spec.initContainers?.some(({ name }) => name === INIT_CONTAINER) === true;
  const plain = always || prepared || isRestored(pod) ? prepareRestore : undefined;
  const held = plain !== undefined && isHeld(pod);
  const init = held ? holding(plain) : plain;
  const ownVolumes = overlayVolumes(spec, OWN_VOLUMES);
  const lacksHold = held && !ownVolumes.some(({ name }) => name === HOLD.name);
  const volumes = lacksHold ? [...ownVolumes, HOLD] : ownVolumes;
  const containers = overlayContainer(spec.containers, sidecar, { ...context, volumes });
  const final = containers.find(({ name }) => name === CONTAINER) ?? sidecar;
  const before = spec.containers?.find(({ name }) => name === CONTAINER);
  const users = usersSettings(before?.env ?? [], context.written).map(({ name }) => name);
  const record = recordOf(final, sidecar, new Set(users));
  const written = { ...own, [CONTAINER_KEY]: record };
  return {
    ...pod,
    metadata: {
      ...pod.metadata,
      annotations: { ...annotations, [ANNOTATIONS.written]: JSON.stringify(written) },
    },
    spec: {
      ...spec,
      ...(init === undefined
        ? {}
        : {
            // Nobody configures the init container by hand: all of its settings are ours.
            initContainers: overlayContainer(spec.initContainers, init, {
              volumes,
              written: 'legacy',
            }),
          }),
      containers,
      volumes,
    },
  };
}
