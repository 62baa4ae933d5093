{{/* helm/partywall/templates/_names.tpl: names, labels and figures that several templates use. Makes no object. */}}

{{- define "partywall.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "partywall.fullname" -}}
{{- $name := include "partywall.name" . }}
{{- if contains $name .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "partywall.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (include "partywall.fullname" .) }}
{{- end }}

{{- define "partywall.selectorLabels" -}}
app.kubernetes.io/name: {{ include "partywall.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "partywall.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "partywall.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "partywall.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* What the agent's containers may do; no more is needed to load, attach and pin. */}}
{{- define "partywall.securityContext" -}}
runAsUser: 0
runAsGroup: 0
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
  add: [BPF, NET_ADMIN, PERFMON]
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* Memory in MiB: the agent itself, then its maps, which the kernel counts as the container's. Measured with two
     processors: 260 MiB of maps and 80 KiB for each tenant that there is room for; some of them have a cell for
     each processor. */}}
{{- define "partywall.resources" -}}
{{- if .Values.resources }}
{{- toYaml .Values.resources }}
{{- else }}
{{- $maps := add 288 (div (mul (int .Values.maxTenants) 80) 1024) -}}
requests: {cpu: 50m, memory: {{ add $maps 64 }}Mi}
limits: {memory: {{ add $maps 256 (div (mul (int .Values.maxTenants) 24) 1024) }}Mi}
{{- end }}
{{- end }}
