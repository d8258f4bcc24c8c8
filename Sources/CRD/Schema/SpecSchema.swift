/// The rules of `spec`.
enum SpecSchema {
    static let node: SchemaNode = .fields(
        "The wanted caches: of which source, on which nodes, in which medium.",
        [
            "source": source, "placement": placement, "warmup": warmup, "cache": cache,
            "suspend": SchemaNode(
                .boolean, "No new warm-ups while true. Complete and partial caches stay and are served.", default: false),
        ], required: ["source"])

    private static let source: SchemaNode = .fields(
        "Where the model is read from. uri and include are immutable: a new version of a model is a new ModelCache. "
            + "How the store is reached may change.",
        [
            "uri": .text(
                "Bucket and prefix, oss://bucket/prefix/ or s3://bucket/prefix/. Immutable.", length: 8...1100,
                pattern: .uri
            ).with([Immutability.rule(Immutability.uriMessage), Rules.uriBucket]),
            "endpoint": .text(
                "https://host, http://host:port, or a host, which means HTTPS. "
                    + "Default for oss:// with a region: that region's internal endpoint.",
                length: 1...300, pattern: .endpoint),
            "region": .text(
                "Such as cn-hangzhou. Default: the endpoint's, else the nodes' label topology.kubernetes.io/region.",
                length: 1...63, pattern: .region),
            "include": .list(
                "Shell patterns on the keys below the prefix; * also crosses /. Empty: every object. Immutable.",
                of: .text("", length: 1...512, pattern: .include).with(Rules.includePattern), atMost: 64
            ).defaulting(to: []).with([Immutability.rule(Immutability.includeMessage), Rules.includeOnce]),
            "digest": .text(
                "The listing that may be warmed, as status.source.digest tells it. Absent: whatever the source holds.",
                length: 71...71, pattern: .digest),
            "addressing": .choice(
                Source.Addressing.self,
                "Where the bucket's name stands: Virtual in the host, Path in the path, CNAME nowhere, the endpoint being the bucket's own domain. Absent or Auto: by the endpoint."
            ),
            "requesterPays": SchemaNode(
                .boolean, "The owner of these credentials pays for requests to a bucket whose requester pays."),
            "credentials": credentials,
        ], required: ["uri"], rules: Rules.addressing + [Rules.provider])

    private static let credentials: SchemaNode = .fields(
        "The identity that reads the source: exactly one of the members. Absent: anonymous.",
        [
            "secretRef": .fields(
                "A Secret in this namespace with the keys OSS_ACCESS_KEY_ID, OSS_ACCESS_KEY_SECRET and, for temporary "
                    + "credentials, OSS_SESSION_TOKEN; akId, akSecret and securityToken are understood too, "
                    + "and so are AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN.",
                ["name": .text("The Secret's name.", length: 1...253, pattern: .objectName)], required: ["name"]),
            "serviceAccount": .fields(
                "A role that a ServiceAccount of this namespace may assume: of RAM for oss:// (RRSA), of IAM for s3://. "
                    + "Warm-up pods run as it. Without roleARN it is the role that the cluster gives these pods, such as by "
                    + "EKS Pod Identity.",
                [
                    "name": .text("The ServiceAccount's name.", length: 1...253, pattern: .objectName),
                    "roleARN": .text(
                        "Such as acs:ram::1234567890123456:role/models. Absent: the role that the cluster's own webhook gives "
                            + "the ServiceAccount's pods.", length: 1...2048, pattern: .resourceName),
                    "oidcProviderARN": .text(
                        "The cluster's OIDC provider in RAM; for oss:// with roleARN, where it is required.", length: 1...2048,
                        pattern: .resourceName),
                    "sessionSeconds": .whole("Length of a session. Absent: 3600.", 900...43_200),
                ], required: ["name"], rules: [Rules.ownRole]),
            "node": .fields("The nodes' own role, where the agents' administrator allows it.", [:]),
            "anonymous": .fields("Nobody: a public bucket.", [:]),
        ],
        rules: [Rules.oneParty])

    private static let placement: SchemaNode = .fields(
        "Which nodes keep copies.",
        [
            "nodeSelector": SchemaNode(
                .map(values: .text("", length: 0...63, pattern: .labelValue), maximumCount: 64),
                "Labels that a node must carry, all of them. Empty: every node.", default: [:]),
            "affinity": AffinitySchema.node,
            "tolerations": .list("Taints that warm-up pods put up with.", of: toleration, atMost: 64).defaulting(to: []
            ),
            "seeders": .whole("How many nodes keep a pinned full copy.", 0...50, default: Placement.defaultSeeders),
        ], default: [:])

    static let toleration: SchemaNode = .fields(
        "As in a pod's tolerations.",
        [
            "key": .text("The taint's key; absent with Exists: every taint.", length: 0...317),
            "operator": .choice(Toleration.Operator.self, "Exists or Equal; absent: Equal."),
            "value": .text("The taint's value, with Equal.", length: 0...63, pattern: .labelValue),
            "effect": .choice(
                Toleration.Effect.self, "NoSchedule, PreferNoSchedule or NoExecute; absent: every effect.",
                orEmpty: true),
            "tolerationSeconds": .whole("With NoExecute: how long the taint is tolerated.", .min ... .max),
        ], rules: Rules.toleration)

    private static let warmup: SchemaNode = .fields(
        "How copies get to the nodes.",
        [
            "mode": .choice(
                Warmup.Mode.self,
                "Eager warms every node that placement matches, OnDemand the seeders alone; "
                    + "other nodes then fill when a pod reads. "
                    + "Absent: Eager where placement has a nodeSelector or affinity, else OnDemand."),
            "parallelism": .whole("How many nodes warm at once.", 1...1000, default: Warmup.defaultParallelism),
            "backoffLimit": .whole(
                "How often a node's warm-up is tried again before the node counts as failed.", 0...100,
                default: Warmup.defaultBackoffLimit),
            "activeDeadlineSeconds": .whole(
                "How long one node's warm-up may take. Absent: as long as it needs.", 1...604_800),
            "maxBytesPerSecond": SchemaNode(
                .quantity, "The most bytes (not bits) a second that a node receives, such as 500Mi. Absent: no limit."),
            "podTemplate": PodTemplateSchema.node,
        ], default: [:])

    private static let cache: SchemaNode = .fields(
        "The medium of the copies, and for how long they are kept.",
        [
            "medium": .choice(
                Cache.Medium.self, "Memory or Disk. Immutable: volumes name the medium's directory.",
                default: Cache.defaultMedium
            ).with([Immutability.rule(Immutability.mediumMessage)]),
            "idleSeconds": .whole(
                "Copies that are neither a seeder's nor Eager go after so long without a reader. "
                    + "Absent: with the ModelCache.",
                1...31_536_000),
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
