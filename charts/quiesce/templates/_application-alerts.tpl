{{/*
The name under which a schedule's runs are recorded: its group, else its namespaces with the selector, as
quiesce plan names the application.
*/}}
{{- define "quiesce.scheduleGroup" -}}
{{- $name := default (join "." (sortAlpha .namespaces)) .group }}
{{- if and .selector (not .group) }}
{{- $name = printf "%s.%s" $name (regexReplaceAll "[^A-Za-z0-9]+" .selector "-" | trimAll "-") }}
{{- end }}
{{- if gt (len $name) 63 }}
{{- printf "%s-%s" (regexReplaceAll "[^A-Za-z0-9]+$" (trunc 54 $name) "") (sha256sum $name | trunc 8) }}
{{- else }}
{{- $name }}
{{- end }}
{{- end }}

{{/* Selects the series of a schedule's runs. Their record is in one of its namespaces. */}}
{{- define "quiesce.scheduleMatcher" -}}
namespace=~"{{ join "|" .namespaces }}", group={{ include "quiesce.scheduleGroup" . | quote }}
{{- end }}

{{/*
Where the last success is too old, or there was none since the first record. `success` and `seen` are metrics
with the labels namespace and group: when, and that there is a record.
*/}}
{{- define "quiesce.successAge" -}}
{{- $seconds := mul .hours 3600 -}}
time() - max by (namespace, group) ({{ .success }}{ {{- .matcher -}} }) > {{ $seconds }}
or
(
  max by (namespace, group) (last_over_time({{ .seen }}{ {{- .matcher -}} }[1h] offset {{ .hours }}h))
  and max by (namespace, group) ({{ .seen }}{ {{- .matcher -}} })
  unless max by (namespace, group) ({{ .success }}{ {{- .matcher -}} })
)
{{- end }}

{{- define "quiesce.applicationAlerts" -}}
{{- $rule := .Values.prometheusRule }}
{{- $alerts := $rule.alerts }}
        {{- with $alerts.runNotProven }}
        {{- if .enabled }}
        - alert: QuiesceRunNotProven
          expr: max by (namespace, group, verdict) (stateful_backup_group_verdict{verdict!="proven"}) == 1
          labels:
            {{- include "quiesce.alertLabels" (dict "alert" . "rule" $rule) | nindent 12 }}
          annotations:
            {{- include "quiesce.runbook" (dict "rule" $rule "page" "QuiesceRunNotProven") | nindent 12 }}
            summary: {{`"The last snapshot of {{ $labels.group }} in {{ $labels.namespace }} is {{ $labels.verdict }}"`}}
            description: {{`"The last run of group {{ $labels.group }} in namespace {{ $labels.namespace }} has the verdict {{ $labels.verdict }}: do not rely on its snapshots. Its record says why."`}}
        {{- end }}
        {{- end }}
        {{- with $alerts.provenRunTooOld }}
        {{- if .enabled }}
        {{- $own := list }}
        {{- range $.Values.schedules }}
        {{- if .maxAgeHours }}
        {{- $own = append $own (dict "hours" (int .maxAgeHours) "matcher" (include "quiesce.scheduleMatcher" .) "more" (dict "schedule" .name)) }}
        {{- end }}
        {{- end }}
        {{- $rest := list }}
        {{- range $own }}
        {{- $rest = append $rest (printf "unless on (namespace, group) stateful_backup_group_verdict{%s}" .matcher) }}
        {{- end }}
        {{- range append $own (dict "hours" (int .hours) "matcher" "" "rest" $rest) }}
        - alert: QuiesceProvenRunTooOld
          expr: |-
            (
              {{- include "quiesce.successAge" (merge (dict "success" "stateful_backup_group_last_success_timestamp_seconds" "seen" "stateful_backup_group_verdict") .) | nindent 14 }}
            )
            {{- range .rest }}
            {{ . }}
            {{- end }}
          for: 5m
          labels:
            {{- include "quiesce.alertLabels" (dict "alert" $alerts.provenRunTooOld "rule" $rule "more" .more) | nindent 12 }}
          annotations:
            {{- include "quiesce.runbook" (dict "rule" $rule "page" "QuiesceProvenRunTooOld") | nindent 12 }}
            summary: {{ printf "No proven snapshot of {{ $labels.group }} in {{ $labels.namespace }} for %d hours" .hours | quote }}
            description: {{ printf "The last proven run of group {{ $labels.group }} in namespace {{ $labels.namespace }} is older than %d hours, or none was ever proven." .hours | quote }}
        {{- end }}
        {{- end }}
        {{- end }}
        {{- with $alerts.noRun }}
        {{- if .enabled }}
        {{- range $.Values.schedules }}
        {{- if not .suspend }}
        {{- $hours := default $alerts.noRun.hours .maxAgeHours | int }}
        # As long as the exporter finds no record of a run of this schedule.
        - alert: QuiesceNoRun
          expr: absent(stateful_backup_group_verdict{ {{- include "quiesce.scheduleMatcher" . -}} })
          for: {{ $hours }}h
          labels:
            {{- include "quiesce.alertLabels" (dict "alert" $alerts.noRun "rule" $rule "more" (dict "namespace" (first .namespaces) "schedule" .name)) | nindent 12 }}
          annotations:
            {{- include "quiesce.runbook" (dict "rule" $rule "page" "QuiesceNoRun") | nindent 12 }}
            summary: {{ printf "The schedule %s has made no run" .name | quote }}
            description: {{ printf "For %d hours there has been no record of a run of the schedule %s (namespaces %s): nothing is backed up." $hours .name (join ", " .namespaces) | quote }}
        {{- end }}
        {{- end }}
        {{- end }}
        {{- end }}
{{- end }}

{{- define "quiesce.exporterAlerts" -}}
{{- $rule := .Values.prometheusRule }}
{{- $alerts := $rule.alerts }}
{{- $job := printf `namespace="%s", job="%s"` .Release.Namespace (include "quiesce.exporterName" .) }}
        {{- with $alerts.exporterDown }}
        {{- if .enabled }}
        # The alerts on runs and snapshots need the exporter: without its metrics, none of them fires.
        - alert: QuiesceExporterDown
          expr: absent(up{ {{- $job -}} } == 1)
          for: 10m
          labels:
            {{- include "quiesce.alertLabels" (dict "alert" . "rule" $rule "more" (dict "namespace" $.Release.Namespace)) | nindent 12 }}
          annotations:
            {{- include "quiesce.runbook" (dict "rule" $rule "page" "QuiesceExporterDown") | nindent 12 }}
            summary: The quiesce exporter does not answer
            description: Prometheus cannot reach the exporter, so a failed snapshot, a run that is not proven and an old backup raise no alert.
        {{- end }}
        {{- end }}
        {{- with $alerts.exporterStale }}
        {{- if .enabled }}
        # The second half: a resource that was never read.
        - alert: QuiesceExporterStale
          expr: |-
            time() - quiesce_exporter_last_read_timestamp_seconds{ {{- $job -}} } > {{ mul .minutes 60 }}
            or
            (
              quiesce_exporter_read_errors_total{ {{- $job -}} }
              unless on (namespace, job, pod, instance, resource) quiesce_exporter_last_read_timestamp_seconds
            )
          for: 5m
          labels:
            {{- include "quiesce.alertLabels" (dict "alert" . "rule" $rule) | nindent 12 }}
          annotations:
            {{- include "quiesce.runbook" (dict "rule" $rule "page" "QuiesceExporterStale") | nindent 12 }}
            summary: {{`"The quiesce exporter cannot read {{ $labels.resource }}"`}}
            description: {{ printf "{{ $labels.namespace }}/{{ $labels.pod }} has not read {{ $labels.resource }} for %d minutes, or never: what its metrics say is old. Its log says why." (int .minutes) | quote }}
        {{- end }}
        {{- end }}
{{- end }}
