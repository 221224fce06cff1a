{{/* The claim that an export is written to. */}}
{{- define "triton-embeddings.claim" -}}
{{- default (printf "%s-models" (include "triton-embeddings.fullname" .)) .Values.model.claim.name -}}
{{- end -}}

{{/* Arguments of the export but for its output, as JSON. */}}
{{- define "triton-embeddings.exportArguments" -}}
{{- $export := .Values.model.export -}}
{{- $target := ternary "cuda" "cpu" (eq .Values.triton.flavour "gpu") -}}
{{- $arguments := list $export.id "--revision" $export.revision "--target" $target -}}
{{- range $flag, $value := dict "--served-name" $export.servedName "--precision" $export.precision -}}
{{- if $value -}}{{- $arguments = concat $arguments (list $flag $value) -}}{{- end -}}
{{- end -}}
{{- range $export.aliases -}}{{- $arguments = concat $arguments (list "--alias" .) -}}{{- end -}}
{{- concat $arguments $export.extraArgs | toJson -}}
{{- end -}}

{{/* Folder of an export: named by all that it depends on, so another one never takes its place. */}}
{{- define "triton-embeddings.exportFolder" -}}
{{- $image := include "triton-embeddings.image" (dict "root" . "image" .Values.model.export.image) -}}
{{- $digest := printf "%s %s" $image (include "triton-embeddings.exportArguments" .) | sha256sum | trunc 8 -}}
{{- printf "/repository/%s/%s" .Values.model.path $digest | clean -}}
{{- end -}}

{{- define "triton-embeddings.exportJob" -}}
{{- $spec := include "triton-embeddings.exportSpec" . -}}
{{- printf "%s-export-%s" (include "triton-embeddings.fullname" .) ($spec | sha256sum | trunc 8) -}}
{{- end -}}

{{/* On one node, or each would hold the claim against the other. */}}
{{- define "triton-embeddings.besideTriton" -}}
podAffinity:
  requiredDuringSchedulingIgnoredDuringExecution:
    - topologyKey: kubernetes.io/hostname
      labelSelector:
        matchLabels:
          {{- include "triton-embeddings.selectorLabels" (dict "root" . "component" "triton") | nindent 10 }}
{{- end -}}

{{/* Of a Job, which cannot be changed: its name holds the digest of this, so it holds no version. */}}
{{- define "triton-embeddings.exportSpec" -}}
{{- $export := .Values.model.export -}}
{{- $context := $export.podSecurityContext -}}
{{- if not (or (hasKey $context "fsGroup") (.Capabilities.APIVersions.Has "security.openshift.io/v1")) -}}
{{- $context = merge (dict "fsGroup" 1000 "fsGroupChangePolicy" "OnRootMismatch") $context -}}
{{- end -}}
{{- $scheduling := deepCopy (default .Values.triton.scheduling $export.scheduling) -}}
{{- if eq $export.storage.accessMode "ReadWriteOnce" -}}
{{- $_ := set $scheduling "affinity" (merge (include "triton-embeddings.besideTriton" . | fromYaml) (default dict $scheduling.affinity)) -}}
{{- end -}}
{{- $scope := dict "root" . "component" "export" "values" (dict "scheduling" $scheduling "podSecurityContext" $context) -}}
activeDeadlineSeconds: {{ $export.deadlineSeconds }}
backoffLimit: 2
podFailurePolicy:
  rules:
    # Arguments, the model, its conversion, its verification, the output: again would be the same.
    - {action: FailJob, onExitCodes: {containerName: export, operator: In, values: [2, 4, 5, 6, 7]}}
    - {action: Ignore, onPodConditions: [{type: DisruptionTarget, status: "True"}]}
template:
  metadata:
    labels:
      {{- include "triton-embeddings.selectorLabels" $scope | nindent 6 }}
  spec:
    {{- include "triton-embeddings.pod" $scope | nindent 4 }}
    restartPolicy: Never
    containers:
      - name: export
        image: {{ include "triton-embeddings.image" (dict "root" . "image" $export.image) }}
        imagePullPolicy: {{ $export.image.pullPolicy }}
        command:
          - python3
          - -c
          - |
            {{- .Files.Get "files/export.py" | trim | nindent 12 }}
          - {{ include "triton-embeddings.exportFolder" . | quote }}
          {{- range include "triton-embeddings.exportArguments" . | fromJsonArray }}
          - {{ . | quote }}
          {{- end }}
        env:
          - {name: HOME, value: /tmp}
          - {name: HF_HUB_DISABLE_TELEMETRY, value: "1"}
          - {name: ORT_DISABLE_TELEMETRY, value: "1"}
          {{- with $export.tokenSecret }}
          - name: HF_TOKEN
            valueFrom:
              secretKeyRef: {name: {{ .name | quote }}, key: {{ .key | quote }}}
          {{- end }}
          {{- with $export.extraEnv }}
          {{- toYaml . | nindent 10 }}
          {{- end }}
        resources:
          {{- toYaml $export.resources | nindent 10 }}
        securityContext:
          {{- include "triton-embeddings.containerSecurity" . | nindent 10 }}
        volumeMounts:
          - {name: repository, mountPath: /repository}
          - {name: tmp, mountPath: /tmp}
    volumes:
      - name: repository
        persistentVolumeClaim: {claimName: {{ include "triton-embeddings.claim" . | quote }}}
      - name: tmp
        emptyDir: {sizeLimit: {{ $export.scratchSize }}}
{{- end -}}
