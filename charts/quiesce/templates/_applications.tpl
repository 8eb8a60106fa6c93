{{/* What schedules and the exporter need. Each list of rights stands here once. */}}

{{- define "quiesce.exporterName" -}}
{{ include "quiesce.fullname" . }}-exporter
{{- end }}

{{/* A part's labels for selectors: those of the webhook, with another component. */}}
{{- define "quiesce.partSelector" -}}
{{- include "quiesce.selectorLabels" .root | replace "component: webhook" (printf "component: %s" .component) }}
{{- end }}

{{/* Names of objects outside the release's namespace: two releases must not share them. */}}
{{- define "quiesce.outsideName" -}}
{{- $full := printf "%s-%s" .root.Release.Namespace .name }}
{{- if gt (len $full) 63 }}
{{- printf "%s-%s" ($full | trunc 54 | trimSuffix "-") (sha256sum $full | trunc 8) }}
{{- else }}
{{- $full }}
{{- end }}
{{- end }}

{{/*
The rights of a schedule in each namespace of its application. pods/portforward and pods/exec reach the
sidecars; leases let one run at a time work on an application.
*/}}
{{- define "quiesce.scheduleRules" -}}
- apiGroups: [""]
  resources: [pods, persistentvolumeclaims, services]
  verbs: [list]
- apiGroups: [apps]
  resources: [statefulsets, deployments, daemonsets, replicasets]
  verbs: [list]
- apiGroups: [""]
  resources: [pods/portforward, pods/exec]
  verbs: [get, create]
- apiGroups: [snapshot.storage.k8s.io]
  resources: [volumesnapshots]
  verbs: [get, list, create, patch, delete]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, create, patch]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, create, patch, delete]
{{- range .customResources }}
- apiGroups: [{{ regexReplaceAll "^[^.]+[.]" . "" | quote }}]
  resources: [{{ regexFind "^[^.]+" . | quote }}]
  verbs: [get, list]
{{- end }}
{{- if .groupSnapshots }}
- apiGroups: [groupsnapshot.storage.k8s.io]
  resources: [volumegroupsnapshots]
  verbs: [get, list, create, patch, delete]
# A group snapshot selects its claims by a label, which the run sets.
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [patch]
{{- end }}
{{- end }}

{{/* The rights of every schedule on what belongs to no namespace. All of them read. */}}
{{- define "quiesce.scheduleClusterRules" -}}
- apiGroups: [""]
  resources: [persistentvolumes]
  verbs: [get]
- apiGroups: [storage.k8s.io]
  resources: [storageclasses]
  verbs: [list]
- apiGroups: [snapshot.storage.k8s.io]
  resources: [volumesnapshotclasses]
  verbs: [list]
- apiGroups: [snapshot.storage.k8s.io]
  resources: [volumesnapshotcontents]
  verbs: [get]
{{- if .groupSnapshots }}
- apiGroups: [groupsnapshot.storage.k8s.io]
  resources: [volumegroupsnapshotclasses]
  verbs: [list]
- apiGroups: [groupsnapshot.storage.k8s.io]
  resources: [volumegroupsnapshotcontents]
  verbs: [get]
{{- end }}
{{- end }}

{{/* The rights of the exporter in each namespace that it reads. RBAC cannot restrict ConfigMaps to a label. */}}
{{- define "quiesce.exporterRules" -}}
- apiGroups: [snapshot.storage.k8s.io]
  resources: [volumesnapshots]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [list, watch]
{{- end }}

{{/* To know the driver of a snapshot, and whether a namespace still exists. */}}
{{- define "quiesce.exporterClusterRules" -}}
- apiGroups: [snapshot.storage.k8s.io]
  resources: [volumesnapshotclasses]
  verbs: [list]
- apiGroups: [snapshot.storage.k8s.io]
  resources: [volumesnapshotcontents]
  verbs: [get]
- apiGroups: [""]
  resources: [namespaces]
  {{- with .Values.exporter.namespaces }}
  # Not in the namespace's own Role, which is deleted with it.
  resourceNames:
    {{- toYaml . | nindent 4 }}
  verbs: [get]
  {{- else }}
  verbs: [list]
  {{- end }}
{{- end }}

{{/* OpenShift gives each namespace users of its own, and refuses all others. */}}
{{- define "quiesce.onOpenShift" -}}
{{- if .Capabilities.APIVersions.Has "security.openshift.io/v1" }}true{{ end }}
{{- end }}

{{- define "quiesce.sidecarUser" -}}
{{- if eq .Values.sidecar.runAsUser "auto" }}
{{- ternary "platform" "image" (eq (include "quiesce.onOpenShift" .) "true") }}
{{- else }}
{{- .Values.sidecar.runAsUser }}
{{- end }}
{{- end }}

{{- define "quiesce.podSecurity" -}}
{{- $user := .Values.runAsUser }}
{{- if not (kindIs "string" $user) }}
{{- /* Helm reads numbers as floats, and would print a large one as 1e+09. */}}
{{- $user = $user | int64 | toString }}
{{- else if eq $user "auto" }}
{{- $user = ternary "platform" "65532" (eq (include "quiesce.onOpenShift" .) "true") }}
{{- end }}
runAsNonRoot: true
{{- if ne $user "platform" }}
runAsUser: {{ $user }}
runAsGroup: {{ $user }}
fsGroup: {{ $user }}
{{- end }}
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "quiesce.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{/* Egress to DNS and the API server, and nothing else. */}}
{{- define "quiesce.apiServerEgress" -}}
- ports:
    - { port: 53, protocol: UDP }
    - { port: 53, protocol: TCP }
- ports:
    {{- range .Values.networkPolicy.apiServerPorts }}
    - { port: {{ . }}, protocol: TCP }
    {{- end }}
  {{- with .Values.networkPolicy.apiServer }}
  to:
    {{- range . }}
    - ipBlock: { cidr: {{ . | quote }} }
    {{- end }}
  {{- end }}
{{- end }}

{{/* What nodes may run the pods, for all of the chart's pods alike. */}}
{{- define "quiesce.placement" -}}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
