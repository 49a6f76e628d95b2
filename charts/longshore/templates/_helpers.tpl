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

{{- /* Labels of a hook's objects, from (dict "root" $ "hook" NAME). Its pods must not look like the
operator's, which a Deployment and a Service select by name and instance. */ -}}
{{- define "longshore.hookLabels" -}}
{{- $name := dict "app.kubernetes.io/name" (include "longshore.hookName" .) "app.kubernetes.io/component" .hook -}}
{{- merge $name (include "longshore.labels" .root | fromYaml) | toYaml -}}
{{- end -}}

{{- define "longshore.hookName" -}}
{{- printf "%s-%s" (include "longshore.name" .root) .hook -}}
{{- end -}}

{{- /* The log server's service account. The policy longshore-log-server has its name, too. */ -}}
{{- define "longshore.logApiAccountName" -}}
{{- printf "%s-logs" (include "longshore.serviceAccountName" .) -}}
{{- end -}}

{{- /* Its pods must not look like the operator's, which a Deployment selects by name and instance. */ -}}
{{- define "longshore.logApiSelectorLabels" -}}
app.kubernetes.io/name: {{ include "longshore.name" . }}-logs
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "longshore.logApiLabels" -}}
{{- merge (include "longshore.logApiSelectorLabels" . | fromYaml) (include "longshore.labels" . | fromYaml) | toYaml -}}
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

{{- define "longshore.runnerImage" -}}
{{- include "longshore.image" (dict "image" .Values.runner.image "name" "runner.image" "default" "longshore-runner" "root" .) -}}
{{- end -}}

{{- define "longshore.operatorImage" -}}
{{- include "longshore.image" (dict "image" .Values.image "name" "image" "default" "longshore" "root" .) -}}
{{- end -}}

{{- /* An image's reference, from (dict "image" VALUES "name" PATH-OF-THE-VALUES "root" $). */ -}}
{{- define "longshore.image" -}}
{{- $repository := required (printf "%s.repository is empty. Give the image without its tag, for example --set %s.repository=registry.example.com/%s; `make images` in Longshore's repository builds it and pushes it to a registry" .name .name .default) .image.repository -}}
{{- if contains "@" $repository -}}
{{- fail (printf "%s.repository has a digest (%s): write only the part before the @ there, and the part after it as %s.digest" .name $repository .name) -}}
{{- else if contains ":" (last (splitList "/" $repository)) -}}
{{- fail (printf "%s.repository has a tag (%s): write only the part before the last colon there, and the part after it as %s.tag" .name $repository .name) -}}
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

{{- /* Not empty if admission policies record who asked. Before Kubernetes 1.36 there are none. */ -}}
{{- define "longshore.recordsRequesters" -}}
{{- if and .Values.policies.requester.enabled (.Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy") -}}
true
{{- end -}}
{{- end -}}

{{- define "longshore.uninstallAnnotations" -}}
helm.sh/hook: pre-delete
# After a failure the Job stays, to be looked at.
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{- define "longshore.testAnnotations" -}}
helm.sh/hook: test
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}
