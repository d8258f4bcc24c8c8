"""What makes a template of a file of config/: (old text, new text[, how often it stands there])."""

NAMESPACE = ("namespace: modelcache-system", "namespace: {{ .Release.Namespace }}")
SETS = "{{- include \"modelcache.labels\" . | nindent 4 }}\n"


def block(value: str, indent: int, head: str | None = None) -> str:
    """What a value holds, under a head of its own or in a list or map that is there; nothing when it is empty."""
    pad = " " * indent
    opened = f"{pad}{head}:\n" if head else ""
    return f"{pad}{{{{- with .Values.{value} }}}}\n{opened}{pad}{{{{- toYaml . | nindent {indent + (2 if head else 0)} }}}}\n{pad}{{{{- end }}}}\n"


def only(condition: str, text: str) -> tuple[str, str]:
    """A part of the file that is there under a condition."""
    return text, f"{{{{- if {condition} }}}}\n{text}{{{{- end }}}}\n"


def image(name: str) -> tuple[str, str]:
    return (f"        image: modelcache/{name}\n",
            f"        image: {{{{ include \"modelcache.{name}Image\" . }}}}\n"
            f"        {{{{- with .Values.{name}.image.pullPolicy }}}}\n        imagePullPolicy: {{{{ . }}}}\n        {{{{- end }}}}\n")


def labelled(next_line: str) -> tuple[str, str]:
    """helm's labels for the object itself: those of its pods stay as selectors know them."""
    labels = "    app.kubernetes.io/part-of: modelcache\n"
    return labels + next_line, labels + "    " + SETS + next_line


AGENT = [
    NAMESPACE,
    labelled("spec:\n  selector:"),
    ("        kubectl.kubernetes.io/default-container: agent\n", "        kubectl.kubernetes.io/default-container: agent\n" + block("agent.podAnnotations", 8)),
    ("      serviceAccountName: modelcache-agent\n", "      serviceAccountName: modelcache-agent\n" + block("imagePullSecrets", 6, "imagePullSecrets")),
    ("        kubernetes.io/os: linux\n      tolerations:\n      - operator: Exists\n",
     "        kubernetes.io/os: linux\n" + block("agent.nodeSelector", 8)
     + "      tolerations:\n        {{- toYaml .Values.agent.tolerations | nindent 6 }}\n" + block("agent.affinity", 6, "affinity")),
    image("agent"),
    ("            cpu: 100m\n", "            cpu: {{ .Values.agent.cpu }}\n"),
    ("            memory: 8Gi\n", "            memory: {{ .Values.agent.cacheMemory }}\n"),
    ("          value: dns:modelcache-agents\n",
     "          value: {{ ternary \"dns:modelcache-agents\" \"off\" .Values.agent.peers.enabled | quote }}\n"
     "        {{- with .Values.agent.diskBudget }}\n        - name: MODELCACHE_DISK_BUDGET\n          value: {{ . | quote }}\n        {{- end }}\n"
     + block("agent.environment", 8)),
    ("          path: /var/lib/modelcache\n", "          path: {{ .Values.agent.diskPath }}\n"),
]

# What config/certmanager adds.
CERTIFICATE_VARIABLES = """\
        {{- if and .Values.webhook.enabled .Values.certManager.enabled }}
        - name: MODELCACHE_WEBHOOK_CERTIFICATES
          value: files
        - name: MODELCACHE_WEBHOOK_CERTIFICATE_DIRECTORY
          value: /etc/modelcache/webhook
        {{- end }}
"""
CERTIFICATE_MOUNT = """\
        {{- if and .Values.webhook.enabled .Values.certManager.enabled }}
        volumeMounts:
        - name: webhook-certificate
          mountPath: /etc/modelcache/webhook
          readOnly: true
      volumes:
      - name: webhook-certificate
        secret:
          secretName: modelcache-webhook-cert-manager
          defaultMode: 0440
        {{- end }}
"""
# What config/replicas adds, where nothing else is asked for.
SPREAD = """\
      {{- if .Values.operator.affinity }}
      affinity:
        {{- toYaml .Values.operator.affinity | nindent 8 }}
      {{- else if gt (int .Values.operator.replicas) 1 }}
      affinity:
        podAntiAffinity:
          preferredDuringSchedulingIgnoredDuringExecution:
          - weight: 100
            podAffinityTerm:
              topologyKey: kubernetes.io/hostname
              labelSelector:
                matchLabels:
                  app.kubernetes.io/name: modelcache-operator
      {{- end }}
"""

OPERATOR = [
    NAMESPACE,
    labelled("spec:\n"),
    ("  replicas: 1\n", "  replicas: {{ .Values.operator.replicas }}\n"),
    ("        prometheus.io/port: \"8080\"\n", "        prometheus.io/port: \"8080\"\n" + block("operator.podAnnotations", 8)),
    ("      serviceAccountName: modelcache-operator\n", "      serviceAccountName: modelcache-operator\n" + block("imagePullSecrets", 6, "imagePullSecrets")),
    ("        kubernetes.io/os: linux\n",
     "        kubernetes.io/os: linux\n" + block("operator.nodeSelector", 8) + block("operator.tolerations", 6, "tolerations") + SPREAD
     + "      {{- with .Values.operator.priorityClassName }}\n      priorityClassName: {{ . }}\n      {{- end }}\n"),
    image("operator"),
    ("        - --webhook-bind-address=:9443\n", "        - --webhook-bind-address={{ ternary \":9443\" \"0\" .Values.webhook.enabled }}\n"),
    ("        - --log-level=info\n",
     "        - --log-level={{ .Values.operator.logLevel }}\n"
     "        {{- with .Values.operator.watchNamespace }}\n        - --namespace={{ . }}\n        {{- end }}\n" + block("operator.arguments", 8)),
    ("          value: modelcache/agent\n", "          value: {{ include \"modelcache.agentImage\" . }}\n"),
    ("        env:\n", "        env:\n" + CERTIFICATE_VARIABLES),
    ("        resources:\n          requests:\n            cpu: 50m\n            memory: 64Mi\n          limits:\n            memory: 256Mi\n",
     "        resources:\n          {{- toYaml .Values.operator.resources | nindent 10 }}\n"),
    ("            drop: [ALL]\n", "            drop: [ALL]\n" + CERTIFICATE_MOUNT),
]

WEBHOOK = [
    (*NAMESPACE, 1),
    ("values: [kube-system, modelcache-system]", "values: {{ append .Values.webhook.excludedNamespaces .Release.Namespace | toJson }}"),
    ("    app.kubernetes.io/part-of: modelcache\nwebhooks:\n",
     "    app.kubernetes.io/part-of: modelcache\n    " + SETS
     + "  {{- if .Values.certManager.enabled }}\n  annotations:\n    cert-manager.io/inject-ca-from: {{ .Release.Namespace }}/modelcache-webhook\n  {{- end }}\n"
     "webhooks:\n"),
    ("  failurePolicy: Ignore\n", "  failurePolicy: {{ .Values.webhook.failurePolicy }}\n"),
    ("  timeoutSeconds: 3\n", "  timeoutSeconds: {{ .Values.webhook.timeoutSeconds }}\n"),
]

CERTIFICATE = [
    (*NAMESPACE, 2),
    only("not .Values.certManager.issuerRef", """\
apiVersion: cert-manager.io/v1
kind: Issuer
metadata:
  name: modelcache-webhook
  namespace: {{ .Release.Namespace }}
spec:
  selfSigned: {}
---
"""),
    ("  issuerRef:\n    kind: Issuer\n    name: modelcache-webhook\n",
     "  issuerRef:\n    {{- toYaml (.Values.certManager.issuerRef | default (dict \"kind\" \"Issuer\" \"name\" \"modelcache-webhook\")) | nindent 4 }}\n"),
    ("modelcache-webhook.modelcache-system.svc", "modelcache-webhook.{{ .Release.Namespace }}.svc", 2),
]

CLUSTER_ROLE = [only(".Values.webhook.enabled", """\
# Tells the API server to believe the webhook's certificate (caBundle), and mends that when somebody overwrites it. This one
# configuration: whoever may write them all could have any pod of the cluster changed.
- apiGroups: [admissionregistration.k8s.io]
  resources: [mutatingwebhookconfigurations]
  resourceNames: [modelcache-operator]
  verbs: [list, watch, patch]
""")]
ROLE = [NAMESPACE, only(".Values.webhook.enabled", """\
# The webhook's certificate and its CA: made, followed, renewed. (A list or a watch bound to a name answers that one alone.)
- apiGroups: [""]
  resources: [secrets]
  resourceNames: [modelcache-webhook-certificate]
  verbs: [list, watch, update]
""")]

PLAIN = [NAMESPACE]
SERVICE = [NAMESPACE, labelled("spec:\n")]
DISRUPTION = [*SERVICE, ("apiVersion: policy/v1\n", "apiVersion: policy/{{ ternary \"v1\" \"v1beta1\" (semverCompare \">=1.21.0-0\" .Capabilities.KubeVersion.Version) }}\n")]

# template: (file of config/, edits, condition)
FILES = {
    "agent": ("agent/daemonset.yaml", AGENT, None),
    "agent-peers": ("agent/peers_service.yaml", SERVICE, None),
    "operator": ("manager/deployment.yaml", OPERATOR, None),
    "operator-metrics": ("manager/metrics_service.yaml", SERVICE, None),
    "operator-disruption": ("replicas/pod_disruption_budget.yaml", DISRUPTION, "gt (int .Values.operator.replicas) 1"),
    "service-accounts": ("rbac/service_accounts.yaml", [(*NAMESPACE, 2)], None),
    "operator-role": ("rbac/operator_role.yaml", ROLE, None),
    "operator-role-binding": ("rbac/operator_role_binding.yaml", [(*NAMESPACE, 2)], None),
    "operator-cluster-role": ("rbac/operator_cluster_role.yaml", CLUSTER_ROLE, None),
    "operator-cluster-role-binding": ("rbac/operator_cluster_role_binding.yaml", PLAIN, None),
    "modelcache-editor": ("rbac/modelcache_editor_role.yaml", [], None),
    "modelcache-viewer": ("rbac/modelcache_viewer_role.yaml", [], None),
    "webhook": ("webhook/mutating_webhook_configuration.yaml", WEBHOOK, ".Values.webhook.enabled"),
    "webhook-service": ("webhook/service.yaml", SERVICE, ".Values.webhook.enabled"),
    "webhook-certificate": ("certmanager/certificate.yaml", CERTIFICATE, "and .Values.webhook.enabled .Values.certManager.enabled"),
}
