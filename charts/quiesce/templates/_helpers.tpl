{{- define "quiesce.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* A Service's name must start with a letter and have no dots; a release's need not. */}}
{{- define "quiesce.fullname" -}}
{{- $name := include "quiesce.name" . }}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- if regexMatch "^[0-9]" $full }}
{{- $full = printf "%s-%s" $name .Release.Name }}
{{- end }}
{{- default $full .Values.fullnameOverride | replace "." "-" | trunc 50 | trimAll "-" }}
{{- end }}

{{- define "quiesce.webhookName" -}}
{{ include "quiesce.fullname" . }}-webhook
{{- end }}

{{/* Cluster-wide names include the namespace: two releases of the same name must not share objects. */}}
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
app.kubernetes.io/name: {{ include "quiesce.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: webhook
{{- end }}

{{- define "quiesce.labels" -}}
{{ include "quiesce.labelsAnd" (dict "root" .) }}
{{- end }}

{{/* Merged, not concatenated: strict parsers refuse a key that occurs twice. */}}
{{- define "quiesce.labelsAnd" -}}
{{- $component := default "webhook" .component }}
{{- $own := dict
  "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
  "app.kubernetes.io/component" $component
  "app.kubernetes.io/managed-by" .root.Release.Service }}
{{- $defaults := dict "app.kubernetes.io/version" .root.Chart.AppVersion "app.kubernetes.io/part-of" "quiesce" }}
{{- $selected := include "quiesce.selectorLabels" .root | fromYaml }}
{{- $own = merge $own $selected }}
{{- $given := merge (dict) (default dict .more) (default dict .root.Values.commonLabels) }}
{{- range $key, $_ := $given }}
{{- if hasKey $own $key }}
{{- fail (printf "the label %s cannot be set: the chart and Helm find their objects by it" $key) }}
{{- end }}
{{- end }}
{{- toYaml (merge $own $given $defaults) }}
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

{{/* A switch that is true, false or auto: auto means on if the cluster has the monitoring API. */}}
{{- define "quiesce.on" -}}
{{- if eq (toString .switch) "auto" }}
{{- if .root.Capabilities.APIVersions.Has "monitoring.coreos.com/v1" }}true{{ end }}
{{- else if .switch }}true{{ end }}
{{- end }}

{{- define "quiesce.alertLabels" -}}
{{- $own := dict "severity" .alert.severity }}
{{- toYaml (merge (dict) (default dict .rule.alertLabels) $own (default dict .more)) }}
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

{{- define "quiesce.milliseconds" -}}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 }}
{{- mul (regexFind "^[0-9]+" . | int64) (get $units (regexFind "[a-z]+$" .)) }}
{{- end }}

{{/* Checks that a schema cannot express, of values that the webhook would refuse at its start. */}}
{{- define "quiesce.check" -}}
{{- $webhook := .Values.webhook }}
{{- if eq (int $webhook.port) (int $webhook.metricsPort) }}
{{- fail "webhook.port and webhook.metricsPort must differ" }}
{{- end }}
{{- if lt (include "quiesce.milliseconds" .Values.sidecar.hookTimeout | int64) 2000 }}
{{- fail "sidecar.hookTimeout must be at least 2s" }}
{{- end }}
{{- $own := .Values.certificates.selfManaged }}
{{- $lifetime := include "quiesce.milliseconds" $own.lifetime | int64 }}
{{- if lt $lifetime 10000 }}
{{- fail "certificates.selfManaged.lifetime must be at least 10s" }}
{{- end }}
{{- if lt (include "quiesce.milliseconds" $own.caLifetime | int64) $lifetime }}
{{- fail "certificates.selfManaged.caLifetime must not be shorter than certificates.selfManaged.lifetime" }}
{{- end }}
{{- $part := "(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])" }}
{{- $v4 := printf `^(%s\.){3}%s/(3[0-2]|[12]?[0-9])$` $part $part }}
{{- range .Values.networkPolicy.apiServer }}
{{- if not (or (regexMatch $v4 .) (regexMatch `:.*/(12[0-8]|1[01][0-9]|[1-9]?[0-9])$` .)) }}
{{- fail (printf "networkPolicy.apiServer: %s is not a CIDR such as 10.0.0.1/32" .) }}
{{- end }}
{{- end }}
{{- end }}
