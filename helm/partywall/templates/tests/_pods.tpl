{{/* helm/partywall/templates/tests/_pods.tpl: what the pods of `helm test` have in common: no right at all. */}}

{{- define "partywall.testPod" -}}
automountServiceAccountToken: false
terminationGracePeriodSeconds: 1
securityContext: {runAsNonRoot: true, runAsUser: 65534, seccompProfile: {type: RuntimeDefault}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "partywall.testContainer" -}}
image: {{ include "partywall.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
command: [/usr/bin/partywall-probe]
securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {memory: 64Mi}}
{{- end }}
