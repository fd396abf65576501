{{- define "precondition-proxy.name" -}}
{{- if contains "precondition-proxy" .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-precondition-proxy" (.Release.Name | trunc 44 | trimSuffix "-") -}}
{{- end -}}
{{- end -}}

{{- define "precondition-proxy.selector" -}}
app.kubernetes.io/name: precondition-proxy
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "precondition-proxy.labels" -}}
{{ include "precondition-proxy.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{/* The container, as an item of a list. */}}
{{- define "precondition-proxy.container" -}}
- name: precondition-proxy
  image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  ports:
    - {name: proxy-http, containerPort: {{ include "precondition-proxy.port" .Values.config.listen }}}
    - {name: proxy-admin, containerPort: {{ include "precondition-proxy.port" .Values.config.admin }}}
  env:
    - name: PROXY_TAG_SECRET
      valueFrom:
        secretKeyRef: {name: {{ .Values.secretName }}, key: tag-secret, optional: true}
    - name: PROXY_STORE__URL
      valueFrom:
        secretKeyRef: {name: {{ .Values.secretName }}, key: store-url, optional: true}
  # Once: a rollout with a store that cannot be reached stops here, and the old pods go on. Longer than the grace period
  # of a new store (one lease, 35s).
  startupProbe:
    httpGet: {path: /readyz, port: proxy-admin}
    periodSeconds: 2
    timeoutSeconds: 3
    failureThreshold: 60
  # Not /readyz: a store that is away would take every replica out at once, and reads pass without it.
  readinessProbe:
    httpGet: {path: /healthz, port: proxy-admin}
    periodSeconds: 5
    timeoutSeconds: 3
  livenessProbe:
    httpGet: {path: /healthz, port: proxy-admin}
    periodSeconds: 10
    timeoutSeconds: 5
    failureThreshold: 6
  resources: {{- toYaml .Values.resources | nindent 4 }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities: {drop: [ALL]}
    seccompProfile: {type: RuntimeDefault}
  volumeMounts:
    - {name: proxy-config, mountPath: /etc/precondition-proxy, readOnly: true}
    - {name: proxy-tmp, mountPath: /tmp}
{{- end -}}

{{/* The same as a native sidecar, for initContainers. */}}
{{- define "precondition-proxy.sidecar" -}}
{{ include "precondition-proxy.container" . }}
  restartPolicy: Always
{{- end -}}

{{/* What the container mounts, for volumes. */}}
{{- define "precondition-proxy.volumes" -}}
- name: proxy-config
  configMap: {name: {{ include "precondition-proxy.name" . }}}
- name: proxy-tmp
  emptyDir: {sizeLimit: 2Gi}
{{- end -}}

{{/* A change of the configuration rolls the pods. */}}
{{- define "precondition-proxy.checksum" -}}
checksum/precondition-proxy: {{ .Values.config | toYaml | sha256sum }}
{{- end -}}

{{- define "precondition-proxy.port" -}}
{{- regexFind "[0-9]+$" . | required "config.listen and config.admin must end in a port, such as :8412" -}}
{{- end -}}
