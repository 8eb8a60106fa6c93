import { parseAllDocuments, stringify } from 'yaml';

/** Kubernetes objects, as far as the variants change them. */
export interface KubernetesObject {
  apiVersion: string;
  kind: string;
  metadata: { name: string; namespace?: string; labels?: Labels };
  stringData?: Record<string, string>;
  data?: Record<string, string>;
  spec?: unknown;
}

type Labels = Record<string, string>;

export interface StatefulSet extends KubernetesObject {
  spec: {
    replicas?: number;
    template: { metadata: { labels?: Labels; annotations?: Labels }; spec: PodSpec };
    volumeClaimTemplates: ClaimTemplate[];
  };
}

export interface PodSpec {
  containers: Container[];
  initContainers?: Container[];
  securityContext?: Record<string, unknown>;
  volumes?: Record<string, unknown>[];
}

export interface Container {
  name: string;
  image: string;
  command?: string[];
  env?: Record<string, unknown>[];
  resources?: Record<string, Record<string, string>>;
  securityContext?: Record<string, unknown>;
  volumeMounts: Record<string, unknown>[];
}

export interface ClaimTemplate {
  metadata: { name: string; labels?: Labels };
  spec: {
    accessModes: string[];
    storageClassName?: string;
    resources: { requests: { storage: string } };
  };
}

/** A change of an application's objects: a variant of it. */
export type Edit = (manifest: Manifest) => void;

/** The objects of one application: a namespace with a StatefulSet. */
export class Manifest {
  readonly objects: KubernetesObject[];

  constructor(text: string) {
    this.objects = parseAllDocuments(text).map((document) => {
      if (document.errors[0]) throw document.errors[0];
      return document.toJS() as KubernetesObject;
    });
  }

  /** A copy of the text's objects with all edits made. */
  static of(text: string, edits: readonly Edit[] = []): Manifest {
    const manifest = new Manifest(text);
    for (const edit of edits) edit(manifest);
    return manifest;
  }

  find(kind: string, name?: string): KubernetesObject {
    const found = this.objects.find(
      (one) => one.kind === kind && (name === undefined || one.metadata.name === name),
    );
    if (!found) throw new Error(`the manifest has no ${kind}${name ? ` ${name}` : ''}`);
    return found;
  }

  get workload(): StatefulSet {
    return this.find('StatefulSet') as StatefulSet;
  }

  get template(): StatefulSet['spec']['template'] {
    return this.workload.spec.template;
  }

  /** The container of the database. */
  get database(): Container {
    const [first] = this.template.spec.containers;
    if (!first) throw new Error('the pod has no container');
    return first;
  }

  get namespace(): string {
    return this.find('Namespace').metadata.name;
  }

  get pods(): string[] {
    const { metadata, spec } = this.workload;
    return Array.from({ length: spec.replicas ?? 1 }, (_none, i) => `${metadata.name}-${i}`);
  }

  /** As the StatefulSet names them. */
  get claims(): string[] {
    const names = this.workload.spec.volumeClaimTemplates.map(({ metadata }) => metadata.name);
    return this.pods.flatMap((pod) => names.map((name) => `${name}-${pod}`));
  }

  /** A value that a Secret of this manifest has in plain. */
  secret(name: string, key: string): string {
    const value = this.find('Secret', name).stringData?.[key];
    if (value === undefined) throw new Error(`the Secret ${name} has no ${key}`);
    return value;
  }

  /** Adds objects right after the namespace: a pod must not start before its Secret or its limits are there. */
  add(...objects: KubernetesObject[]): void {
    const at = this.objects.findIndex(({ kind }) => kind === 'Namespace') + 1;
    const { namespace } = this;
    const placed = objects.map((one) => ({ ...one, metadata: { ...one.metadata, namespace } }));
    this.objects.splice(at, 0, ...placed);
  }

  annotate(annotations: Labels): void {
    Object.assign((this.template.metadata.annotations ??= {}), annotations);
  }

  print(): string {
    return this.objects
      .map((one) => stringify(one, { lineWidth: 0, aliasDuplicateObjects: false }))
      .join('---\n');
  }
}
