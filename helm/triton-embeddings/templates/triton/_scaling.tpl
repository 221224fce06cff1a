{{/* What Tritons are counted by; who asks for more of them wins. KEDA queries these itself; an
     adapter answers for a HorizontalPodAutoscaler: docs/kubernetes.md has its rules. */}}
{{- define "triton-embeddings.signals" -}}
{{- $capacity := float64 .Values.triton.capacityTokensPerSecond -}}
# Load, at seven tenths of what the pods can do.
- series: gateway_embedded_tokens_total
  query: sum(rate(SERIES[2m]))
  metric: gateway_embedded_tokens_per_second
  threshold: {{ mulf $capacity 0.7 | ceil | int64 | quote }}
# Backlog: three seconds of work wait for each pod, over a minute: one scrape that meets a burst of
# seconds would ask for twice the pods.
- series: gateway_waiting_tokens
  query: sum(avg_over_time(SERIES[1m]))
  metric: gateway_waiting_tokens
  threshold: {{ mulf $capacity 3.0 | ceil | int64 | quote }}
{{- end -}}

{{/* The Service by whose series one release is told from another. */}}
{{- define "triton-embeddings.countedService" -}}
{{ include "triton-embeddings.fullname" . }}-gateway-operations
{{- end -}}

{{/* Up at once; down one pod after another, since each takes minutes to come back. */}}
{{- define "triton-embeddings.scalingBehavior" -}}
scaleUp:
  stabilizationWindowSeconds: 0
  policies: [{type: Percent, value: 100, periodSeconds: 60}]
scaleDown:
  stabilizationWindowSeconds: {{ .Values.triton.autoscaling.scaleDownStabilizationSeconds }}
  policies: [{type: Pods, value: 1, periodSeconds: 300}]
{{- end -}}
