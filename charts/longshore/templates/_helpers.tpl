{{- define "longshore.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- /* 50 characters, so that the longest suffix leaves a name of at most 63. */ -}}
{{- define "longshore.fullname" -}}
{{- $name := .Values.nameOverride | default .Chart.Name -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else if .Values.nameOverride -}}
{{- printf "%s-%s" (.Release.Name | trunc 25) ($name | trunc 24) | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-longshore" (.Release.Name | trunc 40) -}}
{{- end -}}
{{- end -}}

{{- define "longshore.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "longshore.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "longshore.selectorLabels" -}}
app.kubernetes.io/name: {{ include "longshore.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "longshore.labels" -}}
{{- merge (include "longshore.ownLabels" . | fromYaml) .Values.commonLabels | toYaml -}}
{{- end -}}

{{- define "longshore.ownLabels" -}}
{{ include "longshore.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- /* Labels of what a hook brings, from (dict "root" $ "hook" NAME). Its pods must not look like the
operator's, which a Deployment and a Service choose by name and instance. */ -}}
{{- define "longshore.hookLabels" -}}
{{- $name := dict "app.kubernetes.io/name" (include "longshore.hookName" .) "app.kubernetes.io/component" .hook -}}
{{- merge $name (include "longshore.labels" .root | fromYaml) | toYaml -}}
{{- end -}}

{{- define "longshore.hookName" -}}
{{- printf "%s-%s" (include "longshore.name" .root) .hook -}}
{{- end -}}

{{- define "longshore.imagePullSecrets" -}}
{{- with concat (default (list) .Values.global.imagePullSecrets) .Values.imagePullSecrets | uniq -}}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{- /* Where pods of the chart may run. */ -}}
{{- define "longshore.placement" -}}
nodeSelector:
  {{- merge (deepCopy .Values.nodeSelector) (dict "kubernetes.io/os" "linux" "kubernetes.io/arch" "amd64") | toYaml | nindent 2 }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* Pod Security "restricted", for a pod. */ -}}
{{- define "longshore.podSecurity" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{- /* The same, for a container. */ -}}
{{- define "longshore.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end -}}

{{- define "longshore.operatorImage" -}}
{{- include "longshore.image" (dict "image" .Values.image "name" "image" "default" "longshore" "root" .) -}}
{{- end -}}

{{- /* What the operator may do where actions are: in a ClusterRole, or in a Role of each namespace. */ -}}
{{- define "longshore.namespaceRules" -}}
# To see actions, and to read one live before its pod is created. Spec and metadata are never written.
- apiGroups: [longshore.dev]
  resources: [deploymentactions]
  verbs: [get, list, watch]
# What became of an action is written to its status, by compare-and-swap.
- apiGroups: [longshore.dev]
  resources: [deploymentactions/status]
  verbs: [update]
# Pods are owned by their action, and the owner reference blocks the owner's deletion; clusters
# with the admission plugin OwnerReferencesPermissionEnforcement ask for this right then.
- apiGroups: [longshore.dev]
  resources: [deploymentactions/finalizers]
  verbs: [update]
# An action runs in a pod in its own namespace. patch takes the finalizer longshore.dev/collect
# off it, writes annotations and lowers activeDeadlineSeconds to stop a script; delete is for pods that did not start in time, and for those whose retention is over.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, create, patch, delete]
# A script in a ConfigMap is hashed when its run is frozen; whole ConfigMaps become variables.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get]
# The pull secrets of the service account that an action names, or of the default one, are named to
# the pod that resolves its tag.
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [get]
# A script's output, its end and its outputs are read from the pod's log.
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
# Why a pod does not start (a missing Secret, say) is told in its events alone.
- apiGroups: [""]
  resources: [events]
  verbs: [list]
# What happens to an action is told in events of its own; patch counts one that comes again.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

{{- /* What it may do in the whole cluster whichever namespaces it serves: these are not in any. */ -}}
{{- define "longshore.clusterRules" -}}
# Whether the policy on who may use what is in force, unaltered: nothing that names a Secret is
# started without it.
- apiGroups: [admissionregistration.k8s.io]
  resources: [validatingadmissionpolicies, validatingadmissionpolicybindings]
  resourceNames: [longshore-use]
  verbs: [get, list, watch]
# Whether all nodes have image volumes, and whether the node of a silent pod still reports.
- apiGroups: [""]
  resources: [nodes]
  verbs: [list]
{{- end -}}

{{- /* An image's reference, from (dict "image" VALUES "name" PATH-OF-THE-VALUES "root" $). */ -}}
{{- define "longshore.image" -}}
{{- $repository := required (printf "%s.repository is empty. Give the image without its tag, for example --set %s.repository=registry.example.com/%s; `make images` in Longshore's repository builds it and pushes it to a registry" .name .name .default) .image.repository -}}
{{- if contains "@" $repository -}}
{{- fail (printf "%s.repository has a digest (%s): write what is before the @ there, and what is behind it as %s.digest" .name $repository .name) -}}
{{- else if contains ":" (last (splitList "/" $repository)) -}}
{{- fail (printf "%s.repository has a tag (%s): write what is before the last colon there, and what is behind it as %s.tag" .name $repository .name) -}}
{{- else if contains "://" $repository -}}
{{- fail (printf "%s.repository has a scheme (%s): leave it out; plain HTTP is a matter of registries.plainHttp" .name $repository) -}}
{{- else if .image.digest -}}
{{- if not (regexMatch "^sha256:[a-f0-9]{64}$" .image.digest) -}}
{{- fail (printf "%s.digest is %q: write sha256: and 64 hexadecimal digits in lower case" .name .image.digest) -}}
{{- end -}}
{{- printf "%s@%s" $repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (.image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- /* How Prometheus scrapes: from metrics.serviceMonitor or metrics.podMonitor. */ -}}
{{- define "longshore.scrape" -}}
path: /metrics
interval: {{ .interval }}
scrapeTimeout: {{ .scrapeTimeout }}
{{- with .relabelings }}
relabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "longshore.uninstallAnnotations" -}}
helm.sh/hook: pre-delete
# After a failure the Job stays, to be looked at.
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{- define "longshore.uninstallRules" -}}
# To find pods of actions, and to take the finalizer off them; a right to patch cannot be limited to
# a label.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, patch]
{{- end -}}

{{- define "longshore.testAnnotations" -}}
helm.sh/hook: test
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}
