{{- /* Whether the archive is a volume. Operator and log server are then containers of one pod. */ -}}
{{- define "longshore.archiveVolume" -}}
{{- if or .Values.archive.volume.existingClaim .Values.archive.volume.size -}}yes{{- end -}}
{{- end -}}

{{- define "longshore.archiveClaim" -}}
{{- .Values.archive.volume.existingClaim | default (printf "%s-archive" (include "longshore.fullname" .)) -}}
{{- end -}}

{{- /* The archive's URL. Empty without an archive. Refuses what cannot work. */ -}}
{{- define "longshore.archiveUrl" -}}
{{- $archive := .Values.archive -}}
{{- $volume := include "longshore.archiveVolume" . -}}
{{- if and $archive.volume.existingClaim $archive.volume.size -}}
{{- fail "archive.volume has existingClaim and size: give existingClaim to use a claim of your own, or size for one that the chart makes" -}}
{{- end -}}
{{- if and $archive.volume.storageClass (not $archive.volume.size) -}}
{{- fail "archive.volume.storageClass is set without archive.volume.size: the class is of the claim that the chart makes, so give its size, for example 50Gi" -}}
{{- end -}}
{{- with $archive.volume.size -}}
{{- if not (regexMatch "^[1-9][0-9]{0,11}([KMGTPE]i|[kMGTPE])?$" .) -}}
{{- fail (printf "archive.volume.size is %q: write a size in bytes as Kubernetes does, for example 50Gi" .) -}}
{{- end -}}
{{- end -}}
{{- if and $volume $archive.url -}}
{{- fail (printf "archive.url is %q and archive.volume is set too: give the url of an object store, or a volume" $archive.url) -}}
{{- end -}}
{{- if hasPrefix "file:" $archive.url -}}
{{- fail (printf "archive.url is %q: a folder of a container is gone with it. Leave archive.url empty, and give archive.volume.size or archive.volume.existingClaim" $archive.url) -}}
{{- end -}}
{{- if and $archive.url (not (regexMatch "^(s3|gs|az)://[^/:@?#]+(/[^?#]*)?$" $archive.url)) -}}
{{- fail (printf "archive.url is %q: write s3://bucket/prefix, gs://bucket/prefix or az://container/prefix. Credentials belong in archive.credentialsSecret, endpoint and region in archive.env" (regexReplaceAll "//[^/@]*@" $archive.url "//…@")) -}}
{{- end -}}
{{- if not (or $volume $archive.url) -}}
{{- $left := dict "credentialsSecret" $archive.credentialsSecret "env" $archive.env "caBundle" $archive.caBundle -}}
{{- range $name, $value := $left -}}
{{- if $value -}}
{{- fail (printf "archive.%s is set, but there is no archive: give archive.url, for example s3://bucket/prefix, or archive.volume" $name) -}}
{{- end -}}
{{- end -}}
{{- range $name, $value := $archive.retention -}}
{{- if $value -}}
{{- fail (printf "archive.retention.%s is set, but there is no archive: give archive.url, for example s3://bucket/prefix, or archive.volume" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if $volume -}}
{{- range $name, $value := dict "credentialsSecret" $archive.credentialsSecret "env" $archive.env "caBundle" $archive.caBundle -}}
{{- if $value -}}
{{- fail (printf "archive.%s is set, but the archive is a volume, which needs none: it belongs to an object store, with archive.url" $name) -}}
{{- end -}}
{{- end -}}
{{- if gt (int $.Values.replicas) 1 -}}
{{- fail (printf "replicas is %d, but one pod alone writes to archive.volume: set replicas to 1, or give archive.url of an object store" (int $.Values.replicas)) -}}
{{- end -}}
{{- if and $.Values.logApi.enabled (gt (int $.Values.logApi.replicas) 1) -}}
{{- fail (printf "logApi.replicas is %d, but with archive.volume the log server is in the operator's pod: set logApi.replicas to 1, or give archive.url of an object store" (int $.Values.logApi.replicas)) -}}
{{- end -}}
file:///var/lib/longshore/archive
{{- else -}}
{{- $archive.url -}}
{{- end -}}
{{- end -}}

{{- /* The flags that name the archive, for operator and log server. */ -}}
{{- define "longshore.archiveFlags" -}}
{{- with include "longshore.archiveUrl" . -}}
- {{ printf "--archive-url=%s" . | quote }}
{{- end }}
{{- if .Values.archive.caBundle }}
- --archive-ca-file=/etc/longshore/archive-ca/ca.crt
{{- end }}
{{- end -}}

{{- /* The flags of the operator, which removes logs. */ -}}
{{- define "longshore.retentionFlags" -}}
{{- with .Values.archive.retention -}}
{{- if and .keepFor (not (regexMatch "^([1-9][0-9]{0,4}w)?([1-9][0-9]{0,4}d)?([1-9][0-9]{0,5}h)?$" .keepFor)) -}}
{{- fail (printf "archive.retention.keepFor is %q: write a number with h, d or w, for example 36h or 90d" .keepFor) -}}
{{- end -}}
{{- range $name := list "maxBytes" "maxBytesOfNamespace" -}}
{{- $size := get $.Values.archive.retention $name -}}
{{- if and $size (not (regexMatch "^[1-9][0-9]{0,11}(Ki|Mi|Gi|Ti)?$" $size)) -}}
{{- fail (printf "archive.retention.%s is %q: write a whole number of bytes, or of Ki, Mi, Gi or Ti, for example 50Gi" $name $size) -}}
{{- end -}}
{{- end -}}
{{- with .keepFor }}
- {{ printf "--archive-keep-for=%s" . | quote }}
{{- end }}
{{- if gt (int64 .keepRuns) 0 }}
- {{ printf "--archive-keep-runs=%d" (int64 .keepRuns) | quote }}
{{- end }}
{{- with .maxBytes }}
- {{ printf "--archive-max-bytes=%s" . | quote }}
{{- end }}
{{- with .maxBytesOfNamespace }}
- {{ printf "--archive-max-bytes-of-namespace=%s" . | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- /* Credentials and settings of the store, as variables of a container. */ -}}
{{- define "longshore.archiveEnvFrom" -}}
{{- with .Values.archive.credentialsSecret -}}
envFrom:
  - secretRef:
      name: {{ . }}
{{- end -}}
{{- end -}}

{{- /* What a container mounts, from (dict "root" $ "readOnly" BOOLEAN). */ -}}
{{- define "longshore.archiveMounts" -}}
{{- if include "longshore.archiveVolume" .root -}}
- name: archive
  mountPath: /var/lib/longshore/archive
  readOnly: {{ .readOnly }}
{{- end }}
{{- if .root.Values.archive.caBundle }}
- name: archive-ca
  mountPath: /etc/longshore/archive-ca
  readOnly: true
{{- end }}
{{- end -}}

{{- define "longshore.archiveVolumes" -}}
{{- if include "longshore.archiveVolume" . -}}
- name: archive
  persistentVolumeClaim:
    claimName: {{ include "longshore.archiveClaim" . }}
{{- end }}
{{- if .Values.archive.caBundle }}
- name: archive-ca
  configMap:
    name: {{ include "longshore.fullname" . }}-archive-ca
{{- end }}
{{- end -}}

{{- /* Annotations of pods: what is read at their start starts other pods if it changes. */ -}}
{{- define "longshore.archiveAnnotations" -}}
{{- with .Values.archive.caBundle -}}
longshore.dev/archive-ca-sha256: {{ sha256sum . }}
{{- end -}}
{{- end -}}
