internal import Kubernetes

/// Containers that others put into a pod beside the program: meshes, mounts, secrets, logs. The model is never theirs.
enum KnownSidecars {
    private static let names: Set<String> = [
        // Meshes and proxies.
        "istio-proxy", "linkerd-proxy", "consul-dataplane", "envoy-sidecar", "consul-connect-envoy-sidecar",
        "kuma-sidecar", "envoy",
        "daprd", "cloud-sql-proxy", "cloudsql-proxy", "oauth2-proxy", "kube-rbac-proxy", "xray-daemon",
        "aws-xray-daemon",
        // Secrets.
        "vault-agent", "vault-agent-init", "aws-secrets-manager-agent",
        // Mounts.
        "gke-gcsfuse-sidecar", "gke-gcsfuse-metadata-prefetch", "gcsfuse", "s3fs", "ossfs", "juicefs-fuse",
        "fluid-fuse", "mountpoint-s3",
        "blobfuse", "blobfuse2",
        // Logs, metrics, traces.
        "datadog-agent", "datadog", "dd-agent", "fluent-bit", "fluentbit", "fluentd", "filebeat", "promtail", "vector",
        "logtail",
        "loongcollector", "otc-container", "otel-collector", "opentelemetry-collector", "otel-agent", "jaeger-agent",
        "telegraf",
        "grafana-agent", "cloudwatch-agent", "amazon-cloudwatch-agent", "newrelic-agent", "dcgm-exporter",
        "queue-proxy",
    ]
    /// The last parts of the images' names, without tag and digest: a sidecar may be called anything.
    private static let images: Set<String> = [
        "istio/proxyv2", "linkerd/proxy", "hashicorp/consul-dataplane", "hashicorp/vault", "kumahq/kuma-dp",
        "daprio/daprd",
        "datadog/agent", "fluent/fluent-bit", "fluent/fluentd", "grafana/promtail", "timberio/vector", "beats/filebeat",
        "otel/opentelemetry-collector", "otel/opentelemetry-collector-contrib",
        "gke-release/gcs-fuse-csi-driver-sidecar-mounter",
        "cloud-sql-connectors/cloud-sql-proxy",
    ]

    static func contains(_ container: ContainerOutline) -> Bool {
        if names.contains(container.name) || container.name.hasSuffix("-sidecar") { return true }
        guard let image = container.container["image"]?.text else { return false }
        return images.contains(lastParts(image))
    }

    /// `registry:5000/istio/proxyv2:1.2@sha256:…` as `istio/proxyv2`.
    private static func lastParts(_ image: String) -> String {
        var parts = image.prefix { $0 != "@" }.split(separator: "/").suffix(2)
        if let last = parts.popLast() { parts.append(last.prefix { $0 != ":" }) }
        return parts.joined(separator: "/")
    }
}
