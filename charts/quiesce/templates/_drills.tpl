{{/*
What drills need. Each list of rights stands here once. Nobody knows the names of scratch namespaces before,
so the account may write in every namespace by RBAC; the policy below confines it to those of its drills.
*/}}

{{/* In each namespace of the application: to read it, and to record the result. Its Secrets start the copies. */}}
{{- define "quiesce.drillRules" -}}
- apiGroups: [""]
  resources: [pods, persistentvolumeclaims, services]
  verbs: [get, list]
- apiGroups: [apps]
  resources: [statefulsets, deployments, daemonsets, replicasets]
  verbs: [get, list]
- apiGroups: [snapshot.storage.k8s.io]
  resources: [volumesnapshots]
  verbs: [get, list]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, create, patch]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, create, patch, delete]
{{- if eq (default "data" .mode) "application" }}
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [get, list]
{{- end }}
{{- range .customResources }}
- apiGroups: [{{ regexReplaceAll "^[^.]+[.]" . "" | quote }}]
  resources: [{{ regexFind "^[^.]+" . | quote }}]
  verbs: [get, list]
{{- end }}
{{- end }}

{{/* In the namespace of Velero, where its backups are the source. */}}
{{- define "quiesce.drillVeleroRules" -}}
- apiGroups: [velero.io]
  resources: [backups, backupstoragelocations]
  verbs: [get, list]
# The address under which Velero's storage hands out what a backup holds.
- apiGroups: [velero.io]
  resources: [downloadrequests]
  verbs: [get, create, delete]
{{- if eq (default "data" .mode) "application" }}
- apiGroups: [velero.io]
  resources: [restores]
  verbs: [get, list, create, delete]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, create, delete]
{{- end }}
{{- end }}

{{- define "quiesce.drillClusterRules" -}}
- apiGroups: [storage.k8s.io]
  resources: [storageclasses]
  verbs: [list]
- apiGroups: [snapshot.storage.k8s.io]
  resources: [volumesnapshotclasses]
  verbs: [list]
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get, list, create, delete]
- apiGroups: [snapshot.storage.k8s.io]
  resources: [volumesnapshotcontents]
  verbs: [get, list, create, patch, delete]
# A volume that a drill made is deleted with its claim, also where its class retains volumes.
- apiGroups: [""]
  resources: [persistentvolumes]
  verbs: [get, list, patch]
- apiGroups: [snapshot.storage.k8s.io]
  resources: [volumesnapshots]
  verbs: [get, list, create, delete]
- apiGroups: [""]
  resources: [pods, persistentvolumeclaims]
  verbs: [get, list, create, delete]
- apiGroups: [""]
  resources: [pods/portforward, pods/exec]
  verbs: [get, create]
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
- apiGroups: [""]
  resources: [events]
  verbs: [list]
- apiGroups: [""]
  resources: [secrets, configmaps]
  verbs: [create]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, create]
- apiGroups: [""]
  resources: [resourcequotas, limitranges]
  verbs: [get, create]
{{- if eq (default "data" .mode) "application" }}
# Pods wait in scratch namespaces until it is their turn: the policy lets none of others be changed.
- apiGroups: [""]
  resources: [namespaces, pods]
  verbs: [patch]
- apiGroups: [""]
  resources: [services, serviceaccounts]
  verbs: [get, list, create]
- apiGroups: [apps]
  resources: [statefulsets, deployments, daemonsets, replicasets]
  verbs: [get, list, create]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list]
{{- range .customResources }}
- apiGroups: [{{ regexReplaceAll "^[^.]+[.]" . "" | quote }}]
  resources: [{{ regexFind "^[^.]+" . | quote }}]
  verbs: [get, list, create]
{{- end }}
{{- end }}
{{- end }}

{{/* Where a drill may write, as expressions of which one must be true. */}}
{{- define "quiesce.drillConfines" -}}
# In a namespace that a drill has made.
- 'namespaceObject != null && has(namespaceObject.metadata.labels) && "quiesce.dev/drill" in namespaceObject.metadata.labels'
# What belongs to no namespace: only what carries the label of a run, before and after.
- 'namespaceObject == null && request.resource.resource in ["namespaces", "volumesnapshotcontents"] && request.operation != "CONNECT" && [object, oldObject].all(it, it == null || (has(it.metadata.labels) && ("quiesce.dev/drill" in it.metadata.labels || (request.resource.resource != "namespaces" && "quiesce.dev/restore" in it.metadata.labels))))'
# The volumes of its claims.
- 'request.resource.resource == "persistentvolumes" && request.operation == "UPDATE" && has(oldObject.spec.claimRef) && oldObject.spec.claimRef.namespace.startsWith("drill-")'
# To ask what it may do.
- 'request.resource.group == "authorization.k8s.io"'
# The record of the drill and the Lease of the application.
- 'request.namespace in [{{ range $index, $one := .namespaces }}{{ if $index }}, {{ end }}{{ $one | quote }}{{ end }}] && request.resource.resource == "leases"'
- 'request.namespace in [{{ range $index, $one := .namespaces }}{{ if $index }}, {{ end }}{{ $one | quote }}{{ end }}] && request.resource.resource == "configmaps" && [object, oldObject].all(it, it == null || (has(it.metadata.labels) && "quiesce.dev/report" in it.metadata.labels && it.metadata.labels["quiesce.dev/report"] == "drill"))'
{{- with .veleroNamespace }}
- 'request.namespace == {{ . | quote }} && (request.resource.group == "velero.io" || request.resource.resource == "configmaps" && [object, oldObject].all(it, it == null || (has(it.metadata.labels) && ("quiesce.dev/drill" in it.metadata.labels || "quiesce.dev/restore" in it.metadata.labels))))'
{{- end }}
{{- end }}
