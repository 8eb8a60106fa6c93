import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import {
  BUILD_TIMEOUT_MS,
  CHART,
  type Helm,
  type Manifest,
  manifestsOf,
  one,
  realHelm,
} from '../support/helm.ts';
import { RESOURCES, resourceName } from '../../src/cluster/inventory/resources.ts';
import { APPLICATIONS, EVERYTHING, VALUE_SETS } from './values.ts';

let helm: Helm;

beforeAll(async () => {
  helm = await realHelm();
}, BUILD_TIMEOUT_MS);

interface Container {
  readonly args: readonly string[];
  readonly image: string;
  readonly securityContext: Readonly<Record<string, unknown>>;
  readonly resources: {
    readonly requests: object;
    readonly limits: Readonly<Record<string, string>>;
  };
}

interface PodSpec {
  readonly containers: readonly Container[];
  readonly securityContext: Readonly<Record<string, unknown>>;
  readonly affinity: Readonly<Record<string, unknown>>;
}

function deployment(manifests: readonly Manifest[]): {
  replicas: number;
  pod: PodSpec;
  args: string;
} {
  const { replicas, template } = one(manifests, 'Deployment', /-webhook$/)['spec'] as {
    replicas: number;
    template: { spec: PodSpec };
  };
  return { replicas, pod: template.spec, args: template.spec.containers[0]?.args.join(' ') ?? '' };
}

/** The pods of schedules and of the exporter. */
function further(manifests: readonly Manifest[]): PodSpec[] {
  const templates = manifests.flatMap(({ kind, metadata, spec }) => {
    if (kind === 'CronJob') {
      return (spec as { jobTemplate: { spec: { template: { spec: PodSpec } } } }).jobTemplate.spec;
    }
    const exporter = kind === 'Deployment' && metadata.name.endsWith('-exporter');
    return exporter ? (spec as { template: { spec: PodSpec } }) : [];
  });
  return templates.map(({ template }) => template.spec);
}

interface Webhook {
  readonly clientConfig: { readonly caBundle?: string; readonly service: object };
  readonly [field: string]: unknown;
}

const webhook = (manifests: readonly Manifest[]): Webhook => {
  const [first] = one(manifests, 'MutatingWebhookConfiguration')['webhooks'] as Webhook[];
  if (!first) throw new Error('no webhook in the configuration');
  return first;
};

interface PolicyRule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
  readonly resourceNames?: readonly string[];
}

const rulesOf = (manifest: Manifest): readonly PolicyRule[] => manifest['rules'] as PolicyRule[];

describe.each(Object.entries(VALUE_SETS))('with values: %s', (_, args) => {
  test('helm lint finds no error and no warning', async () => {
    const { code, stdout, stderr } = await helm.run('lint', '--strict', CHART, ...args);
    expect(`${stdout}${stderr}`).not.toMatch(/\[(?:ERROR|WARNING)\]/);
    expect(code).toBe(0);
  });

  test('two renderings are equal: the chart uses no random value and no lookup in a cluster', async () => {
    const [first, second] = await Promise.all([helm.template(...args), helm.template(...args)]);
    expect(second).toEqual(first);
  });

  test('every object has the labels of the release and an explicit namespace', async () => {
    const clusterWide =
      /^(?:ClusterRole|ClusterRoleBinding|(?:MutatingWebhookConfiguration|ValidatingAdmissionPolicy(?:Binding)?))$/;
    for (const { kind, metadata } of await helm.template(...args)) {
      expect(metadata.labels, `${kind}/${metadata.name}`).toMatchObject({
        'app.kubernetes.io/name': 'quiesce',
        'app.kubernetes.io/instance': 'quiesce',
        'app.kubernetes.io/part-of': 'quiesce',
        'app.kubernetes.io/managed-by': 'Helm',
      });
      // A right on an application is given in its namespace, and nothing else stands outside the release's.
      const allowed = clusterWide.test(kind)
        ? [undefined]
        : [
            'quiesce-system',
            ...(/^Role(?:Binding)?$/.test(kind) ? ['shop', 'queue', 'velero'] : []),
          ];
      expect(allowed, `${kind}/${metadata.name}`).toContain(metadata.namespace);
    }
  });

  test('the webhook gets no wildcard, lists only what namespaces are and demand, and no Secrets across namespaces', async () => {
    const manifests = await helm.template(...args);
    const roles = manifests.filter(
      ({ kind, metadata }) => /^(?:Cluster)?Role$/.test(kind) && !metadata.name.endsWith('-doctor'),
    );
    for (const role of roles) {
      const every = rulesOf(role).flatMap((rule) => Object.values(rule).flat());
      expect(every, role.metadata.name).not.toContain('*');
    }
    const own = roles.filter(
      ({ metadata }) => metadata.labels?.['app.kubernetes.io/component'] === 'webhook',
    );
    const ofRestores = ['namespaces', 'leases'];
    for (const rule of own.flatMap(rulesOf)) {
      if (ofRestores.includes(rule.resources.join())) {
        expect(rule.verbs.filter((verb) => !['get', 'list', 'watch'].includes(verb))).toEqual([]);
        continue;
      }
      const onlyCreates = rule.verbs.join() === 'create';
      const demands =
        rule.verbs.join() === 'list' && rule.resources.join() === 'resourcequotas,limitranges';
      expect(
        onlyCreates || demands || (rule.resourceNames?.length ?? 0) === 1,
        JSON.stringify(rule),
      ).toBe(true);
    }
    for (const role of manifests.filter(({ kind }) => kind === 'ClusterRole')) {
      const verbs = rulesOf(role)
        .filter(({ resources }) => resources.includes('secrets'))
        .flatMap((rule) => rule.verbs);
      // A drill creates Secrets in namespaces that nobody knows before. It reads none, and a policy confines it.
      const confined = manifests.some(
        ({ kind, metadata }) =>
          kind === 'ValidatingAdmissionPolicyBinding' && metadata.name === role.metadata.name,
      );
      expect(verbs, role.metadata.name).toEqual(verbs.length > 0 && confined ? ['create'] : []);
    }
  });

  test('the doctor may list and get what it reads, and no Secret', async () => {
    const manifests = await helm.template(...args, '--set', 'doctor.rbac=true');
    const rules = rulesOf(one(manifests, 'ClusterRole', /-doctor$/));
    expect(new Set(rules.flatMap(({ verbs }) => verbs))).toEqual(new Set(['list', 'get']));
    const resources = rules.flatMap((rule) =>
      rule.resources.map((name) => [name, ...rule.apiGroups].filter(Boolean).join('.')),
    );
    const others = ['services', 'configmaps', 'endpointslices.discovery.k8s.io', 'namespaces'];
    expect(new Set(resources)).toEqual(new Set([...RESOURCES.map(resourceName), ...others]));
    const bound = manifests.filter(
      ({ kind, metadata }) => kind === 'ClusterRoleBinding' && metadata.name.endsWith('-doctor'),
    );
    expect(bound.length).toBe(args.some((one) => one.startsWith('doctor.subjects')) ? 1 : 0);
  });

  test('the pods meet the restricted Pod Security Standard', async () => {
    const manifests = await helm.template(...args);
    const { pod } = deployment(manifests);
    const tested = one(manifests, 'Pod')['spec'] as PodSpec;
    for (const { securityContext, containers } of [pod, tested, ...further(manifests)]) {
      expect(securityContext).toMatchObject({
        runAsNonRoot: true,
        seccompProfile: { type: 'RuntimeDefault' },
      });
      for (const container of containers) {
        expect(container.securityContext).toEqual({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        });
        expect(container.resources.limits).toHaveProperty('memory');
      }
    }
  });
});

describe('by default', () => {
  let manifests: Manifest[];
  beforeAll(async () => {
    manifests = await helm.template();
  });

  test('the webhook gets only labelled pods, and none of kube-system or its own namespace', () => {
    expect(webhook(manifests)).toMatchObject({
      admissionReviewVersions: ['v1'],
      failurePolicy: 'Ignore',
      reinvocationPolicy: 'IfNeeded',
      timeoutSeconds: 5,
      objectSelector: { matchLabels: { 'quiesce.dev/inject': 'true' } },
      namespaceSelector: {
        matchExpressions: [
          {
            key: 'kubernetes.io/metadata.name',
            operator: 'NotIn',
            values: ['kube-system', 'quiesce-system'],
          },
        ],
      },
      rules: [
        { apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] },
      ],
    });
    expect(webhook(manifests)['sideEffects']).toMatch(/^None(?:OnDryRun)?$/);
  });

  test('the chart does not set caBundle, so an upgrade does not remove what the webhook wrote', () => {
    expect(webhook(manifests).clientConfig).toEqual({
      service: { name: 'quiesce-webhook', namespace: 'quiesce-system', path: '/mutate', port: 443 },
    });
  });

  test('two replicas prefer different nodes and are not evicted together', () => {
    const { replicas, pod } = deployment(manifests);
    expect(replicas).toBe(2);
    expect(JSON.stringify(pod.affinity)).toContain('podAntiAffinity');
    expect(one(manifests, 'PodDisruptionBudget')['spec']).toMatchObject({ maxUnavailable: 1 });
  });

  test('the names in the flags match the names of the objects', () => {
    const { args } = deployment(manifests);
    const names = Object.fromEntries(
      [...args.matchAll(/--([a-z-]+)=(\S+)/g)].map(([, flag, value]) => [flag, value]),
    );
    expect(names).toMatchObject({
      service: one(manifests, 'Service').metadata.name,
      namespace: 'quiesce-system',
      configuration: one(manifests, 'MutatingWebhookConfiguration').metadata.name,
    });
    const secrets = rulesOf(one(manifests, 'Role')).flatMap(
      ({ resourceNames = [] }) => resourceNames,
    );
    expect(secrets).toEqual([names['secret']]);
    const configurations = rulesOf(one(manifests, 'ClusterRole')).flatMap(
      ({ resourceNames = [] }) => resourceNames,
    );
    expect(configurations).toEqual([names['configuration']]);
  });

  test('monitors are installed only in a cluster that has their API', async () => {
    const kinds = (found: readonly Manifest[]): string[] => found.map(({ kind }) => kind);
    const monitoring = ['PodMonitor', 'PrometheusRule', 'ServiceMonitor'];
    expect(kinds(manifests).filter((kind) => monitoring.includes(kind))).toEqual([]);
    const monitored = await helm.template('--api-versions', 'monitoring.coreos.com/v1');
    expect(
      kinds(monitored)
        .filter((kind) => monitoring.includes(kind))
        .sort(),
    ).toEqual(monitoring);
  });

  test('releases in two namespaces share no cluster-wide name, however long their names are', async () => {
    const wide = (found: readonly Manifest[]): string[] =>
      found.filter(({ metadata }) => metadata.namespace === undefined).map((m) => m.metadata.name);
    const namespaces = [
      'quiesce-system',
      'elsewhere',
      `${'n'.repeat(60)}-a`,
      `${'n'.repeat(60)}-b`,
    ];
    const names: string[] = [];
    for (const name of namespaces) {
      const own = new Set(wide(await helm.template('--namespace', name)));
      expect(own.size).toBe(1);
      names.push(...own);
    }
    expect(new Set(names).size).toBe(namespaces.length);
    for (const name of names) expect(name.length).toBeLessThanOrEqual(63);
  });
});

describe('certificates', () => {
  test('of cert-manager are mounted, and the webhook has no access to Secrets', async () => {
    const manifests = await helm.template('--set', 'certificates.mode=cert-manager');
    const { secretName, dnsNames } = one(manifests, 'Certificate', /webhook$/)['spec'] as {
      secretName: string;
      dnsNames: string[];
    };
    expect(dnsNames).toContain('quiesce-webhook.quiesce-system.svc');
    expect(JSON.stringify(one(manifests, 'Deployment'))).toContain(`"secretName":"${secretName}"`);
    expect(one(manifests, 'MutatingWebhookConfiguration').metadata.annotations).toEqual({
      'cert-manager.io/inject-ca-from': 'quiesce-system/quiesce-webhook',
    });
    expect(manifests.map(({ kind }) => kind)).not.toContain('Role');
    expect(rulesOf(one(manifests, 'ClusterRole')).flatMap(({ resources }) => resources)).toEqual([
      'events',
      'resourcequotas',
      'limitranges',
      'namespaces',
      'leases',
    ]);
    expect(deployment(manifests).args).toContain('--certificates=files');
  });

  test('of cert-manager are signed by a CA that stays the same when they are renewed', async () => {
    const manifests = await helm.template('--set', 'certificates.mode=cert-manager');
    const served = one(manifests, 'Certificate', /webhook$/)['spec'];
    const authority = one(manifests, 'Certificate', /-ca$/);
    const signs = one(manifests, 'Issuer', /-ca$/);
    expect(served).toMatchObject({ issuerRef: { name: signs.metadata.name, kind: 'Issuer' } });
    expect(authority['spec']).toMatchObject({
      isCA: true,
      privateKey: { rotationPolicy: 'Never' },
      issuerRef: { name: one(manifests, 'Issuer', /webhook$/).metadata.name },
    });
    const { secretName } = authority['spec'] as { secretName: string };
    expect(signs['spec']).toEqual({ ca: { secretName } });
    expect(secretName).not.toBe((served as { secretName: string }).secretName);
  });

  test('of an existing issuer do not create another issuer', async () => {
    await expect(
      helm.template(
        '--set',
        'certificates.mode=cert-manager,certificates.certManager.issuerRef.kind=ClusterIssuer',
      ),
    ).rejects.toThrow('issuerRef.name must name the ClusterIssuer of cert-manager.io');
    const manifests = await helm.template(
      '--set',
      'certificates.mode=cert-manager,certificates.certManager.issuerRef.name=corp,certificates.certManager.issuerRef.kind=ClusterIssuer',
    );
    expect(manifests.map(({ kind }) => kind)).not.toContain('Issuer');
    expect(one(manifests, 'Certificate')['spec']).toMatchObject({
      issuerRef: { name: 'corp', kind: 'ClusterIssuer', group: 'cert-manager.io' },
    });
  });

  test('in an existing Secret need the CA that signed them', async () => {
    const manifests = await helm.template(
      '--set',
      'certificates.mode=secret,certificates.secret.name=mine,certificates.secret.caBundle=Q0E=',
    );
    expect(webhook(manifests).clientConfig.caBundle).toBe('Q0E=');
    expect(JSON.stringify(one(manifests, 'Deployment'))).toContain('"secretName":"mine"');
    await expect(helm.template('--set', 'certificates.mode=secret')).rejects.toThrow(
      /certificates\/secret|certificates\.secret/,
    );
  });
});

describe('the schema refuses', () => {
  test.each([
    ['an unknown key', 'replica=2', /replica/],
    ['an unknown nested key', 'webhook.failurPolicy=Fail', /failurPolicy/],
    ['an unknown alert', 'prometheusRule.alerts.inconsistant.enabled=true', /inconsistant/],
    ['a policy that does not exist', 'webhook.failurePolicy=ignore', /failurePolicy/],
    ['zero replicas', 'replicas=0', /replicas/],
    ['a timeout the API server refuses', 'webhook.timeoutSeconds=31', /timeoutSeconds/],
    ['a duration without a unit', 'sidecar.hookTimeout=30', /hookTimeout/],
    ['a certificates mode that does not exist', 'certificates.mode=vault', /certificates/],
    ['an invalid digest', 'image.digest=latest', /digest/],
    ['a port that needs root', 'webhook.port=443', /port/],
    ['an invalid CIDR', 'networkPolicy.apiServer={anywhere}', /apiServer/],
    ['a CPU limit for the sidecars', 'sidecar.resources.limits.cpu=1', /limits/],
    ['a threshold that is not a number', 'prometheusRule.alerts.noSuccess.hours=a day', /hours/],
    ['a name no object can have', 'fullnameOverride=My_Release', /fullnameOverride/],
    ['an invalid image repository', 'image.repository=a b', /repository/],
    ['an invalid Prometheus label', 'prometheusRule.alertLabels.a-b=c', /a-b/],
    ['an unknown key of a toleration', 'tolerations[0].efect=NoSchedule', /efect/],
    ['an unknown kind of affinity', 'affinity.podAntiafinity.a=b', /podAntiafinity/],
    ['an unknown resource', 'resources.limits.memroy=1Gi', /memroy/],
    ['an unknown key of a spread', 'topologySpreadConstraints[0].topologKey=a', /topologKey/],
    ['an unknown key of a peer', 'networkPolicy.metricsFrom[0].namespace=a', /namespace/],
    ['an unknown key of a subject', 'doctor.subjects[0].nam=a', /nam/],
    [
      'a schedule without namespaces',
      'schedules[0].name=a,schedules[0].schedule=@daily',
      /namespaces/,
    ],
    [
      'a schedule that is no time',
      'schedules[0].name=a,schedules[0].namespaces={shop},schedules[0].schedule=daily',
      /schedule/,
    ],
    ['an unknown key of a schedule', 'schedules[0].keeps=3', /keeps/],
    ['every kind of a group', 'schedules[0].customResources={*.cnpg.io}', /customResources/],
    ['a duration of the exporter without a unit', 'exporter.failedAfter=300', /failedAfter/],
    ['a namespace that cannot be one', 'exporter.namespaces={Shop}', /namespaces/],
    ['a section set to null', 'sidecar=null', /missing property 'sidecar'/],
    ['a required value set to null', 'sidecar.resources.limits=null', /missing.*'limits'/],
  ])('%s', async (_, value, named) => {
    await expect(helm.template('--set', value)).rejects.toThrow(named);
  });

  test('not the global values that a parent chart passes to every chart', async () => {
    await expect(helm.template('--set', 'global.region=eu')).resolves.not.toHaveLength(0);
  });
});

test.each([
  ['webhook.port=9095', 'webhook.port and webhook.metricsPort must differ'],
  ['sidecar.hookTimeout=1999ms', 'sidecar.hookTimeout must be at least 2s'],
  ['certificates.selfManaged.lifetime=9s', 'selfManaged.lifetime must be at least 10s'],
  ['certificates.selfManaged.caLifetime=2159h', 'caLifetime must not be shorter than'],
  ['networkPolicy.apiServer={10.0.0.1/33}', '10.0.0.1/33 is not a CIDR'],
  ['networkPolicy.apiServer={10.0.256.1/32}', '10.0.256.1/32 is not a CIDR'],
  ['networkPolicy.apiServer={fd00::1/129}', 'fd00::1/129 is not a CIDR'],
])('%s is refused with the sentence: %s', async (value, sentence) => {
  await expect(helm.template('--set', value)).rejects.toThrow(sentence);
});

test.each(['commonLabels', 'podLabels', 'dashboard.labels'])(
  '%s cannot replace the labels that select the pods, but can replace other labels of the chart',
  async (at) => {
    const own = ['--set', `${at}.app\\.kubernetes\\.io/instance=other`];
    await expect(helm.template(...own)).rejects.toThrow(
      'the label app.kubernetes.io/instance cannot be set',
    );
    const partOf = ['--set', `${at}.app\\.kubernetes\\.io/part-of=platform`];
    expect(JSON.stringify(await helm.template(...partOf))).toContain('"platform"');
  },
);

test.each([
  ['123', '456'],
  ['1st.release', '1e3'],
  ['true', 'null'],
])('release %s in namespace %s gets names and labels that YAML reads as strings', async (...of) => {
  const [name, namespace] = of;
  const line = ['template', name, CHART, '--namespace', namespace, '--set', 'doctor.rbac=true'];
  const { code, stdout } = await helm.run(...line, ...EVERYTHING);
  expect(code).toBe(0);
  const manifests = manifestsOf(stdout);
  for (const { kind, metadata } of manifests) {
    expect(metadata.name, kind).toMatch(/^[a-z0-9][a-z0-9-]{0,62}$/);
    expect([undefined, namespace], kind).toContain(metadata.namespace);
    expect(metadata.labels?.['app.kubernetes.io/instance'], kind).toBe(name);
  }
  expect(one(manifests, 'Service').metadata.name).toMatch(/^[a-z]/);
  expect(JSON.stringify(one(manifests, 'ClusterRoleBinding', /webhook$/))).toContain(
    `"namespace":"${namespace}"`,
  );
});

test('a map or list set to null counts as empty, and no object gets a null field', async () => {
  const sets = [
    'resources',
    'affinity',
    'tolerations',
    'nodeSelector',
    'topologySpreadConstraints',
    'commonLabels',
    'podLabels',
    'podAnnotations',
    'imagePullSecrets',
    'image.tag',
    'webhook.excludedNamespaces',
    'networkPolicy.apiServer',
    'prometheusRule.alertLabels',
    'prometheusRule.alerts.autoThaw',
    'dashboard.labels',
  ].map((key) => `${key}=null`);
  const manifests = await helm.template(...EVERYTHING, '--set', sets.join(','));
  const objects = manifests.filter(({ kind }) => kind !== 'ConfigMap');
  expect(JSON.stringify(objects)).not.toContain('null');
});

test('without alerts there is no PrometheusRule, and without webhook alerts no empty group', async () => {
  const { groups } = one(await helm.template(...EVERYTHING), 'PrometheusRule')['spec'] as {
    groups: { name: string }[];
  };
  expect(groups.map(({ name }) => name)).toEqual(['quiesce.backup', 'quiesce.webhook']);
  const off = (names: readonly string[]): string[] =>
    names.flatMap((name) => ['--set', `prometheusRule.alerts.${name}.enabled=false`]);
  const webhooks = ['webhookDown', 'restoreAbandoned', 'podNotInjected', 'certificateExpiring'];
  const fewer = one(await helm.template(...EVERYTHING, ...off(webhooks)), 'PrometheusRule');
  expect(JSON.stringify(fewer)).not.toContain('quiesce.webhook"');
  const values = parse(await readFile(join(CHART, 'values.yaml'), 'utf8')) as {
    prometheusRule: { alerts: object };
  };
  const none = await helm.template(
    ...EVERYTHING,
    ...off(Object.keys(values.prometheusRule.alerts)),
  );
  expect(none.map(({ kind }) => kind)).not.toContain('PrometheusRule');
});

test('staged restores have an entry of their own, and can be switched off', async () => {
  interface Entry {
    readonly name: string;
    readonly failurePolicy: string;
    readonly objectSelector?: object;
    readonly clientConfig: { readonly service: { readonly path: string } };
    readonly namespaceSelector: { readonly matchExpressions: readonly object[] };
  }
  const entries = (manifests: Parameters<typeof one>[0]): readonly Entry[] =>
    one(manifests, 'MutatingWebhookConfiguration')['webhooks'] as readonly Entry[];
  const velero = ['--set', 'stagedRestore.veleroNamespaces={velero,backup}'];
  const [inject, restore] = entries(await helm.template(...velero));
  expect(inject?.name).toBe('inject.quiesce.dev');
  expect(restore).toMatchObject({ name: 'restore.quiesce.dev', failurePolicy: 'Fail' });
  expect(restore).not.toHaveProperty('objectSelector');
  expect(restore?.clientConfig.service.path).toBe('/restore');
  expect(restore?.namespaceSelector.matchExpressions).toEqual([
    { key: 'quiesce.dev/restore', operator: 'Exists' },
    {
      key: 'kubernetes.io/metadata.name',
      operator: 'NotIn',
      values: ['kube-system', 'quiesce-system', 'velero', 'backup'],
    },
  ]);
  const off = await helm.template('--set', 'stagedRestore.enabled=false', ...EVERYTHING);
  expect(entries(off).map(({ name }) => name)).toEqual(['inject.quiesce.dev']);
  expect(JSON.stringify(off)).not.toContain('QuiesceRestoreAbandoned');
  const roles = off.filter(({ kind }) => kind === 'ClusterRole').flatMap(rulesOf);
  expect(roles.flatMap(({ resources }) => resources)).not.toContain('namespaces');
});

test('text that YAML would misread arrives unchanged', async () => {
  const text = `it's "a": b # c`;
  const name = ['--set-string', `priorityClassName=${text}`];
  const severity = ['--set-string', `prometheusRule.alerts.autoThaw.severity=${text}`];
  const account = ['--set-string', `serviceAccount.name=${text}`];
  const label = ['--set-string', `commonLabels.note=${text}`];
  const manifests = await helm.template(...EVERYTHING, ...name, ...severity, ...account, ...label);
  expect(deployment(manifests).pod).toMatchObject({
    priorityClassName: text,
    serviceAccountName: text,
  });
  expect(one(manifests, 'ServiceAccount').metadata.name).toBe(text);
  expect(one(manifests, 'RoleBinding')['subjects']).toMatchObject([{ name: text }]);
  expect(one(manifests, 'Service').metadata.labels).toMatchObject({ note: text });
  expect(JSON.stringify(one(manifests, 'PrometheusRule'))).toContain(JSON.stringify(text));
});

test('a threshold of a million is not written in scientific notation', async () => {
  const manifests = await helm.template(
    ...EVERYTHING,
    '--set',
    'prometheusRule.alerts.hookTooLong.seconds=1000000',
  );
  expect(JSON.stringify(one(manifests, 'PrometheusRule'))).toContain('longer than 1000000 s');
});

test('a cluster older than the oldest supported version is refused before anything is installed', async () => {
  await expect(helm.template('--kube-version', '1.26')).rejects.toThrow(/requires kubeVersion/);
  for (const version of ['1.27', 'v1.31.4-gke.100', '1.40']) {
    await expect(helm.template('--kube-version', version)).resolves.not.toHaveLength(0);
  }
});

test('with apiServer set, the network policy allows only those addresses and the helm test', async () => {
  const manifests = await helm.template('--set', 'networkPolicy.apiServer={10.0.0.1/32}');
  const { ingress, egress } = one(manifests, 'NetworkPolicy')['spec'] as {
    ingress: { from?: object[] }[];
    egress: { to?: object[] }[];
  };
  expect(ingress[0]?.from).toHaveLength(2);
  expect(ingress[0]?.from?.[0]).toEqual({ ipBlock: { cidr: '10.0.0.1/32' } });
  expect(egress[1]?.to).toEqual([{ ipBlock: { cidr: '10.0.0.1/32' } }]);
});

test('a single replica has no disruption budget, which would block the drain of its node', async () => {
  const kinds = (await helm.template('--set', 'replicas=1')).map(({ kind }) => kind);
  expect(kinds).not.toContain('PodDisruptionBudget');
});

test('a tag and a digest apply to the webhook and to the sidecars', async () => {
  const digest = `sha256:${'a'.repeat(64)}`;
  const image = `registry.example/quiesce:1.2.3@${digest}`;
  const manifests = await helm.template(
    '--set',
    `image.repository=registry.example/quiesce,image.tag=1.2.3,image.digest=${digest}`,
  );
  const { pod, args } = deployment(manifests);
  expect(pod.containers[0]?.image).toBe(image);
  expect(args).toContain(`--image=${image}`);
});

test('the notes say what to do next, what an uninstall leaves, and that no alerts are installed', async () => {
  const line = ['install', 'quiesce', CHART, '-n', 'quiesce-system', '--dry-run=client'];
  const { stdout } = await helm.run(...line);
  const notes = stdout.slice(stdout.indexOf('NOTES:'));
  expect(notes).toContain('helm test quiesce -n quiesce-system');
  expect(notes).toContain('quiesce.dev/inject');
  expect(notes).toContain('delete secret quiesce-webhook-tls');
  expect(notes).toMatch(/WARNING: no alerts are installed and the sidecars are not scraped/);
  const monitored = await helm.run(...line, ...EVERYTHING);
  expect(monitored.stdout.slice(monitored.stdout.indexOf('NOTES:'))).not.toContain('WARNING');
});

test('each alert has a runbook page, and each page an alert', async () => {
  const manifests = await helm.template(...EVERYTHING, ...APPLICATIONS);
  const { groups } = one(manifests, 'PrometheusRule')['spec'] as {
    groups: { rules: { alert: string; annotations: Record<string, string> }[] }[];
  };
  const alerts = groups.flatMap(({ rules }) => rules);
  const names = [...new Set(alerts.map(({ alert }) => `${alert}.md`))];
  const pages = (await readdir(join(CHART, '../../docs/runbooks'))).filter(
    (f) => f !== 'README.md',
  );
  expect(names.sort()).toEqual(pages.sort());
  for (const { alert, annotations } of alerts) {
    expect(annotations['runbook_url']).toBe(`https://docs.example/runbooks/${alert}.md`);
    const page = await readFile(join(CHART, '../../docs/runbooks', `${alert}.md`), 'utf8');
    expect(page).toMatch(new RegExp(`^# ${alert}\n`));
    for (const part of ['## What it means', '## Look', '## End it']) expect(page).toContain(part);
  }
});

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: unknown;
}

test('the schema lists every value and no other', async () => {
  const [values, schema] = await Promise.all(
    ['values.yaml', 'values.schema.json'].map(
      async (name) => parse(await readFile(join(CHART, name), 'utf8')) as object,
    ),
  );
  /** Stops at free-form values, such as labels. */
  const compare = (
    value: unknown,
    { properties, additionalProperties }: Schema,
    at: string,
  ): void => {
    if (properties === undefined) return;
    expect(additionalProperties, at).toBe(false);
    // Values that only a parent chart sets.
    const ofParent = at === '' ? ['global', 'enabled'] : [];
    const known = Object.keys(properties).filter((key) => !ofParent.includes(key));
    expect(known.sort(), at).toEqual(Object.keys(value as object).sort());
    for (const key of known) {
      const child = (value as Record<string, unknown>)[key];
      compare(child, properties[key] ?? {}, at === '' ? key : `${at}.${key}`);
    }
  };
  compare(values, schema as Schema, '');
});
