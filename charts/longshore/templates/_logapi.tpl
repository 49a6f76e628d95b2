{{- /* The log server's container, in a pod of its own or, with an archive in a volume, in the operator's. */ -}}
{{- define "longshore.logApiContainer" -}}
{{- $name := printf "%s-logs" (include "longshore.fullname" .) -}}
{{- $shared := include "longshore.archiveVolume" . -}}
{{- $http := ternary "logs-http" "http" (not (empty $shared)) -}}
- name: logs
  image: {{ include "longshore.operatorImage" . | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  args:
    - serve-logs
    - {{ printf "--service=%s" $name | quote }}
    - {{ printf "--secret=%s" $name | quote }}
    {{- if $shared }}
    - --health-listen=0.0.0.0:8081
    {{- end }}
    - {{ printf "--max-requests=%d" (int .Values.logApi.maxRequests) | quote }}
    - {{ printf "--max-requests-of-user=%d" (int .Values.logApi.maxRequestsOfUser) | quote }}
    {{- with include "longshore.archiveFlags" . | trim }}
    {{- . | nindent 4 }}
    {{- end }}
    - {{ printf "--log-format=%s" .Values.log.format | quote }}
    - {{ printf "--log=%s" .Values.log.filter | quote }}
  env:
    - name: LONGSHORE_NAMESPACE
      valueFrom:
        fieldRef:
          fieldPath: metadata.namespace
    {{- with .Values.archive.env }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with include "longshore.archiveEnvFrom" . }}
  {{- . | nindent 2 }}
  {{- end }}
  ports:
    - name: https
      containerPort: 8443
    - name: {{ $http }}
      containerPort: {{ ternary 8081 8080 (not (empty $shared)) }}
  livenessProbe:
    httpGet: {path: /livez, port: {{ $http }}}
    periodSeconds: 10
    timeoutSeconds: 5
  readinessProbe:
    httpGet: {path: /readyz, port: {{ $http }}}
    periodSeconds: 2
    timeoutSeconds: 5
  {{- with .Values.logApi.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- include "longshore.containerSecurity" . | nindent 2 }}
  {{- $mounts := include "longshore.archiveMounts" (dict "root" . "readOnly" true) | trim }}
  {{- if or $mounts $shared }}
  volumeMounts:
    {{- with $mounts }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- if $shared }}
    # In this place, no token of the operator is mounted here.
    - name: logs-token
      mountPath: /var/run/secrets/kubernetes.io/serviceaccount
      readOnly: true
    {{- end }}
  {{- end }}
{{- end -}}
