"""What makes a template of a file of config/: (old text, new text[, how often it stands there])."""

NAMESPACE = ("namespace: modelcache-system", "namespace: {{ .Release.Namespace }}")


def list_of(values: str, indent: int, head: str) -> str:
    """A block that is there when the value is not empty."""
    pad = " " * indent
    return f"{pad}{{{{- with {values} }}}}\n{pad}{head}:\n{pad}  {{{{- toYaml . | nindent {indent + 2} }}}}\n{pad}{{{{- end }}}}\n"


LABELS = ("    app.kubernetes.io/part-of: modelcache\n", "    app.kubernetes.io/part-of: modelcache\n    {{- include \"modelcache.labels\" . | nindent 4 }}\n")

AGENT = [
    NAMESPACE,
    # The object's own labels only: pods' labels stay as selectors know them.
    ("    app.kubernetes.io/part-of: modelcache\nspec:\n  selector:",
     "    app.kubernetes.io/part-of: modelcache\n    {{- include \"modelcache.labels\" . | nindent 4 }}\nspec:\n  selector:"),
    ("      serviceAccountName: modelcache-agent\n",
     "      serviceAccountName: modelcache-agent\n" + list_of(".Values.imagePullSecrets", 6, "imagePullSecrets")),
    ("        kubernetes.io/os: linux\n      tolerations:\n      - operator: Exists\n",
     "        kubernetes.io/os: linux\n        {{- with .Values.agent.nodeSelector }}\n        {{- toYaml . | nindent 8 }}\n        {{- end }}\n"
     "      tolerations:\n        {{- toYaml .Values.agent.tolerations | nindent 6 }}\n"),
    ("        image: modelcache/agent\n", "        image: {{ include \"modelcache.agentImage\" . }}\n"
     "        {{- with .Values.agent.image.pullPolicy }}\n        imagePullPolicy: {{ . }}\n        {{- end }}\n"),
    ("            cpu: 100m\n", "            cpu: {{ .Values.agent.cpu }}\n"),
    ("            memory: 8Gi\n", "            memory: {{ .Values.agent.cacheMemory }}\n"),
    ("              resource: requests.memory\n",
     "              resource: requests.memory\n"
     "        {{- with .Values.agent.diskBudget }}\n        - name: MODELCACHE_DISK_BUDGET\n          value: {{ . | quote }}\n        {{- end }}\n"
     "        {{- with .Values.agent.environment }}\n        {{- toYaml . | nindent 8 }}\n        {{- end }}\n"),
    ("          path: /run/modelcache\n", "          path: /run/modelcache\n"),
    ("          path: /var/lib/modelcache\n", "          path: {{ .Values.agent.diskPath }}\n"),
]

OPERATOR = [
    NAMESPACE,
    ("    app.kubernetes.io/part-of: modelcache\nspec:\n",
     "    app.kubernetes.io/part-of: modelcache\n    {{- include \"modelcache.labels\" . | nindent 4 }}\nspec:\n"),
    ("  replicas: 1\n", "  replicas: {{ .Values.operator.replicas }}\n"),
    ("      serviceAccountName: modelcache-operator\n",
     "      serviceAccountName: modelcache-operator\n" + list_of(".Values.imagePullSecrets", 6, "imagePullSecrets")),
    ("        kubernetes.io/os: linux\n",
     "        kubernetes.io/os: linux\n        {{- with .Values.operator.nodeSelector }}\n        {{- toYaml . | nindent 8 }}\n        {{- end }}\n"
     + list_of(".Values.operator.tolerations", 6, "tolerations") + list_of(".Values.operator.affinity", 6, "affinity")),
    ("        image: modelcache/operator\n", "        image: {{ include \"modelcache.operatorImage\" . }}\n        {{- with .Values.operator.image.pullPolicy }}\n        imagePullPolicy: {{ . }}\n        {{- end }}\n"),
    ("          value: modelcache/agent\n", "          value: {{ include \"modelcache.agentImage\" . }}\n"),
    ("        - --system-namespace=$(POD_NAMESPACE)\n",
     "        - --system-namespace=$(POD_NAMESPACE)\n"
     "        {{- with .Values.operator.watchNamespace }}\n        - --namespace={{ . }}\n        {{- end }}\n"
     "        {{- with .Values.operator.arguments }}\n        {{- toYaml . | nindent 8 }}\n        {{- end }}\n"),
    ("        resources:\n          requests:\n            cpu: 50m\n            memory: 64Mi\n          limits:\n            memory: 256Mi\n",
     "        resources:\n          {{- toYaml .Values.operator.resources | nindent 10 }}\n"),
]

PLAIN = [NAMESPACE]
SERVICE = [NAMESPACE, ("    app.kubernetes.io/part-of: modelcache\nspec:\n",
                       "    app.kubernetes.io/part-of: modelcache\n    {{- include \"modelcache.labels\" . | nindent 4 }}\nspec:\n")]

# template: (file of config/, edits, condition)
FILES = {
    "agent": ("agent/daemonset.yaml", AGENT, None),
    "agent-peers": ("agent/peers_service.yaml", SERVICE, None),
    "operator": ("manager/deployment.yaml", OPERATOR, None),
    "operator-metrics": ("manager/metrics_service.yaml", SERVICE, None),
    "service-accounts": ("rbac/service_accounts.yaml", [(*NAMESPACE, 2)], None),
    "operator-role": ("rbac/operator_role.yaml", PLAIN, None),
    "operator-role-binding": ("rbac/operator_role_binding.yaml", [(*NAMESPACE, 2)], None),
    "operator-cluster-role": ("rbac/operator_cluster_role.yaml", [], None),
    "operator-cluster-role-binding": ("rbac/operator_cluster_role_binding.yaml", PLAIN, None),
    "modelcache-editor": ("rbac/modelcache_editor_role.yaml", [], None),
    "modelcache-viewer": ("rbac/modelcache_viewer_role.yaml", [], None),
}
