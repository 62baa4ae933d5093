{{/* helm/partywall/templates/_containers.tpl: the DaemonSet's one container: the agent, or what takes it out of the
     node's kernel. */}}

{{/* Its list of containers, as `uninstall` and the hook need it, too: arguments are the root and whether it is that. */}}
{{- define "partywall.containers" -}}
{{- $root := index . 0 }}
{{- $uninstall := index . 1 }}
{{- with $root }}
- name: agent
  image: {{ include "partywall.image" . | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  {{- if $uninstall }}
  command: [/usr/bin/partywall, --bpffs, {{ .Values.bpffs }}, --state-dir, {{ .Values.runFolder }}]
  args: [uninstall, --yes, --stay]
  # Ready means: nothing is left on this node.
  readinessProbe:
    exec:
      command: [/usr/bin/partywall, --bpffs, {{ .Values.bpffs }}, uninstall, --check]
    periodSeconds: 1
    timeoutSeconds: 5
    failureThreshold: 1
  {{- else }}
  args: [--config, /etc/partywall/partywalld.yaml, --node, $(NODE_NAME), --pod-uid, $(POD_UID)]
  # Ready means: the first generation of the policy is in force.
  {{- $ready := dict "host" "127.0.0.1" "port" .Values.metrics.port "path" "/readyz" }}
  startupProbe:
    httpGet: {{ toJson $ready }}
    periodSeconds: 1
    timeoutSeconds: 3
    failureThreshold: 120
  readinessProbe:
    httpGet: {{ toJson $ready }}
    periodSeconds: 5
    timeoutSeconds: 3
  livenessProbe:
    httpGet: {{ toJson (set (deepCopy $ready) "path" "/healthz") }}
    periodSeconds: 10
    timeoutSeconds: 5
    failureThreshold: 6
  {{- end }}
  env:
    - name: NODE_NAME
      valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
    - name: POD_UID
      valueFrom: {fieldRef: {fieldPath: metadata.uid}}
  securityContext:
    {{- include "partywall.securityContext" . | nindent 4 }}
  resources:
    {{- include "partywall.resources" . | nindent 4 }}
  volumeMounts:
    - {name: config, mountPath: /etc/partywall, readOnly: true}
    - {name: cgroups, mountPath: /sys/fs/cgroup, readOnly: true}
    - {name: bpffs, mountPath: /sys/fs/bpf}
    - {name: run, mountPath: {{ .Values.runFolder | quote }}}
    {{- if and .Values.https.enabled .Values.https.certificateSecret }}
    - {name: tls, mountPath: /etc/partywall-tls, readOnly: true}
    {{- end }}
{{- end }}
{{- end }}
