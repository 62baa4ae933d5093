{{/* helm/partywall/templates/_config.tpl: the text of the agent's configuration file. Its keys are the agent's flags. */}}

{{- define "partywall.config" -}}
kubernetes: true
namespace: {{ .Release.Namespace }}
clusterCidrs: {{ join "," .Values.clusterCIDRs | quote }}
serviceCidrs: {{ join "," .Values.serviceCIDRs | quote }}
infrastructureNamespaces: {{ append .Values.infrastructure.namespaces .Release.Namespace | uniq | join "," | quote }}
{{- /* A tenant that reaches nodes at the agents' port is judged there once more, by the agent's own pod. */}}
{{- $offers := .Values.infrastructure.offers }}
{{- if and .Values.https.enabled .Values.https.nodeCIDRs }}
{{- $offers = append $offers (printf "%d/TCP" (int .Values.https.port)) | uniq }}
{{- end }}
infrastructureOffers: {{ join "," $offers | quote }}
infrastructureReaches: {{ join "," .Values.infrastructure.reaches | quote }}
unassignedNamespaces: {{ .Values.unassignedNamespaces }}
cgroupRoot: {{ .Values.cgroupRoot | quote }}
edgeInterfaces: {{ join "," .Values.edgeInterfaces | quote }}
edgeMarkMask: {{ .Values.edgeMarkMask | quote }}
edgeOrder: {{ .Values.edgeOrder }}
bpffs: {{ .Values.bpffs | quote }}
stateDir: {{ .Values.runFolder | quote }}
controlSocket: {{ printf "%s/agent.sock" .Values.runFolder | quote }}
metrics: 127.0.0.1:{{ .Values.metrics.port }}
{{- if .Values.https.enabled }}
https: "*:{{ .Values.https.port }}"
{{- if .Values.https.certificateSecret }}
httpsCertificate: /etc/partywall-tls/tls.crt
httpsKey: /etc/partywall-tls/tls.key
{{- end }}
{{- end }}
maxTenants: {{ .Values.maxTenants }}
syscalls: {{ .Values.syscalls }}
events: {{ .Values.events }}
logFormat: {{ .Values.logFormat }}
logLevel: {{ .Values.logLevel }}
{{- $lane := .Values.infrastructure.lane }}
{{- if .Values.https.enabled }}
{{- range $i, $range := .Values.https.nodeCIDRs }}
{{- $ports := list (dict "protocol" "TCP" "port" $.Values.https.port) }}
{{- $lane = append $lane (dict "name" (printf "partywall-https-%d" $i) "cidr" $range "direction" "egress" "ports" $ports) }}
{{- end }}
{{- end }}
{{- with $lane }}
infrastructure:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
