{{- define "longshore.fullname" -}}
{{- if contains "longshore" .Release.Name -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-longshore" (.Release.Name | trunc 43) -}}
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
app.kubernetes.io/name: longshore
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "longshore.labels" -}}
{{ include "longshore.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
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
