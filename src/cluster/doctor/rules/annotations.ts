import { differences } from '../../inject/application.ts';
import { BACKUP_HOOK } from '../../inject/hooks.ts';
import { ALIASES, INJECT_LABEL, hasQuiescePrefix } from '../../objects/names.ts';
import { readSettings } from '../../inject/settings.ts';
import { concernsSidecar } from '../../inject/unknown.ts';
import { annotationsOf, at } from '../../objects/kube-object.ts';
import type { PodRule } from '../rule.ts';

export const annotationRules: readonly PodRule[] = [
  {
    code: 'ANNOTATION_MISPLACED',
    severity: 'warning',
    title:
      'Annotations for the sidecar or for hooks are on the workload instead of its pod template',
    why: 'The webhook and Velero read these annotations from the pod. On the workload they have no effect.',
    fix: 'Move them to spec.template.metadata.annotations.',
    *check({ workload, view }) {
      if (workload.kind === 'Pod' || view.live !== undefined) return;
      const keys = Object.keys(annotationsOf(workload.object)).filter(
        (key) =>
          (concernsSidecar(key) || key.includes(BACKUP_HOOK)) &&
          key !== INJECT_LABEL &&
          annotationsOf(view.pod)[key] === undefined,
      );
      if (keys.length > 0) yield `The ${workload.kind} itself has ${keys.join(', ')}.`;
    },
  },
  {
    code: 'ANNOTATION_INVALID',
    severity: 'error',
    title: 'An annotation for the sidecar is invalid',
    why: 'The webhook then adds no sidecar: the pod starts unprotected, or does not start if failurePolicy is Fail.',
    fix: 'Correct the annotation on the pod template; docs/webhook.md lists them.',
    *check({ injection, issues, optIn, sidecar }) {
      if (optIn === 'false') return;
      const found = injection?.outcome === 'invalid' ? injection.issues : [];
      const own = sidecar !== undefined || injection !== undefined ? issues : [];
      const all = new Set([...found, ...own].map(({ field, message }) => `${field} ${message}.`));
      yield* all;
    },
  },
  {
    code: 'ANNOTATION_IGNORED',
    severity: 'warning',
    title: 'An annotation is unknown, or its value is invalid',
    why: 'It is ignored: order, dependencies and the extent of a restore are not what its author intended. The sidecar does not depend on it.',
    fix: 'Correct or remove the annotation; docs/webhook.md lists them with their values.',
    always: true,
    *check({ workload, view, ignored }) {
      for (const { field, message } of ignored) yield `${field} ${message}.`;
      if (workload.kind === 'Pod' || view.live !== undefined) return;
      const above = readSettings(annotationsOf(workload.object)).ignored;
      for (const { field, message } of above) {
        yield `${field} on the ${workload.kind} itself ${message}.`;
      }
    },
  },
  {
    code: 'ANNOTATIONS_DIFFER',
    severity: 'warning',
    title: 'A workload and its pod template describe the application differently',
    why: 'The annotation of the workload applies, and the one on the template misleads its readers.',
    fix: 'Remove one of the two annotations, or give both the same value.',
    always: true,
    *check({ workload, view }) {
      if (workload.kind === 'Pod' || view.live !== undefined) return;
      const found = differences(annotationsOf(workload.object), annotationsOf(view.pod));
      for (const { field, message } of found) yield `${field} ${message}.`;
    },
  },
  {
    code: 'VALUE_NOT_TEXT',
    severity: 'error',
    title: 'A label or an annotation is not a string',
    why: 'YAML turns unquoted text into a number, a boolean or a list, and the API server refuses the object.',
    fix: 'Quote the value.',
    *check({ workload, view }, { catalog }) {
      if (view.live !== undefined) return;
      const given = catalog.given(workload.object);
      const pod = workload.kind === 'Pod' ? given : at(given, 'spec', 'template');
      const aliases = Object.values(ALIASES);
      const all = new Set([given, pod]);
      for (const [key, value] of [...all].flatMap(labelsAndAnnotations)) {
        const ours = hasQuiescePrefix(key) || aliases.includes(key) || key.includes(BACKUP_HOOK);
        if (ours && typeof value !== 'string')
          yield `${key} is ${JSON.stringify(value)}, without quotes.`;
      }
    },
  },
];

function labelsAndAnnotations(object: unknown): readonly [string, unknown][] {
  return ['labels', 'annotations'].flatMap((kind) =>
    Object.entries(at(object, 'metadata', kind) ?? {}),
  );
}
