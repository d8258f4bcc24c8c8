/// The rules of `spec`.
enum SpecSchema {
    static let node: SchemaNode = .fields(
        "What is to be kept, where and how.",
        [
            "source": source, "placement": placement, "warmup": warmup, "cache": cache,
            "suspend": SchemaNode(
                .boolean, "No new warm-ups while true. What is cached stays and is served.", default: false),
        ], required: ["source"])

    private static let source: SchemaNode = .fields(
        "Where the model is read from. Immutable: a new version of a model is a new ModelCache.",
        [
            "uri": .text(
                "Bucket and prefix, oss://bucket/prefix/ or s3://bucket/prefix/.", length: 8...1100, pattern: .uri),
            "endpoint": .text(
                "https://host, http://host:port, or a host, which means HTTPS. Default for oss:// with a region: that region's internal endpoint.",
                length: 1...300, pattern: .endpoint),
            "region": .text(
                "Such as cn-hangzhou. Default: the endpoint's, else the nodes' label topology.kubernetes.io/region.",
                length: 1...63, pattern: .region),
            "include": .list(
                "Shell patterns on the keys below the prefix; * also crosses /. Empty: every object.",
                of: .text("", length: 1...512, pattern: .include), atMost: 64
            ).defaulting(to: []),
            "credentialsSecretRef": .fields(
                "A Secret in this namespace with the keys OSS_ACCESS_KEY_ID, OSS_ACCESS_KEY_SECRET and, for temporary credentials, OSS_SESSION_TOKEN; akId, akSecret and securityToken are understood too. Absent: anonymous.",
                ["name": .text("The Secret's name.", length: 1...253, pattern: .objectName)], required: ["name"]),
        ], required: ["uri"],
        rules: [.init(rule: "self == oldSelf", message: Immutability.message)])

    private static let placement: SchemaNode = .fields(
        "Which nodes keep copies.",
        [
            "nodeSelector": SchemaNode(
                .map(values: .text("", length: 0...63, pattern: .labelValue), maximumCount: 64),
                "Labels that a node must carry, all of them. Empty: every node.", default: [:]),
            "affinity": AffinitySchema.node,
            "tolerations": .list("Taints that warm-up pods put up with.", of: toleration, atMost: 64).defaulting(to: []),
            "seeders": .whole("How many nodes keep a pinned full copy.", 0...50, default: Placement.defaultSeeders),
        ], default: [:])

    private static let toleration: SchemaNode = .fields(
        "As in a pod's tolerations.",
        [
            "key": .text("The taint's key; absent with Exists: every taint.", length: 0...317),
            "operator": .choice(Toleration.Operator.self, "Exists or Equal; absent: Equal."),
            "value": .text("The taint's value, with Equal.", length: 0...63, pattern: .labelValue),
            "effect": .choice(
                Toleration.Effect.self, "NoSchedule, PreferNoSchedule or NoExecute; absent: every effect.", orEmpty: true),
            "tolerationSeconds": .whole("With NoExecute: how long the taint is tolerated.", .min ... .max),
        ])

    private static let warmup: SchemaNode = .fields(
        "How copies get to the nodes.",
        [
            "mode": .choice(
                Warmup.Mode.self,
                "Eager warms every node that placement matches, OnDemand the seeders alone; other nodes then fill when a pod reads.",
                default: Warmup.defaultMode),
            "parallelism": .whole("How many nodes warm at once.", 1...1000, default: Warmup.defaultParallelism),
            "backoffLimit": .whole(
                "How often a node's warm-up is tried again before the node counts as failed.", 0...100,
                default: Warmup.defaultBackoffLimit),
            "activeDeadlineSeconds": .whole("How long one node's warm-up may take. Absent: as long as it needs.", 1...604_800),
            "bandwidthLimit": SchemaNode(.quantity, "Bytes a second a node, such as 500Mi. Absent: no limit."),
        ], default: [:])

    private static let cache: SchemaNode = .fields(
        "What copies are kept on, and for how long.",
        [
            "medium": .choice(
                Cache.Medium.self, "Memory or Disk. Immutable: volumes name the medium's directory.", default: Cache.defaultMedium
            ).with([.init(rule: "self == oldSelf", message: Immutability.mediumMessage)]),
            "idleSeconds": .whole(
                "Copies that are neither a seeder's nor Eager go after so long without a reader. 0: with the ModelCache.",
                0...31_536_000, default: Cache.defaultIdleSeconds),
        ], default: [:])
}

extension SchemaNode {
    func defaulting(to fallback: JSONTree) -> SchemaNode {
        var node = self
        node.fallback = fallback
        return node
    }

    func with(_ rules: [CELRule]) -> SchemaNode {
        var node = self
        node.rules = rules
        return node
    }
}
