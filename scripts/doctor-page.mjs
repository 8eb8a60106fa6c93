const INTRO = `# The doctor

<!-- Generated from src/cluster/doctor/rules by npm run generate. -->

\`quiesce doctor\` examines a cluster, or manifests before they reach one. It lists every workload with volumes that is
unprotected or half-configured, the faults around it (Velero, snapshot classes, the webhook), and how to fix them. It
only reads.

\`\`\`sh
quiesce doctor                                  # the whole cluster of the current context
quiesce doctor -n shop -n blog                  # some namespaces; Velero and the webhook are examined too
quiesce doctor -f manifests/ -o json            # manifests, for GitOps and CI: files, folders, - for standard input
helm template db charts/db | quiesce doctor -f -
kubectl get all,pvc -A -o yaml | quiesce doctor -f - --whole-cluster
\`\`\`

## What it prints
For each finding a severity, a code, the object, a sentence and a fix; then what was examined. \`-o json\` prints one
object: \`apiVersion\`, \`kind: Diagnosis\`, \`source\`, \`scope\`, \`complete\`, \`summary\` (\`looked\`, \`workloads\`,
\`findings\`, as numbers), \`findings\` (\`code\`, \`severity\`, \`object\`, \`pods\`, \`message\`, \`fix\`), \`workloads\`
(\`object\`, \`state\`) and \`notLookedAt\`. \`object\` is text, \`NAMESPACE KIND/NAME\`, and \`kind\`, \`name\` and
\`namespace\` stand beside it. Codes and field names are stable; new ones may be added.

| state of a workload | |
|---|---|
| \`protected\` | it has its sidecar, and the doctor found no error |
| \`opted-in\` | no error, and protected once the webhook adds the sidecar: for templates without a running pod |
| \`half\` | it is meant to be protected but has an error |
| \`unprotected\` | a database with volumes that nothing freezes |
| \`left-out\` | excluded by the label \`quiesce.dev/inject: "false"\` or the annotation \`quiesce.dev/freeze: none\` |
| \`other\` | it has no volumes, or no database that quiesce knows; not listed |

| exit code | |
|---|---|
| 0 | everything was examined, without a finding at or above \`--fail-on\` |
| 7 | findings at or above \`--fail-on\`: \`error\`, \`warning\` (default) or \`info\` |
| 2 | bad flags or manifests, no cluster, or some objects could not be examined |
| 1 | unexpected |

## What it judges
- **A cluster**: everything. Objects that the credentials may not read are reported as \`NOT_LOOKED_AT\`, and the doctor
  does not report anything that depends on them as correct.
- **Manifests**: only the objects in them. The doctor reports a missing part (Velero, the webhook) only if the manifests
  contain workloads as well as parts of the platform (a webhook configuration, a snapshot class, a StorageClass, a
  Schedule), or with \`--whole-cluster\`. A Secret that only the sidecar uses must be in the manifests, or an
  ExternalSecret or SealedSecret that creates it.
- A template with the label is judged as the webhook would change it; a running pod as it is.
- Grants inside the database cannot be seen from outside. \`--probe\` asks each running sidecar (exec).

`;

/** docs/doctor.md: the findings of `quiesce doctor`, from the rules themselves. */
export function doctorPage({ THEMES, RESOURCES, resourceName }) {
  const sections = THEMES.map(({ title, rules }) => section(title, rules));
  const index = THEMES.flatMap(({ rules }) =>
    rules.map(
      ({ code, severity, title }) =>
        `| [\`${code}\`](#${code.toLowerCase()}) | ${severity} | ${title} |`,
    ),
  );
  const rights = RESOURCES.map((one) => `| \`${resourceName(one)}\` | list | ${one.why} |`);
  return `${INTRO}## What it may read
\`doctor.rbac: true\` in the chart creates a ClusterRole for the doctor, and \`doctor.subjects\` binds it:

| resource | verbs | for |
|---|---|---|
${rights.join('\n')}
| \`namespaces\`, \`services\`, \`configmaps\` | get | a namespace you named; the webhook’s Service; the volume policies that Schedules name |
| \`endpointslices.discovery.k8s.io\` | list | whether a replica of the webhook is ready |

The role does not include Secrets. With the right to get Secrets, the doctor reads those that sidecars and the webhook
use, one by one, and keeps only the names of their keys and the webhook’s certificate. Without it, the doctor reports
that they were not examined (\`info\`). \`--probe\` needs \`get\` and \`create\` on \`pods/exec\`, which is the right to freeze.

## Everything it finds
| Code | Severity | |
| --- | --- | --- |
${index.join('\n')}

${sections.join('\n')}`;
}

function section(title, rules) {
  const parts = rules.map(
    ({ code, severity, title: what, why, fix }) =>
      `### ${code}\n\n${what} (${severity}). ${why}\n\n**Fix:** ${fix}\n`,
  );
  return `## ${title}\n\n${parts.join('\n')}`;
}
