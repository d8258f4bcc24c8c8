{{- define "modelcache.labels" -}}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What objects' names begin with. Those that the programs know by name keep theirs: values.yaml, fullnameOverride. */}}
{{- define "modelcache.fullname" -}}
{{ .Values.fullnameOverride | default "modelcache" }}
{{- end }}

{{- define "modelcache.operatorServiceAccount" -}}
{{ .Values.operator.serviceAccount.name | default (printf "%s-operator" (include "modelcache.fullname" .)) }}
{{- end }}

{{- define "modelcache.agentServiceAccount" -}}
{{ .Values.agent.serviceAccount.name | default (printf "%s-agent" (include "modelcache.fullname" .)) }}
{{- end }}

{{/* [registry/]repository, then @digest or else :tag. */}}
{{- define "modelcache.image" -}}
{{- $registry := .image.registry | default .root.Values.global.imageRegistry -}}
{{ with $registry }}{{ trimSuffix "/" . }}/{{ end }}{{ .image.repository }}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ .image.tag | default .root.Chart.AppVersion }}{{ end }}
{{- end }}

{{/* Not empty: agents open a port with metrics for a Prometheus. */}}
{{- define "modelcache.agentMetrics" -}}
{{- if or .Values.agent.metrics.enabled .Values.monitoring.podMonitor.enabled -}}true{{- end -}}
{{- end }}

{{- define "modelcache.agentImage" -}}
{{ include "modelcache.image" (dict "image" .Values.agent.image "root" .) }}
{{- end }}

{{/* The labels of the nodes that get agents. None when all nodes are wanted, or when an affinity chooses them. */}}
{{- define "modelcache.agentNodeSelector" -}}
{{- if .Values.agent.nodeSelector -}}
{{ toYaml .Values.agent.nodeSelector }}
{{- else if not (or .Values.agent.allNodes .Values.agent.affinity) -}}
modelcache.io/agent: "true"
{{- end -}}
{{- end }}

{{/* The same as a label selector, for the operator. */}}
{{- define "modelcache.agentNodes" -}}
{{- $terms := list -}}
{{- range $key, $value := include "modelcache.agentNodeSelector" . | fromYaml -}}
{{- $terms = append $terms (printf "%s=%s" $key $value) -}}
{{- end -}}
{{- concat $terms (list "type!=virtual-kubelet" "eks.amazonaws.com/compute-type!=fargate" "node.kubernetes.io/instance-type!=eklet") | join "," -}}
{{- end }}

{{/* JSON for --warmup-pod-template; nothing when there is nothing to say. The release's pull secrets hold for warm-up pods too. */}}
{{- define "modelcache.warmupPodTemplate" -}}
{{- $template := deepCopy .Values.warmup.podTemplate -}}
{{- $secrets := concat (.Values.imagePullSecrets | default list) ($template.imagePullSecrets | default list) | uniq -}}
{{- if $secrets -}}{{- $_ := set $template "imagePullSecrets" $secrets -}}{{- end -}}
{{- if $template -}}{{ toJson $template }}{{- end -}}
{{- end }}

{{- define "modelcache.operatorImage" -}}
{{ include "modelcache.image" (dict "image" .Values.operator.image "root" .) }}
{{- end }}
