{{/* What schedules and drills have in common: a CronJob of one verb, with an account and rights of its own. */}}

{{/* `verb` and `entry`. A CronJob's name has at most 52 characters. */}}
{{- define "quiesce.jobName" -}}
{{- $end := printf "-%s-%s" .verb .name }}
{{- printf "%s%s" (include "quiesce.fullname" .root | trunc (sub 52 (len $end) | int) | trimSuffix "-") $end }}
{{- end }}

{{- define "quiesce.cronJob" -}}
apiVersion: batch/v1
kind: CronJob
metadata:
  name: {{ .name | quote }}
  namespace: {{ .root.Release.Namespace | quote }}
  labels:
    {{- include "quiesce.labelsAnd" .labels | nindent 4 }}
spec:
  schedule: {{ .entry.schedule | quote }}
  {{- with .entry.timeZone }}
  timeZone: {{ . | quote }}
  {{- end }}
  suspend: {{ default false .entry.suspend }}
  # A run takes its application's Lease: a second one beside it would only fail.
  concurrencyPolicy: Forbid
  startingDeadlineSeconds: {{ default 600 .entry.startingDeadlineSeconds | int }}
  successfulJobsHistoryLimit: 1
  failedJobsHistoryLimit: 3
  jobTemplate:
    metadata:
      labels:
        {{- include "quiesce.labelsAnd" .labels | nindent 8 }}
    spec:
      # A run that failed or is not proven has said so: the next one comes with the schedule.
      backoffLimit: 0
      activeDeadlineSeconds: {{ default .deadline .entry.activeDeadlineSeconds | int }}
      template:
        metadata:
          labels:
            {{- include "quiesce.labelsAnd" .labels | nindent 12 }}
        spec:
          serviceAccountName: {{ .name | quote }}
          restartPolicy: Never
          # After SIGTERM, the run still ends what it holds: it thaws every member, or removes what it made.
          terminationGracePeriodSeconds: {{ .grace }}
          {{- with .root.Values.imagePullSecrets }}
          imagePullSecrets:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          {{- with .root.Values.priorityClassName }}
          priorityClassName: {{ . | quote }}
          {{- end }}
          securityContext:
            {{- include "quiesce.podSecurity" .root | nindent 12 }}
          containers:
            - name: {{ .verb }}
              image: {{ include "quiesce.image" .root | quote }}
              imagePullPolicy: {{ .root.Values.image.pullPolicy }}
              args:
                - {{ .verb }}
                {{- range .entry.namespaces }}
                - {{ printf "--namespace=%s" . | quote }}
                {{- end }}
                {{- with .entry.group }}
                - {{ printf "--group=%s" . | quote }}
                {{- end }}
                {{- with .entry.selector }}
                - {{ printf "--selector=%s" . | quote }}
                {{- end }}
                {{- range .args }}
                - {{ . }}
                {{- end }}
              resources:
                {{- toYaml (default (dict "requests" (dict "cpu" "50m" "memory" "128Mi") "limits" (dict "memory" "512Mi")) .entry.resources) | nindent 16 }}
              securityContext:
                {{- include "quiesce.containerSecurity" .root | nindent 16 }}
          {{- include "quiesce.placement" .root | nindent 10 }}
{{- end }}

{{/* A CronJob's account; `namespaces` is a list of dicts: the name of a namespace, and its rules. */}}
{{- define "quiesce.jobAccount" -}}
{{- $outside := include "quiesce.outsideName" (dict "root" .root "name" .name) }}
{{- $labels := include "quiesce.labelsAnd" .labels }}
{{- $subject := printf "- { kind: ServiceAccount, name: %q, namespace: %q }" .name .root.Release.Namespace }}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ .name | quote }}
  namespace: {{ .root.Release.Namespace | quote }}
  labels:
    {{- $labels | nindent 4 }}
{{- if .root.Values.rbac.create }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ $outside | quote }}
  labels:
    {{- $labels | nindent 4 }}
rules:
  {{- .clusterRules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ $outside | quote }}
  labels:
    {{- $labels | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: {{ $outside | quote }}
subjects:
  {{- $subject | nindent 2 }}
{{- range .namespaces }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ $outside | quote }}
  namespace: {{ .name | quote }}
  labels:
    {{- $labels | nindent 4 }}
rules:
  {{- .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ $outside | quote }}
  namespace: {{ .name | quote }}
  labels:
    {{- $labels | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ $outside | quote }}
subjects:
  {{- $subject | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{/* The verbs reach DNS and the API server: sidecars are reached through it, never directly. */}}
{{- define "quiesce.jobNetworkPolicy" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "quiesce.fullname" .root }}-{{ .component }}s
  namespace: {{ .root.Release.Namespace | quote }}
  labels:
    {{- include "quiesce.labelsAnd" (dict "root" .root "component" .component) | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      {{- include "quiesce.partSelector" (dict "root" .root "component" .component) | nindent 6 }}
  policyTypes: [Ingress, Egress]
  egress:
    {{- include "quiesce.apiServerEgress" .root | nindent 4 }}
{{- end }}

{{/* Checks of the entries of a list that a schema cannot express. */}}
{{- define "quiesce.checkJobs" -}}
{{- $seen := dict }}
{{- $list := .list }}
{{- $deadline := .deadline }}
{{- range .entries }}
{{- if hasKey $seen .name }}
{{- fail (printf "%s: two have the name %s" $list .name) }}
{{- end }}
{{- $_ := set $seen .name true }}
{{- if ne (len .namespaces) (len (uniq .namespaces)) }}
{{- fail (printf "%s: %s names a namespace twice" $list .name) }}
{{- end }}
{{- if .timeout }}
{{- $limit := mul 1000 (default $deadline .activeDeadlineSeconds | int64) }}
{{- if ge (include "quiesce.milliseconds" .timeout | int64) $limit }}
{{- fail (printf "%s: the timeout of %s must be shorter than its activeDeadlineSeconds" $list .name) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
