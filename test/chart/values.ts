const set = (values: Readonly<Record<string, string>>): string[] =>
  Object.entries(values).flatMap(([key, value]) => ['--set', `${key}=${value}`]);

/** Switches on everything that can be on at the same time. */
export const EVERYTHING = set({
  'podMonitor.enabled': 'true',
  'serviceMonitor.enabled': 'true',
  'prometheusRule.enabled': 'true',
  'prometheusRule.runbookBaseUrl': 'https://docs.example/runbooks/',
  'prometheusRule.alertLabels.team': 'storage',
  'networkPolicy.apiServer': '{10.0.0.1/32,fd00::1/128}',
  'networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.name': 'monitoring',
  'webhook.excludedNamespaces': '{kube-public}',
  'webhook.namespaceMatchExpressions[0].key': 'backup',
  'webhook.namespaceMatchExpressions[0].operator': 'Exists',
  'commonLabels.team': 'storage',
  'podLabels.zone': 'a',
  'podAnnotations.note': 'hello',
  'dashboard.annotations.grafana_folder': 'Backups',
  'serviceAccount.annotations.note': 'hello',
  'imagePullSecrets[0].name': 'registry',
  priorityClassName: 'system-cluster-critical',
  'nodeSelector.kubernetes\\.io/os': 'linux',
  'tolerations[0].operator': 'Exists',
  'topologySpreadConstraints[0].maxSkew': '1',
  'topologySpreadConstraints[0].topologyKey': 'topology.kubernetes.io/zone',
  'topologySpreadConstraints[0].whenUnsatisfiable': 'ScheduleAnyway',
  'topologySpreadConstraints[0].labelSelector.matchLabels.a': 'b',
});

/** Switches on what is about applications: schedules with every key and with as few as possible, the exporter. */
export const APPLICATIONS = set({
  'exporter.enabled': 'true',
  'schedules[0].name': 'nightly',
  'schedules[0].schedule': '0 2 * * *',
  'schedules[0].namespaces': '{shop}',
  'schedules[1].name': 'weekly',
  'schedules[1].schedule': '@weekly',
  'schedules[1].timeZone': 'Europe/Berlin',
  'schedules[1].namespaces': '{shop,queue}',
  'schedules[1].group': 'orders',
  'schedules[1].selector': 'tier=data',
  'schedules[1].groupSnapshots': 'true',
  'schedules[1].customResources': '{clusters.postgresql.cnpg.io}',
  'schedules[1].keep': '4',
  'schedules[1].keepFor': '720h',
  'schedules[1].timeout': '10m',
  'schedules[1].maxAgeHours': '30',
  'schedules[1].startingDeadlineSeconds': '3600',
  'schedules[1].activeDeadlineSeconds': '900',
  'schedules[1].resources.limits.memory': '1Gi',
  'schedules[2].name': 'paused',
  'schedules[2].schedule': '*/15 * * * *',
  'schedules[2].namespaces': '{queue}',
  'schedules[2].suspend': 'true',
});

/** The sets of values that are rendered, linted and sent to a real API server. */
export const VALUE_SETS: Readonly<Record<string, readonly string[]>> = {
  defaults: [],
  everything: EVERYTHING,
  'cert-manager': [...EVERYTHING, ...set({ 'certificates.mode': 'cert-manager' })],
  'an existing Secret': [
    ...EVERYTHING,
    ...set({
      'certificates.mode': 'secret',
      'certificates.secret.name': 'mine',
      'certificates.secret.caBundle': 'Q0E=',
    }),
  ],
  'the doctor': set({
    'doctor.rbac': 'true',
    'doctor.subjects[0].kind': 'ServiceAccount',
    'doctor.subjects[0].name': 'doctor',
    'doctor.subjects[0].namespace': 'quiesce-system',
    fullnameOverride: 'n'.repeat(63),
  }),
  'the same label in several places': [
    ...EVERYTHING,
    ...set({
      'commonLabels.release': 'backup',
      'podMonitor.labels.release': 'prometheus',
      'serviceMonitor.labels.release': 'prometheus',
      'prometheusRule.labels.release': 'prometheus',
      'dashboard.labels.release': 'grafana',
      'podLabels.release': 'pods',
      'prometheusRule.alertLabels.severity': 'page',
      'prometheusRule.alertLabels.namespace': 'backup',
    }),
  ],
  applications: [...EVERYTHING, ...APPLICATIONS],
  'applications in some namespaces': [
    ...APPLICATIONS,
    ...set({ 'exporter.namespaces': '{shop,queue}', 'networkPolicy.enabled': 'false' }),
  ],
  'the longest names': [
    ...EVERYTHING,
    ...APPLICATIONS,
    ...set({ fullnameOverride: 'n'.repeat(63), 'schedules[0].name': 's'.repeat(30) }),
  ],
  'as little as possible': set({
    replicas: '1',
    'networkPolicy.enabled': 'false',
    'dashboard.enabled': 'false',
    'serviceAccount.create': 'false',
    'serviceAccount.name': 'mine',
    'rbac.create': 'false',
    'podMonitor.enabled': 'false',
    'serviceMonitor.enabled': 'false',
    'prometheusRule.enabled': 'false',
    'webhook.failurePolicy': 'Fail',
  }),
};
