/** Groups whose kinds make no pods of an application, each with its subdomains. */
const GROUPS = [
  'k8s.io',
  'cert-manager.io',
  'acme.cert-manager.io',
  'external-secrets.io',
  'bitnami.com',
  'secrets.hashicorp.com',
  'redhatcop.redhat.io',
  'infisical.com',
  'onepassword.com',
  'isindir.github.com',
  'istio.io',
  'linkerd.io',
  'traefik.io',
  'traefik.containo.us',
  'projectcontour.io',
  'konghq.com',
  'haproxy.com',
  'haproxy.org',
  'getambassador.io',
  'cilium.io',
  'projectcalico.org',
  'metallb.io',
  'keda.sh',
  'kyverno.io',
  'gatekeeper.sh',
  'velero.io',
  'openshift.io',
  'karpenter.sh',
  'karpenter.k8s.aws',
  'cluster.x-k8s.io',
  'crossplane.io',
  'upbound.io',
  'tekton.dev',
  'longhorn.io',
  'objectbucket.io',
  'elbv2.k8s.aws',
  'cloud.google.com',
  'stakater.com',
  'quiesce.dev',
];

/** Kinds that configure something, or end by themselves as Jobs do, by group. */
const KINDS: Readonly<Record<string, string>> = {
  'postgresql.cnpg.io':
    'Backup ScheduledBackup Database Publication Subscription ImageCatalog ClusterImageCatalog DatabaseRole',
  'barmancloud.cnpg.io': 'ObjectStore',
  'kafka.strimzi.io': 'KafkaTopic KafkaUser KafkaConnector KafkaRebalance StrimziPodSet',
  'core.strimzi.io': 'StrimziPodSet',
  'rabbitmq.com':
    'Queue Exchange Binding User Permission Policy OperatorPolicy Vhost Shovel Federation SchemaReplication SuperStream TopicPermission',
  'k8s.keycloak.org': 'KeycloakRealmImport',
  'keycloak.org': 'KeycloakRealm KeycloakClient KeycloakUser KeycloakBackup',
  'monitoring.coreos.com':
    'ServiceMonitor PodMonitor Probe PrometheusRule AlertmanagerConfig ScrapeConfig',
  'operator.victoriametrics.com':
    'VMServiceScrape VMPodScrape VMRule VMProbe VMUser VMNodeScrape VMStaticScrape VMAlertmanagerConfig',
  'grafana.integreatly.org':
    'GrafanaDashboard GrafanaDatasource GrafanaFolder GrafanaAlertRuleGroup GrafanaContactPoint',
  'argoproj.io':
    'AppProject Workflow CronWorkflow WorkflowTemplate ClusterWorkflowTemplate AnalysisTemplate AnalysisRun ClusterAnalysisTemplate',
  'fluxcd.io':
    'GitRepository OCIRepository HelmRepository Bucket Provider Alert Receiver ImagePolicy ImageRepository ImageUpdateAutomation',
  'psmdb.percona.com': 'PerconaServerMongoDBBackup PerconaServerMongoDBRestore',
  'pxc.percona.com': 'PerconaXtraDBClusterBackup PerconaXtraDBClusterRestore',
  'pgv2.percona.com': 'PerconaPGBackup PerconaPGRestore',
  'k8s.mariadb.com': 'Backup Restore Database User Grant Connection SqlJob PhysicalBackup',
  'temporal.io': 'TemporalNamespace TemporalSchedule',
  'platform.confluent.io':
    'KafkaTopic Schema Connector KafkaRestClass ConfluentRolebinding ClusterLink',
  'cluster.redpanda.com': 'Topic User Schema',
  'stackgres.io':
    'SGInstanceProfile SGPostgresConfig SGPoolingConfig SGBackup SGScript SGObjectStorage',
};

/** Whether resources of this kind are known to make no pods of an application. */
export function makesNoPods(group: string, kind: string): boolean {
  if (GROUPS.some((one) => group === one || group.endsWith(`.${one}`))) return true;
  const kinds = Object.entries(KINDS).flatMap(([one, names]) =>
    group === one || group.endsWith(`.${one}`) ? names.split(' ') : [],
  );
  return kinds.includes(kind);
}
