{{/* helm/partywall/templates/_config.tpl: the text of the agent's configuration file. Its keys are the agent's flags. */}}

{{- define "partywall.config" -}}
kubernetes: true
namespace: {{ .Release.Namespace }}
clusterCidrs: {{ join "," .Values.clusterCIDRs | quote }}
serviceCidrs: {{ join "," .Values.serviceCIDRs | quote }}
infrastructureNamespaces: {{ append .Values.infrastructure.namespaces .Release.Namespace | uniq | join "," | quote }}
infrastructureOffers: {{ join "," .Values.infrastructure.offers | quote }}
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
maxTenants: {{ .Values.maxTenants }}
syscalls: {{ .Values.syscalls }}
events: {{ .Values.events }}
logFormat: {{ .Values.logFormat }}
logLevel: {{ .Values.logLevel }}
{{- with .Values.infrastructure.lane }}
infrastructure:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
