const INTRO = `# The doctor

<!-- Generated from src/cluster/doctor/rules by npm run generate. -->

\`quiesce doctor\` looks at a cluster, or at manifests before they reach one, and names every workload with volumes
that is unprotected or half-configured, what is wrong around it (Velero, snapshot classes, the webhook), and how to mend
it. It reads only.

\`\`\`sh
quiesce doctor                                  # the whole cluster of the current context
quiesce doctor -n shop -n blog                  # some namespaces; Velero and the webhook are looked at all the same
quiesce doctor -f manifests/ -o json            # manifests, for GitOps and CI: files, folders, - for standard input
helm template db charts/db | quiesce doctor -f -
kubectl get all,pvc -A -o yaml | quiesce doctor -f - --whole-cluster
\`\`\`

## What it prints
For each finding a severity, a code, the object, a sentence and a fix; then what was looked at. \`-o json\` prints one
object: \`apiVersion\`, \`kind: Diagnosis\`, \`source\`, \`scope\`, \`complete\`, \`summary\` (\`looked\`, \`workloads\`,
\`findings\`, as numbers), \`findings\` (\`code\`, \`severity\`, \`object\`, \`pods\`, \`message\`, \`fix\`), \`workloads\` (\`object\`,
\`state\`) and \`notLookedAt\`. Codes and names stay; new ones may come.

| state of a workload | |
|---|---|
| \`protected\` | it has its sidecar, and no error stands against it |
| \`opted-in\` | the same, once the webhook has added the sidecar: seen in templates of which no pod runs yet |
| \`half\` | meant to be protected, with an error |
| \`unprotected\` | a database with volumes that nothing freezes |
| \`left-out\` | the label \`quiesce.dev/inject: "false"\`, or the annotation \`quiesce.dev/freeze: none\`, says that it shall not be protected |
| \`other\` | no volumes, or no database that quiesce knows; not listed |

| exit code | |
|---|---|
| 0 | everything was looked at, and nothing found at or above \`--fail-on\` |
| 7 | findings at or above \`--fail-on\`: \`error\`, \`warning\` (default) or \`info\` |
| 2 | bad flags or manifests, no cluster, or not everything could be looked at |
| 1 | unexpected |

## What it judges
- **A cluster**: everything. What the credentials may not read is a finding of its own, \`NOT_LOOKED_AT\`, and nothing
  that depends on it is called in order.
- **Manifests**: what is in them. That something is missing (Velero, the webhook) is judged only where the manifests
  hold workloads beside parts of the platform (a webhook configuration, a snapshot class, a StorageClass, a Schedule),
  or with \`--whole-cluster\`. A Secret that only the sidecar uses must be among them, or an ExternalSecret or SealedSecret
  that makes it.
- A template with the label is judged as the webhook would make it; a running pod as it is.
- Grants inside the database cannot be seen from outside. \`--probe\` asks each running sidecar (exec).

`;

/** docs/doctor.md: what `quiesce doctor` finds, from the rules themselves. */
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
\`doctor.rbac: true\` in the chart makes a ClusterRole for it, and \`doctor.subjects\` binds it:

| resource | verbs | for |
|---|---|---|
${rights.join('\n')}
| \`namespaces\`, \`services\` | get | a namespace you named; the webhook’s Service |
| \`endpointslices.discovery.k8s.io\` | list | whether a replica of the webhook is ready |

Secrets are not among them. With a right to get Secrets the doctor reads those that sidecars and the webhook use, one
by one, and keeps the names of their keys and the webhook’s certificate; without it, it says that they were not looked
at (\`info\`). \`--probe\` needs \`get\` and \`create\` on \`pods/exec\`, which is the right to freeze.

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
