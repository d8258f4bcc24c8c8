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


def named(part: str, count: int = 1) -> tuple[str, str, int]:
    """An object's own name follows fullnameOverride."""
    return f"\n  name: modelcache-{part}\n", f"\n  name: {{{{ include \"modelcache.fullname\" . }}}}-{part}\n", count


LABELS = "  labels:\n    " + SETS


def unlabelled(part: str) -> tuple[str, str, int]:
    """The same for an object that has no labels in config/."""
    old, new, count = named(part)
    return old, new + LABELS, count


def service_account(part: str) -> tuple[str, str]:
    head = "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n"
    return (f"{head}  name: modelcache-{part}\n  namespace: modelcache-system\n",
            f"{{{{- if .Values.{part}.serviceAccount.create }}}}\n{head}  name: {{{{ include \"modelcache.{part}ServiceAccount\" . }}}}\n"
            f"  namespace: {{{{ .Release.Namespace }}}}\n{LABELS}"
            f"  {{{{- with .Values.{part}.serviceAccount.annotations }}}}\n  annotations:\n    {{{{- toYaml . | nindent 4 }}}}\n  {{{{- end }}}}\n")


def account(part: str) -> tuple[str, str]:
    return (f"- kind: ServiceAccount\n  name: modelcache-{part}\n",
            f"- kind: ServiceAccount\n  name: {{{{ include \"modelcache.{part}ServiceAccount\" . }}}}\n")


def image(name: str, count: int = 1) -> tuple[str, str, int]:
    return (f"        image: modelcache/{name}\n",
            f"        image: {{{{ include \"modelcache.{name}Image\" . }}}}\n"
            f"        {{{{- with .Values.{name}.image.pullPolicy }}}}\n        imagePullPolicy: {{{{ . }}}}\n        {{{{- end }}}}\n", count)


def labelled(next_line: str) -> tuple[str, str]:
    """helm's labels for the object itself: those of its pods stay as selectors know them."""
    labels = "    app.kubernetes.io/part-of: modelcache\n"
    return labels + next_line, labels + "    " + SETS + next_line


# The part of the agents' affinity that keeps them off virtual nodes.
VIRTUAL_NODES = """\
          requiredDuringSchedulingIgnoredDuringExecution:
            nodeSelectorTerms:
            - matchExpressions:
              - key: type
                operator: NotIn
                values: [virtual-kubelet]
              - key: eks.amazonaws.com/compute-type
                operator: NotIn
                values: [fargate]
              - key: node.kubernetes.io/instance-type
                operator: NotIn
                values: [eklet]
"""

# What a Prometheus off the node may ask, where a value says so.
AGENT_METRICS = """\
        {{- if include "modelcache.agentMetrics" . }}
        - name: MODELCACHE_METRICS_BIND_ADDRESS
          value: ":{{ .Values.agent.metrics.port }}"
        {{- end }}
"""
AGENT_METRICS_PORT = """\
        {{- if include "modelcache.agentMetrics" . }}
        - name: metrics
          containerPort: {{ .Values.agent.metrics.port }}
          hostPort: {{ .Values.agent.metrics.port }}
          protocol: TCP
        {{- end }}
"""

# Where credentials may be used, and whether the nodes' own may: the same for operator and agents.
CREDENTIALS = """\
        {{- with .Values.credentialHosts }}
        - name: MODELCACHE_CREDENTIAL_HOSTS
          value: {{ join "," . | quote }}
        {{- end }}
        {{- if .Values.allowNodeRole }}
        - name: MODELCACHE_ALLOW_NODE_ROLE
          value: "true"
        {{- end }}
"""

# Log lines of every program: JSON where it is asked for.
LOG_FORMAT = """\
        {{- if eq .Values.logFormat "json" }}
        - name: MODELCACHE_LOG_FORMAT
          value: json
        {{- end }}
"""
MOUNTER_LOG_FORMAT = LOG_FORMAT.replace('"json" }}\n', '"json" }}\n        env:\n')

# Whether a second container mounts for the agent, which has no privilege then: without it, as config/without-mounter.
MOUNTER = ".Values.agent.mounter.enabled"
MOUNTER_EDITS = [
    (", --mounter, /run/modelcache-mounter/mounter.sock]", f"{{{{ if {MOUNTER} }}}}, --mounter, /run/modelcache-mounter/mounter.sock{{{{ end }}}}]"),
    ("          privileged: false\n", f"          privileged: {{{{ not {MOUNTER} }}}}\n"),
    ("          # No privilege.", f"          {{{{- if {MOUNTER} }}}}\n          # No privilege."),
    ("            type: spc_t\n", "            type: spc_t\n          {{- end }}\n"),
    ("          mountPropagation: HostToContainer\n", f"          mountPropagation: {{{{ ternary \"HostToContainer\" \"Bidirectional\" {MOUNTER} }}}}\n", 2),
    only(MOUNTER, "        - name: mounter\n          mountPath: /run/modelcache-mounter\n          readOnly: true\n"),
    ("/run/modelcache-mounter/mounter.sock]\n        resources:\n", "/run/modelcache-mounter/mounter.sock]\n" + MOUNTER_LOG_FORMAT + "        resources:\n"),
    ("      # Mounts each model's own tmpfs and", f"      {{{{- if {MOUNTER} }}}}\n      # Mounts each model's own tmpfs and"),
    ("          mountPath: /run/modelcache-mounter\n      volumes:\n", "          mountPath: /run/modelcache-mounter\n      {{- end }}\n      volumes:\n"),
    only(MOUNTER, "      - name: mounter\n        emptyDir:\n          sizeLimit: 1Mi\n"),
]
PEERS_MOUNTER = only(MOUNTER, """\
  # A pod whose mounter is away is not ready, and its agent serves the caches that are mounted: other nodes still find it.
  publishNotReadyAddresses: true
""")

AGENT = [
    *MOUNTER_EDITS,
    NAMESPACE, named("agent"),
    ("  updateStrategy:\n    type: RollingUpdate\n    rollingUpdate:\n      maxUnavailable: 10%\n",
     "  updateStrategy:\n    {{- toYaml .Values.agent.updateStrategy | nindent 4 }}\n"),
    ("        app.kubernetes.io/part-of: modelcache\n      annotations:",
     "        app.kubernetes.io/part-of: modelcache\n" + block("commonLabels", 8) + block("agent.podLabels", 8) + "      annotations:"),
    ("        ports:\n        - name: http\n", "        ports:\n" + AGENT_METRICS_PORT + "        - name: http\n"),
    ("        - name: tmp\n          mountPath: /tmp\n", "        - name: tmp\n          mountPath: /tmp\n" + block("agent.extraVolumeMounts", 8)),
    ("          sizeLimit: 16Mi\n", "          sizeLimit: 16Mi\n" + block("agent.extraVolumes", 6)),
    labelled("spec:\n  selector:"),
    ("        kubectl.kubernetes.io/default-container: agent\n", "        kubectl.kubernetes.io/default-container: agent\n" + block("agent.podAnnotations", 8)),
    ("      serviceAccountName: modelcache-agent\n", "      serviceAccountName: {{ include \"modelcache.agentServiceAccount\" . }}\n" + block("imagePullSecrets", 6, "imagePullSecrets")),
    ("      priorityClassName: modelcache-agent\n",
     "      priorityClassName: {{ .Values.agent.priorityClassName | default (printf \"%s-agent\" (include \"modelcache.fullname\" .)) }}\n"),
    ("        kubernetes.io/os: linux\n        modelcache.io/agent: \"true\"\n",
     "        kubernetes.io/os: linux\n        {{- with include \"modelcache.agentNodeSelector\" . | fromYaml }}\n"
     "        {{- toYaml . | nindent 8 }}\n        {{- end }}\n"),
    ("      affinity:\n        nodeAffinity:\n" + VIRTUAL_NODES,
     "      affinity:\n      {{- if .Values.agent.affinity }}\n        {{- toYaml .Values.agent.affinity | nindent 8 }}\n      {{- else }}\n"
     "        nodeAffinity:\n" + VIRTUAL_NODES + "      {{- end }}\n"),
    ("      tolerations:\n      - operator: Exists\n", "      tolerations:\n        {{- toYaml .Values.agent.tolerations | nindent 6 }}\n"),
    image("agent", 2),
    ("            cpu: 100m\n", "            cpu: {{ .Values.agent.cpu }}\n"),
    ("            memory: 8Gi\n", "            memory: {{ .Values.agent.cacheMemory }}\n"),
    ("          value: dns:modelcache-agents\n",
     "          value: {{ ternary (printf \"dns:%s-agents\" (include \"modelcache.fullname\" .)) \"off\" .Values.agent.peers.enabled | quote }}\n"
     "        {{- with .Values.agent.diskBudget }}\n        - name: MODELCACHE_DISK_BUDGET\n          value: {{ . | quote }}\n        {{- end }}\n"
     + CREDENTIALS + AGENT_METRICS + LOG_FORMAT + block("agent.environment", 8)),
    ("          path: /var/lib/modelcache\n", "          path: {{ .Values.agent.diskPath }}\n"),
    ("--disk-root, /var/lib/modelcache,", "--disk-root, {{ .Values.agent.diskPath | quote }},"),
    ("        - name: disk\n          mountPath: /var/lib/modelcache\n", "        - name: disk\n          mountPath: {{ .Values.agent.diskPath }}\n"),
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
        {{- $certificate := and .Values.webhook.enabled .Values.certManager.enabled }}
        {{- if or $certificate .Values.operator.extraVolumeMounts }}
        volumeMounts:
        {{- if $certificate }}
        - name: webhook-certificate
          mountPath: /etc/modelcache/webhook
          readOnly: true
        {{- end }}
        {{- with .Values.operator.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        {{- end }}
      {{- if or $certificate .Values.operator.extraVolumes }}
      volumes:
      {{- if $certificate }}
      - name: webhook-certificate
        secret:
          secretName: modelcache-webhook-cert-manager
          defaultMode: 0440
      {{- end }}
      {{- with .Values.operator.extraVolumes }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
      {{- end }}
"""
# Two operators are spread over nodes, where nothing else is asked for.
SPREAD = """\
      affinity:
        podAntiAffinity:
          preferredDuringSchedulingIgnoredDuringExecution:
          - weight: 100
            podAffinityTerm:
              topologyKey: kubernetes.io/hostname
              labelSelector:
                matchLabels:
                  app.kubernetes.io/name: modelcache-operator
"""
NODE_SELECTOR = "modelcache.io/agent=true,type!=virtual-kubelet,eks.amazonaws.com/compute-type!=fargate,node.kubernetes.io/instance-type!=eklet"
# What the chart tells the operator beside config/, where a value says so.
OPERATOR_VARIABLES = """\
        {{- with include "modelcache.warmupPodTemplate" . }}
        - name: MODELCACHE_WARMUP_POD_TEMPLATE
          value: {{ . | quote }}
        {{- end }}
"""

OPERATOR = [
    NAMESPACE, named("operator"),
    labelled("spec:\n"),
    ("  selector:\n    matchLabels:\n", block("operator.updateStrategy", 2, "strategy") + "  selector:\n    matchLabels:\n"),
    ("        app.kubernetes.io/part-of: modelcache\n      annotations:",
     "        app.kubernetes.io/part-of: modelcache\n" + block("commonLabels", 8) + block("operator.podLabels", 8) + "      annotations:"),
    ("  replicas: 2\n", "  replicas: {{ .Values.operator.replicas }}\n"),
    ("        prometheus.io/port: \"8080\"\n", "        prometheus.io/port: \"8080\"\n" + block("operator.podAnnotations", 8)),
    ("      serviceAccountName: modelcache-operator\n", "      serviceAccountName: {{ include \"modelcache.operatorServiceAccount\" . }}\n" + block("imagePullSecrets", 6, "imagePullSecrets")),
    ("        kubernetes.io/os: linux\n" + SPREAD,
     "        kubernetes.io/os: linux\n" + block("operator.nodeSelector", 8) + block("operator.tolerations", 6, "tolerations")
     + "      {{- if .Values.operator.affinity }}\n      affinity:\n        {{- toYaml .Values.operator.affinity | nindent 8 }}\n"
     + "      {{- else if gt (int .Values.operator.replicas) 1 }}\n" + SPREAD + "      {{- end }}\n"
     + block("operator.topologySpreadConstraints", 6, "topologySpreadConstraints")
     + "      {{- with .Values.operator.priorityClassName }}\n      priorityClassName: {{ . }}\n      {{- end }}\n"),
    ("          value: " + NODE_SELECTOR + "\n",
     "          value: {{ include \"modelcache.agentNodes\" . | quote }}\n" + CREDENTIALS + LOG_FORMAT + OPERATOR_VARIABLES),
    image("operator"),
    ("        - --webhook-bind-address=:9443\n", "        - --webhook-bind-address={{ ternary \":9443\" \"0\" .Values.webhook.enabled }}\n"),
    ("        - --log-level=info\n",
     "        - --log-level={{ .Values.operator.logLevel }}\n"
     "        {{- with .Values.operator.sourceCheckInterval }}\n        - --source-check-interval={{ . }}\n        {{- end }}\n"
     "        {{- with .Values.operator.watchNamespace }}\n        - --namespace={{ . }}\n        {{- end }}\n" + block("operator.arguments", 8)),
    ("          value: modelcache/agent\n", "          value: {{ include \"modelcache.agentImage\" . }}\n"),
    ("          value: /var/lib/modelcache\n", "          value: {{ .Values.agent.diskPath | quote }}\n"),
    ("        env:\n", "        env:\n" + CERTIFICATE_VARIABLES + block("operator.environment", 8)),
    ("        resources:\n          requests:\n            cpu: 50m\n            memory: 64Mi\n          limits:\n            memory: 256Mi\n",
     "        resources:\n          {{- toYaml .Values.operator.resources | nindent 10 }}\n"),
    ("            drop: [ALL]\n", "            drop: [ALL]\n" + CERTIFICATE_MOUNT),
]


def webhooks(count: int) -> list[tuple]:
    """What both configurations share; of one with so many webhooks."""
    return [
        (*NAMESPACE, count),
        ("    app.kubernetes.io/part-of: modelcache\nwebhooks:\n",
         "    app.kubernetes.io/part-of: modelcache\n    " + SETS
         + "  {{- if .Values.certManager.enabled }}\n  annotations:\n"
         "    cert-manager.io/inject-ca-from: {{ .Release.Namespace }}/modelcache-webhook\n  {{- end }}\n"
         "webhooks:\n"),
        ("  timeoutSeconds: 3\n", "  timeoutSeconds: {{ .Values.webhook.timeoutSeconds }}\n", count),
    ]


MUTATING_WEBHOOK = [
    *webhooks(1),
    ("values: [kube-system, modelcache-system]", "values: {{ append .Values.webhook.excludedNamespaces .Release.Namespace | toJson }}"),
    ("  failurePolicy: Ignore\n", "  failurePolicy: {{ .Values.webhook.failurePolicy }}\n"),
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
# Tells the API server to believe the webhook's certificate (caBundle), and mends that when somebody overwrites it. These two
# configurations: whoever may write them all could have any pod of the cluster changed.
- apiGroups: [admissionregistration.k8s.io]
  resources: [mutatingwebhookconfigurations, validatingwebhookconfigurations]
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

CLUSTER_ROLE.append(unlabelled("operator"))
ROLE.append(unlabelled("operator"))
BINDING = [account("operator"), (*NAMESPACE,), ("  kind: ClusterRole\n  name: modelcache-operator\n", "  kind: ClusterRole\n  name: {{ include \"modelcache.fullname\" . }}-operator\n"),
           unlabelled("operator")]
ROLE_BINDING = [account("operator"), (*NAMESPACE, 2), ("  kind: Role\n  name: modelcache-operator\n", "  kind: Role\n  name: {{ include \"modelcache.fullname\" . }}-operator\n"),
                unlabelled("operator")]
ACCOUNTS = [service_account("operator"), service_account("agent"),
            ("automountServiceAccountToken: false\n", "automountServiceAccountToken: false\n{{- end }}\n"),
            ("---\n", "{{- end }}\n---\n")]
# Five policies and a binding of each.
POLICY = [
    ("system:serviceaccount:modelcache-system:modelcache-operator",
     "system:serviceaccount:{{ .Release.Namespace }}:{{ include \"modelcache.operatorServiceAccount\" . }}", 5),
    ("  name: modelcache-operator-", "  name: {{ include \"modelcache.fullname\" . }}-operator-", 10),
    ("  policyName: modelcache-operator-", "  policyName: {{ include \"modelcache.fullname\" . }}-operator-", 5),
    ("    app.kubernetes.io/part-of: modelcache\n", "    app.kubernetes.io/part-of: modelcache\n    " + SETS, 10),
    ("expression: \"'modelcache/agent'\"", "expression: {{ printf \"'%s'\" (include \"modelcache.agentImage\" .) | quote }}"),
    ("expression: \"'/var/lib/modelcache'\"", "expression: {{ printf \"'%s'\" .Values.agent.diskPath | quote }}"),
    ("validationActions: [Deny]", "validationActions: {{ toJson .Values.admissionPolicy.actions }}", 5),
]
PINNING = [
    named("pinning", 2),
    ("  policyName: modelcache-pinning\n", "  policyName: {{ include \"modelcache.fullname\" . }}-pinning\n"),
    ("    app.kubernetes.io/part-of: modelcache\n", "    app.kubernetes.io/part-of: modelcache\n    " + SETS, 2),
    ("(ClusterRole\n      modelcache-pinner)", "(ClusterRole\n      {{ include \"modelcache.fullname\" . }}-pinner)"),
    ("validationActions: [Deny]", "validationActions: {{ toJson .Values.admissionPolicy.actions }}"),
]
# Other API servers do not know the kind.
POLICY_GUARD = "and .Values.admissionPolicy.enabled (semverCompare \">=1.30.0-0\" .Capabilities.KubeVersion.Version)"
PINNING_GUARD = POLICY_GUARD.replace(".enabled", ".restrictPinning")
READER = [(*NAMESPACE, 2), ("metadata:\n  name: modelcache-reader\n", "metadata:\n  name: modelcache-reader\n" + LABELS, 2)]
PRIORITY = [labelled("value:"), named("agent")]
SERVICE = [NAMESPACE, labelled("spec:\n")]
DISRUPTION = [*SERVICE, named("operator"), ("apiVersion: policy/v1\n", "apiVersion: policy/{{ ternary \"v1\" \"v1beta1\" (semverCompare \">=1.21.0-0\" .Capabilities.KubeVersion.Version) }}\n")]

# template: (file of config/, edits, condition)
FILES = {
    "agent": ("agent/daemonset.yaml", AGENT, None),
    "agent-peers": ("agent/peers_service.yaml", [*SERVICE, named("agents"), PEERS_MOUNTER], None),
    "agent-priority": ("agent/priority_class.yaml", PRIORITY, "not .Values.agent.priorityClassName"),
    "operator": ("manager/deployment.yaml", OPERATOR, None),
    "operator-metrics": ("manager/metrics_service.yaml", [*SERVICE, named("operator-metrics")], None),
    "operator-disruption": ("default/pod_disruption_budget.yaml", DISRUPTION, "gt (int .Values.operator.replicas) 1"),
    "service-accounts": ("rbac/service_accounts.yaml", ACCOUNTS, None),
    "operator-role": ("rbac/operator_role.yaml", ROLE, None),
    "operator-role-binding": ("rbac/operator_role_binding.yaml", ROLE_BINDING, None),
    "operator-cluster-role": ("rbac/operator_cluster_role.yaml", CLUSTER_ROLE, None),
    "operator-cluster-role-binding": ("rbac/operator_cluster_role_binding.yaml", BINDING, None),
    "modelcache-editor": ("rbac/modelcache_editor_role.yaml", [named("editor"), ("  labels:\n", LABELS)], None),
    "modelcache-viewer": ("rbac/modelcache_viewer_role.yaml", [named("viewer"), ("  labels:\n", LABELS)], None),
    "report-reader": ("rbac/report_reader.yaml", READER, None),
    "operator-policy": ("policy/policies.yaml", POLICY, POLICY_GUARD),
    "pinning-policy": ("policy/pinning/policies.yaml", PINNING, PINNING_GUARD),
    "pinning-role": ("policy/pinning/role.yaml", [unlabelled("pinner")], PINNING_GUARD),
    "webhook": ("webhook/mutating_webhook_configuration.yaml", MUTATING_WEBHOOK, ".Values.webhook.enabled"),
    "webhook-validating": ("webhook/validating_webhook_configuration.yaml", webhooks(2), ".Values.webhook.enabled"),
    "webhook-service": ("webhook/service.yaml", SERVICE, ".Values.webhook.enabled"),
    "webhook-certificate": ("certmanager/certificate.yaml", CERTIFICATE, "and .Values.webhook.enabled .Values.certManager.enabled"),
}
