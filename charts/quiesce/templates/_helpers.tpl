{{- define "quiesce.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "quiesce.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "quiesce.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "quiesce.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "quiesce.webhookName" -}}
{{ include "quiesce.fullname" . }}-webhook
{{- end }}

{{/* Cluster-wide objects carry the namespace too: two releases of one name must not share them. */}}
{{- define "quiesce.clusterName" -}}
{{- $name := include "quiesce.webhookName" . }}
{{- if eq .Release.Namespace (include "quiesce.fullname" .) }}
{{- $name }}
{{- else }}
{{- $full := printf "%s-%s" .Release.Namespace $name }}
{{- if gt (len $full) 63 }}
{{- printf "%s-%s" ($full | trunc 54 | trimSuffix "-") (sha256sum $full | trunc 8) }}
{{- else }}
{{- $full }}
{{- end }}
{{- end }}
{{- end }}

{{- define "quiesce.selectorLabels" -}}
app.kubernetes.io/name: {{ include "quiesce.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: webhook
{{- end }}

{{- define "quiesce.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "quiesce.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: quiesce
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "quiesce.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "quiesce.webhookName" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "quiesce.image" -}}
{{- $tag := default .Chart.AppVersion .Values.image.tag }}
{{- if .Values.image.digest }}
{{- printf "%s:%s@%s" .Values.image.repository $tag .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository $tag }}
{{- end }}
{{- end }}

{{/* A switch that is true, false or auto: auto is where the cluster knows the monitoring API. */}}
{{- define "quiesce.on" -}}
{{- if eq (toString .switch) "auto" }}
{{- if .root.Capabilities.APIVersions.Has "monitoring.coreos.com/v1" }}true{{ end }}
{{- else if .switch }}true{{ end }}
{{- end }}

{{- define "quiesce.alertLabels" -}}
severity: {{ .alert.severity }}
{{- with .rule.alertLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "quiesce.runbook" -}}
{{- if .rule.runbookBaseUrl -}}
runbook_url: {{ printf "%s/%s.md" (trimSuffix "/" .rule.runbookBaseUrl) .page | quote }}
{{- else -}}
runbook: {{ printf "docs/runbooks/%s.md" .page | quote }}
{{- end }}
{{- end }}

{{- define "quiesce.tlsSecret" -}}
{{- if eq .Values.certificates.mode "secret" }}
{{- .Values.certificates.secret.name }}
{{- else }}
{{- include "quiesce.webhookName" . }}-tls
{{- end }}
{{- end }}
