{{/* What the schema cannot compare, or not say in a sentence: what is wrong, and what to do. */}}
{{- define "triton-embeddings.check" -}}
{{- include "triton-embeddings.checkCluster" . -}}
{{- include "triton-embeddings.checkGateway" .Values.gateway -}}
{{- include "triton-embeddings.checkTriton" .Values.triton -}}
{{- include "triton-embeddings.checkExport" .Values.model.export -}}
{{- include "triton-embeddings.checkRoute" . -}}
{{- if eq .Values.model.source "export" -}}
{{- $pod := (include "triton-embeddings.exportSpec" . | fromYaml).template.spec -}}
{{- include "triton-embeddings.checkPod" (dict "name" "model.export" "pod" $pod "container" (first $pod.containers)) -}}
{{- end -}}
{{- range $name, $component := dict "gateway" .Values.gateway "triton" .Values.triton -}}
{{- if gt (int $component.autoscaling.minReplicas) (int $component.autoscaling.maxReplicas) -}}
{{- fail (printf "%s.autoscaling.minReplicas is above maxReplicas: raise the one or lower the other" $name) -}}
{{- end -}}
{{- $file := printf "%s/%s/deployment.yaml" $.Template.BasePath $name -}}
{{- $pod := (include $file $ | fromYaml).spec.template.spec -}}
{{- include "triton-embeddings.checkPod" (dict "name" $name "pod" $pod "container" (first $pod.containers)) -}}
{{- end -}}
{{- end -}}

{{- define "triton-embeddings.checkCluster" -}}
{{- $fullname := include "triton-embeddings.fullname" . -}}
{{- if not (regexMatch "^[a-z]" $fullname) -}}
{{- fail (printf "%s begins with no letter, which names of Services must: set fullnameOverride" $fullname) -}}
{{- end -}}
{{- if and (eq .Values.model.source "image") (eq .Values.model.image.mode "volume") (semverCompare "<1.33.0-0" .Capabilities.KubeVersion.Version) -}}
{{- fail "model.source image needs Kubernetes 1.33: set model.image.mode to copy" -}}
{{- end -}}
{{- $since := get (dict "PreferClose" "1.31" "PreferSameZone" "1.34" "PreferSameNode" "1.34") .Values.gateway.service.trafficDistribution -}}
{{- if and $since (semverCompare (printf "<%s.0-0" $since) .Capabilities.KubeVersion.Version) -}}
{{- fail (printf "gateway.service.trafficDistribution %s needs Kubernetes %s: leave it empty" .Values.gateway.service.trafficDistribution $since) -}}
{{- end -}}
{{- if and .Values.triton.gpu.resourceClaimTemplate (semverCompare "<1.31.0-0" .Capabilities.KubeVersion.Version) -}}
{{- fail "triton.gpu.resourceClaimTemplate needs Kubernetes 1.31, and 1.34 without a feature gate" -}}
{{- end -}}
{{- end -}}

{{- define "triton-embeddings.checkGateway" -}}
{{- $keys := len .auth.keys -}}
{{- if eq .auth.mode "required" -}}
{{- if and (eq $keys 0) (not .auth.existingSecret) -}}
{{- fail "gateway.auth has no keys: name a Secret in existingSecret, list digests in keys, or let everybody in with mode off" -}}
{{- end -}}
{{- if and $keys .auth.existingSecret -}}
{{- fail "gateway.auth has keys at two places: leave existingSecret or keys empty" -}}
{{- end -}}
{{- else if or $keys .auth.existingSecret -}}
{{- fail "gateway.auth has keys that nobody asks for: set mode to required, or leave existingSecret and keys empty" -}}
{{- end -}}
{{- $names := list -}}
{{- range .auth.keys -}}
{{- if has .name $names -}}
{{- fail (printf "gateway.auth.keys has two of the name %s: give each its own" .name) -}}
{{- end -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- range .extraEnv -}}
{{- if hasPrefix "GATEWAY_" .name -}}
{{- fail (printf "gateway.extraEnv has %s: settings belong to gateway.config, secrets to gateway.secretConfig, keys to gateway.auth" .name) -}}
{{- end -}}
{{- end -}}
{{- if eq (int .config.port) (int .config.operationsPort) -}}
{{- fail "gateway.config.port and operationsPort are the same: operations have a port of their own" -}}
{{- end -}}
{{- if and .config.cacheSecretFile .secretConfig.cacheSecret -}}
{{- fail "gateway.config.cacheSecretFile and gateway.secretConfig.cacheSecret are both given: leave one" -}}
{{- end -}}
{{- end -}}

{{- define "triton-embeddings.checkTriton" -}}
{{- $none := list "0" "0%" -}}
{{- if and (has (toString .strategy.maxSurge) $none) (has (toString .strategy.maxUnavailable) $none) -}}
{{- fail "triton.strategy has no pod more and no pod less, so none would ever be replaced: set maxSurge or maxUnavailable to 1" -}}
{{- end -}}
{{- if lt (include "triton-embeddings.amount" .sharedMemory | float64) 167772160.0 -}}
{{- fail (printf "triton.sharedMemory is %s: three steps need 160Mi, each further process of one 32Mi more" .sharedMemory) -}}
{{- end -}}
{{- range $which := list "requests" "limits" -}}
{{- if hasKey (default dict (get $.resources $which)) $.gpu.resourceName -}}
{{- fail (printf "triton.resources.%s has %s: triton.gpu.count says how many" $which $.gpu.resourceName) -}}
{{- end -}}
{{- end -}}
{{- $given := list "model-repository" "model-control-mode" "disable-auto-complete-config" "exit-timeout-secs" "allow-gpu-metrics" -}}
{{- range .extraArgs -}}
{{- if has (regexFind "[a-z-]+" (trimPrefix "--" .)) $given -}}
{{- fail (printf "triton.extraArgs has %s, which the chart gives already: leave it out" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "triton-embeddings.checkExport" -}}
{{- $given := list "output" "revision" "target" "served-name" "alias" "precision" -}}
{{- range .extraArgs -}}
{{- if has (regexFind "[a-z-]+" (trimPrefix "--" .)) $given -}}
{{- fail (printf "model.export.extraArgs has %s, which the chart gives already: leave it out" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "triton-embeddings.checkRoute" -}}
{{- $route := .Values.httpRoute -}}
{{- $digits := regexFind "^[0-9]+" $route.timeout -}}
{{- $seconds := mulf (float64 $digits) (get (dict "ms" 0.001 "s" 1.0 "m" 60.0 "h" 3600.0) (trimPrefix $digits $route.timeout)) -}}
{{- $timeout := default 50 .Values.gateway.config.timeoutSeconds -}}
{{- if and $route.enabled (le (float64 $seconds) (float64 $timeout)) -}}
{{- fail (printf "httpRoute.timeout is %s, no longer than gateway.config.timeoutSeconds, %v: raise it, or callers get its error for the gateway's" $route.timeout $timeout) -}}
{{- end -}}
{{- end -}}

{{/* Of (dict "name" "gateway" "pod" POD "container" CONTAINER): what is added to it fits what it has. */}}
{{- define "triton-embeddings.checkPod" -}}
{{- $name := .name -}}
{{- $variables := list -}}
{{- range .container.env -}}
{{- if has .name $variables -}}
{{- fail (printf "%s.extraEnv has %s, which is there already: leave one out" $name .name) -}}
{{- end -}}
{{- $variables = append $variables .name -}}
{{- end -}}
{{- $volumes := list -}}
{{- range .pod.volumes -}}
{{- if has .name $volumes -}}
{{- fail (printf "%s.extraVolumes has %s, which is there already: give it another name" $name .name) -}}
{{- end -}}
{{- $volumes = append $volumes .name -}}
{{- end -}}
{{- $paths := list -}}
{{- range .container.volumeMounts -}}
{{- if not (has .name $volumes) -}}
{{- fail (printf "%s.extraVolumeMounts has %s, which is no volume: add it to %s.extraVolumes" $name .name $name) -}}
{{- end -}}
{{- if has (trimSuffix "/" .mountPath) $paths -}}
{{- fail (printf "%s.extraVolumeMounts has %s, where something is mounted already: choose another path" $name .mountPath) -}}
{{- end -}}
{{- $paths = append $paths (trimSuffix "/" .mountPath) -}}
{{- end -}}
{{- range .container.env -}}
{{- if and .value (regexMatch "^GATEWAY_.*_(FILE|LOG)$" .name) -}}
{{- $file := .value -}}
{{- $folders := list -}}
{{- range $paths -}}
{{- if hasPrefix (printf "%s/" .) (printf "%s/" $file) -}}
{{- $folders = append $folders . -}}
{{- end -}}
{{- end -}}
{{- if not $folders -}}
{{- fail (printf "%s.config has %s for %s, where nothing is mounted: add a volume to extraVolumes and extraVolumeMounts" $name $file .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range (concat .pod.containers (default list .pod.initContainers)) -}}
{{- range .volumeMounts -}}
{{- $volumes = without $volumes .name -}}
{{- end -}}
{{- end -}}
{{- with $volumes -}}
{{- fail (printf "%s.extraVolumes has %s, which is mounted nowhere: add it to %s.extraVolumeMounts" $name (first .) $name) -}}
{{- end -}}
{{- include "triton-embeddings.checkResources" . -}}
{{- end -}}

{{- define "triton-embeddings.checkResources" -}}
{{- $resources := .container.resources -}}
{{- range $key, $limit := $resources.limits -}}
{{- $asked := get (default dict $resources.requests) $key -}}
{{- if and $asked (gt (include "triton-embeddings.amount" $asked | float64) (include "triton-embeddings.amount" $limit | float64)) -}}
{{- fail (printf "%s.resources asks for more %s, %s, than its limit of %s: raise the limit" $.name $key $asked $limit) -}}
{{- end -}}
{{- end -}}
{{- range .pod.volumes -}}
{{- if and .emptyDir (eq (default "" .emptyDir.medium) "Memory") -}}
{{- if ge (include "triton-embeddings.amount" .emptyDir.sizeLimit | float64) (include "triton-embeddings.amount" $resources.limits.memory | float64) -}}
{{- fail (printf "%s.resources.limits.memory is %s, and %s of it may lie in the volume %s: raise the limit, or lower the size" $.name $resources.limits.memory .emptyDir.sizeLimit .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The number that a quantity such as 8Gi stands for. */}}
{{- define "triton-embeddings.amount" -}}
{{- $digits := regexFind "^[0-9.]+" . -}}
{{- $factors := dict "" 1.0 "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 -}}
{{- mulf (float64 $digits) (get $factors (trimPrefix $digits .)) -}}
{{- end -}}
