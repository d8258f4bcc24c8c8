import CRD
import Foundation

/// A ModelCache with every field set; what reflection finds in it is every property of the types.
enum Documents {
    static let requirement = NodeSelectorRequirement(key: "zone", operator: .in, values: ["a"])
    static let term = NodeSelectorTerm(
        matchExpressions: [requirement],
        matchFields: [NodeSelectorRequirement(key: "metadata.name", operator: .in, values: ["node-1"])])

    static let podTemplate = PodTemplate(
        labels: ["team": "a"], annotations: ["note": "x"], imagePullSecrets: [.init(name: "registry")], serviceAccountName: "warm",
        priorityClassName: "low", runtimeClassName: "gvisor",
        tolerations: [Toleration(key: "gpu", operator: .equal, value: "yes", effect: .noExecute, tolerationSeconds: 30)],
        resources: .init(requests: ["cpu": Quantity("1m")], limits: ["memory": Quantity("1Gi")]),
        securityContext: .init(runAsUser: 1, runAsGroup: 2, fsGroup: 3, supplementalGroups: [4]))

    /// One of each kind, with every field.
    static let parties = [
        SourceCredentials(secretRef: SecretReference(name: "keys")),
        SourceCredentials(serviceAccount: ServiceAccountRole(
            name: "warm", roleARN: "acs:ram::1:role/r", oidcProviderARN: "acs:ram::1:oidc-provider/p", sessionSeconds: 900)),
        SourceCredentials(node: .init()), SourceCredentials(anonymous: .init()),
    ]

    static var full: ModelCache {
        ModelCache(
            metadata: ObjectMeta(name: "full", namespace: "default"),
            spec: ModelCacheSpec(
                source: Source(
                    uri: "oss://models/qwen/", endpoint: "http://10.1.2.3:9000", region: "cn-hangzhou", include: ["*.gguf"],
                    digest: "sha256:" + String(repeating: "0a", count: 32), addressing: .virtual, requesterPays: true,
                    credentials: parties[0]),
                placement: Placement(
                    nodeSelector: ["kubernetes.io/arch": "amd64"],
                    affinity: Affinity(nodeAffinity: NodeAffinity(
                        required: NodeSelector(nodeSelectorTerms: [term]),
                        preferred: [PreferredSchedulingTerm(weight: 5, preference: term)])),
                    tolerations: [Toleration(key: "gpu", operator: .equal, value: "yes", effect: .noExecute, tolerationSeconds: 30)],
                    seeders: 2),
                warmup: Warmup(
                    mode: .onDemand, parallelism: 7, backoffLimit: 3, activeDeadlineSeconds: 600, maxBytesPerSecond: Quantity("500Mi"),
                    podTemplate: podTemplate),
                cache: Cache(medium: .disk, idleSeconds: 60), suspend: true),
            status: ModelCacheStatus(
                observedGeneration: 1, phase: .warming,
                conditions: [Condition(
                    type: .ready, status: .false, observedGeneration: 1, lastTransitionTime: "2026-01-02T03:04:05Z",
                    reason: .warming, message: "1 of 2 nodes")],
                source: SourceStatus(
                    totalBytes: 253_000_000, files: 4, digest: "sha256:00", size: "253 MB", fingerprint: "00",
                    region: "cn-hangzhou"),
                medium: .disk,
                nodes: NodesStatus(
                    desired: 2, ready: 1, warming: 1, failed: 0, summary: "1/2",
                    details: [NodeDetail(name: "node-1", state: .warming, percent: 42, message: "waits")]),
                seeders: ["node-2"], copies: ["node-1", "node-2"], departed: DepartedNodes(names: ["node-3"], leftOut: 1),
                progress: ProgressStatus(
                    bytesCached: 1, bytesTotal: 2, bytesPerSecond: 3, remainingSeconds: 4, percent: 50, summary: "50%"),
                traffic: TrafficStatus(originBytes: 5, peerBytes: 6, copiedBytes: 7)))
    }

    /// The five lines of the sample, as JSON.
    static let minimal = #"{"apiVersion":"modelcache.io/v1alpha1","kind":"ModelCache","metadata":{"name":"m"},"spec":{"source":{"uri":"oss://models/gemma/"}}}"#

    static func decode(_ json: String) throws -> ModelCache {
        try JSONDecoder().decode(ModelCache.self, from: Data(json.utf8))
    }

    static func spec(_ change: (inout ModelCacheSpec) -> Void) -> ModelCacheSpec {
        var spec = full.spec
        change(&spec)
        return spec
    }
}
