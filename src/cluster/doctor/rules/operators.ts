import { isEngine } from '../../../engines/names.ts';
import { operatorResource } from '../../inject/templates.ts';
import { INJECT_LABEL } from '../../objects/names.ts';
import { knownResource } from '../../plan/custom-resources.ts';
import { type KubeObject, namespaceOf, refOf } from '../../objects/kube-object.ts';
import type { ClusterFacts } from '../../inventory/survey.ts';
import type { ClusterRule, Severity } from '../rule.ts';

interface Resource {
  readonly object: KubeObject;
  /** What its pods run, if that is known. */
  readonly engine: string | undefined;
}

/** Custom resources from which an operator makes databases, without pods here that show what became of them. */
function databases({ catalog, facts }: ClusterFacts): readonly Resource[] {
  const made = new Set(facts.map(({ workload }) => `${workload.namespace} ${workload.operator}`));
  const inScope = (one: KubeObject): boolean =>
    catalog.namespaces === undefined || catalog.namespaces.includes(namespaceOf(one));
  return catalog.kinds
    .filter((kind) => kind.includes('.') && !kind.endsWith('.k8s.io'))
    .flatMap((kind) => catalog.all(kind))
    .filter(
      (one) => inScope(one) && !made.has(`${namespaceOf(one)} ${one.kind}/${one.metadata?.name}`),
    )
    .flatMap((object): Resource[] => {
      const known = knownResource(object);
      if (known === undefined) return [];
      if (known === 'unknown') {
        return operatorResource(object) === undefined ? [] : [{ object, engine: undefined }];
      }
      return known.stage === 'databases' && known.pooler !== true
        ? [{ object, engine: known.engine ?? 'a database' }]
        : [];
    });
}

/** A database that quiesce freezes, whose pods may be without the label. */
function severityOf({ object, engine }: Resource): Severity {
  const frozen = engine !== undefined && isEngine(engine);
  return frozen && !JSON.stringify(object).includes(`"${INJECT_LABEL}"`) ? 'warning' : 'info';
}

export const OPERATOR_RESOURCE = 'OPERATOR_RESOURCE';

export const operatorRules: readonly ClusterRule[] = [
  {
    code: OPERATOR_RESOURCE,
    severity: 'warning',
    title: 'An operator makes the pods of a database from this resource',
    why: 'The pods are not among these manifests: nothing here shows whether a sidecar protects them.',
    fix: `Give the pods the label ${INJECT_LABEL}: "true" through the resource (CloudNativePG: spec.inheritedMetadata.labels), and run the doctor on the cluster.`,
    *check(around) {
      for (const resource of databases(around)) {
        const { object, engine } = resource;
        const severity = severityOf(resource);
        const labelled = JSON.stringify(object).includes(`"${INJECT_LABEL}"`);
        const what =
          engine === undefined
            ? 'It looks as if its operator makes pods with data from it'
            : `Its operator makes pods with ${engine} from it`;
        const message = `${what}, which are not among these manifests${labelled ? '; it mentions the label' : ''}.`;
        const fix =
          engine !== undefined && !isEngine(engine)
            ? `Back it up with the tools of ${engine}; quiesce does not freeze it.`
            : undefined;
        yield { object: refOf(object), report: { message, severity, ...(fix && { fix }) } };
      }
    },
  },
];
