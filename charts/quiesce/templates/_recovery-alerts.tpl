{{/* Alerts on restores and drills of applications, from what the exporter reads of their records. */}}
{{- define "quiesce.recoveryAlerts" -}}
{{- $rule := .Values.prometheusRule }}
{{- $alerts := $rule.alerts }}
        {{- with $alerts.restoreNotProven }}
        {{- if .enabled }}
        - alert: QuiesceRestoreNotProven
          expr: |-
            max by (namespace, group, verdict) (stateful_backup_restore_verdict{verdict!="proven"}) == 1
            unless on (namespace, group) stateful_backup_restore_acknowledged == 1
          labels:
            {{- include "quiesce.alertLabels" (dict "alert" . "rule" $rule) | nindent 12 }}
          annotations:
            {{- include "quiesce.runbook" (dict "rule" $rule "page" "QuiesceRestoreNotProven") | nindent 12 }}
            summary: {{`"The last restore of {{ $labels.group }} in {{ $labels.namespace }} is {{ $labels.verdict }}"`}}
            description: {{`"The last restore of group {{ $labels.group }} in namespace {{ $labels.namespace }} has the verdict {{ $labels.verdict }}: nothing proves that all of its data is back. Its record says why."`}}
        {{- end }}
        {{- end }}
        {{- with $alerts.recoveryUnfinished }}
        {{- if .enabled }}
        - alert: QuiesceRecoveryUnfinished
          expr: |-
            {{- range $index, $run := list "restore" "drill" }}
            {{- if $index }}
            or
            {{- end }}
            label_replace(
              time() - max by (namespace, group) (stateful_backup_{{ $run }}_unfinished_since_timestamp_seconds) > {{ mul $alerts.recoveryUnfinished.hours 3600 }},
              "run", "{{ $run }}", "", ""
            )
            {{- end }}
          labels:
            {{- include "quiesce.alertLabels" (dict "alert" . "rule" $rule) | nindent 12 }}
          annotations:
            {{- include "quiesce.runbook" (dict "rule" $rule "page" "QuiesceRecoveryUnfinished") | nindent 12 }}
            summary: {{`"A {{ $labels.run }} of {{ $labels.group }} in {{ $labels.namespace }} has not ended for {{ $value | humanizeDuration }}"`}}
            description: {{`"The {{ $labels.run }} of group {{ $labels.group }} in namespace {{ $labels.namespace }} began {{ $value | humanizeDuration }} ago and has no verdict: it takes very long, or its verb has died and left it in the middle."`}}
        {{- end }}
        {{- end }}
        {{- with $alerts.drillNotVerified }}
        {{- if .enabled }}
        - alert: QuiesceDrillNotVerified
          expr: max by (namespace, group) (stateful_backup_drill_verified) == 0
          labels:
            {{- include "quiesce.alertLabels" (dict "alert" . "rule" $rule) | nindent 12 }}
          annotations:
            {{- include "quiesce.runbook" (dict "rule" $rule "page" "QuiesceDrillNotVerified") | nindent 12 }}
            summary: {{`"The last drill of {{ $labels.group }} in {{ $labels.namespace }} is not proven"`}}
            description: {{`"The last drill of group {{ $labels.group }} in namespace {{ $labels.namespace }} failed or proved nothing: do not expect that its backup can be restored. Its record says why."`}}
        {{- end }}
        {{- end }}
        {{- with $alerts.drillLeftBehind }}
        {{- if .enabled }}
        - alert: QuiesceDrillLeftBehind
          expr: max by (namespace, group) (stateful_backup_drill_left_behind) == 1
          for: 15m
          labels:
            {{- include "quiesce.alertLabels" (dict "alert" . "rule" $rule) | nindent 12 }}
          annotations:
            {{- include "quiesce.runbook" (dict "rule" $rule "page" "QuiesceDrillLeftBehind") | nindent 12 }}
            summary: {{`"The last drill of {{ $labels.group }} in {{ $labels.namespace }} did not remove all that it made"`}}
            description: {{`"Volumes, pods or a namespace of the last drill of group {{ $labels.group }} in namespace {{ $labels.namespace }} are still there, and cost storage. They have the label quiesce.dev/drill."`}}
        {{- end }}
        {{- end }}
        {{- include "quiesce.drillAgeAlerts" . }}
{{- end }}

{{/* A drill of the values has an age of its own; the rule without a matcher is for the other groups. */}}
{{- define "quiesce.drillAgeAlerts" -}}
{{- $rule := .Values.prometheusRule }}
{{- $alerts := $rule.alerts }}
        {{- with $alerts.drillTooOld }}
        {{- if .enabled }}
        {{- $own := list }}
        {{- $rest := list }}
        {{- range $.Values.drills }}
        {{- if .maxAgeHours }}
        {{- $matcher := include "quiesce.scheduleMatcher" . }}
        {{- $own = append $own (dict "hours" (int .maxAgeHours) "matcher" $matcher "more" (dict "drill" .name)) }}
        {{- $rest = append $rest (printf "unless on (namespace, group) stateful_backup_drill_verified{%s}" $matcher) }}
        {{- end }}
        {{- end }}
        {{- range append $own (dict "hours" (int .hours) "matcher" "" "rest" $rest) }}
        - alert: QuiesceDrillTooOld
          expr: |-
            (
              {{- include "quiesce.successAge" (merge (dict "success" "stateful_backup_drill_last_success_timestamp_seconds" "seen" "stateful_backup_drill_verified") .) | nindent 14 }}
            )
            {{- range .rest }}
            {{ . }}
            {{- end }}
          for: 5m
          labels:
            {{- include "quiesce.alertLabels" (dict "alert" $alerts.drillTooOld "rule" $rule "more" .more) | nindent 12 }}
          annotations:
            {{- include "quiesce.runbook" (dict "rule" $rule "page" "QuiesceDrillTooOld") | nindent 12 }}
            summary: {{ printf "No proven drill of {{ $labels.group }} in {{ $labels.namespace }} for %d hours" .hours | quote }}
            description: {{ printf "The last proven drill of group {{ $labels.group }} in namespace {{ $labels.namespace }} is older than %d hours, or none was ever proven." .hours | quote }}
        {{- end }}
        {{- end }}
        {{- end }}
        {{- with $alerts.noDrill }}
        {{- if .enabled }}
        {{- range $.Values.drills }}
        {{- if not .suspend }}
        {{- $hours := default $alerts.noDrill.hours .maxAgeHours | int }}
        # As long as the exporter finds no record of a drill of these values.
        - alert: QuiesceNoDrill
          expr: absent(stateful_backup_drill_verified{ {{- include "quiesce.scheduleMatcher" . -}} })
          for: {{ $hours }}h
          labels:
            {{- include "quiesce.alertLabels" (dict "alert" $alerts.noDrill "rule" $rule "more" (dict "namespace" (first .namespaces) "drill" .name)) | nindent 12 }}
          annotations:
            {{- include "quiesce.runbook" (dict "rule" $rule "page" "QuiesceNoDrill") | nindent 12 }}
            summary: {{ printf "The drill %s has never been made" .name | quote }}
            description: {{ printf "For %d hours there has been no record of the drill %s (namespaces %s): nobody knows whether its backups can be restored." $hours .name (join ", " .namespaces) | quote }}
        {{- end }}
        {{- end }}
        {{- end }}
        {{- end }}
{{- end }}
