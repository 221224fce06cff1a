{{/* Release and chart, at most 40 characters: what is cut keeps a digest, or two would be one. A
     chart under an alias always says it, so that two of one parent differ. */}}
{{- define "triton-embeddings.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := printf "%s-%s" .Release.Name $name -}}
{{- if and (eq $name "triton-embeddings") (contains $name .Release.Name) -}}
{{- $full = .Release.Name -}}
{{- end -}}
{{- $full = default $full .Values.fullnameOverride -}}
{{- if gt (len $full) 40 -}}
{{- $full = printf "%s-%s" (trunc 31 $full | trimSuffix "-") (sha256sum $full | trunc 8) -}}
{{- end -}}
{{- $full -}}
{{- end -}}

{{/* Of (dict "root" $ "component" "gateway"). They never change, so the version is not among them. */}}
{{- define "triton-embeddings.selectorLabels" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride | trunc 63 | trimSuffix "-" | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "triton-embeddings.labels" -}}
{{ include "triton-embeddings.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: triton-embeddings
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{/* Labels of pods: what the values add never replaces what a selector wants. */}}
{{- define "triton-embeddings.podLabels" -}}
{{- $own := include "triton-embeddings.labels" . | fromYaml -}}
{{- toYaml (merge $own .values.podLabels) -}}
{{- end -}}

{{- define "triton-embeddings.image" -}}
{{- if .image.digest -}}
{{- printf "%s@%s" .image.repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" .image.repository (default .root.Chart.AppVersion .image.tag) -}}
{{- end -}}
{{- end -}}

{{/* What every pod has in common, Jobs and tests too: who it runs as and where. */}}
{{- define "triton-embeddings.pod" -}}
{{- $scheduling := .values.scheduling -}}
{{- $gpu := and (has .component (list "triton" "export")) (eq .root.Values.triton.flavour "gpu") -}}
serviceAccountName: {{ include "triton-embeddings.fullname" .root | quote }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- $secrets := .root.Values.imagePullSecrets -}}
{{- range default list .root.Values.global.imagePullSecrets -}}
{{- $secrets = append $secrets (ternary (dict "name" .) . (kindIs "string" .)) -}}
{{- end }}
{{- with $secrets }}
imagePullSecrets:
  {{- uniq . | toYaml | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  seccompProfile: {type: RuntimeDefault}
  {{- with .values.podSecurityContext }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $scheduling.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $tolerations := default list $scheduling.tolerations -}}
{{- if and $gpu .root.Values.triton.gpu.toleration -}}
{{- $tolerations = append $tolerations (dict "key" "nvidia.com/gpu" "operator" "Exists" "effect" "NoSchedule") -}}
{{- end }}
{{- with $tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $scheduling.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $scheduling.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with $scheduling.runtimeClassName }}
runtimeClassName: {{ . | quote }}
{{- end }}
{{- if and $scheduling.topologySpread (has .component (list "gateway" "triton")) }}
topologySpreadConstraints:
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    matchLabelKeys: [pod-template-hash]
    labelSelector:
      matchLabels:
        {{- include "triton-embeddings.selectorLabels" $ | nindent 8 }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "triton-embeddings.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* What an egress rule needs for names. */}}
{{- define "triton-embeddings.dns" -}}
ports: # 5353 is where the pods of OpenShift answer
  - {port: 53, protocol: UDP}
  - {port: 53, protocol: TCP}
  - {port: 5353, protocol: UDP}
  - {port: 5353, protocol: TCP}
{{- end -}}

{{/* Seconds for a whole call: the gateway's own default unless it is set. */}}
{{- define "triton-embeddings.timeoutSeconds" -}}
{{- default 50 .Values.gateway.config.timeoutSeconds | ceil | int -}}
{{- end -}}
