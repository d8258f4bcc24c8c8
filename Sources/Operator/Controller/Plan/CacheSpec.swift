public import AgentAPI
public import CRD
internal import FoundationEssentials
internal import Kubernetes

/// `spec` of a ModelCache with every default filled in, in the terms of those who carry it out.
public struct CacheSpec: Sendable, Equatable {
    public var source: CacheDefinition.Source
    /// The only listing that may be warmed; nil: any.
    public var pinnedDigest: String?
    /// The Secret with the store's keys, in the ModelCache's namespace; nil: the source is public.
    public var secretName: String?
    /// The ServiceAccount, in the ModelCache's namespace, to whose pods the cluster gives the role that reads; nil:
    /// another party reads.
    public var givenTo: String?
    public var placement: PlacementRules
    public var seeders: Int
    /// Every node that matches is warmed; otherwise the seeders alone.
    public var isEager: Bool
    /// Warm-up Jobs that may run at a time.
    public var parallelism: Int
    public var backoffLimit: Int
    public var activeDeadlineSeconds: Int?
    /// Of what a node receives; nil: no limit.
    public var maxBytesPerSecond: Int64?
    /// Settings of warm-up pods that win over the operator's.
    public var podTemplate = PodTemplate()
    public var medium: CacheDefinition.Medium
    public var idleSeconds: Int
    public var isSuspended: Bool
    public init(
        source: CacheDefinition.Source, secretName: String? = nil, placement: PlacementRules = PlacementRules(),
        seeders: Int = 1,
        isEager: Bool = true, parallelism: Int = 100, backoffLimit: Int = 6, activeDeadlineSeconds: Int? = nil,
        maxBytesPerSecond: Int64? = nil, medium: CacheDefinition.Medium = .memory, idleSeconds: Int = 0,
        isSuspended: Bool = false
    ) {
        self.source = source
        self.secretName = secretName
        self.placement = placement
        self.seeders = seeders
        self.isEager = isEager
        self.parallelism = parallelism
        self.backoffLimit = backoffLimit
        self.activeDeadlineSeconds = activeDeadlineSeconds
        self.maxBytesPerSecond = maxBytesPerSecond
        self.medium = medium
        self.idleSeconds = idleSeconds
        self.isSuspended = isSuspended
    }

    /// Keys, or a token for the role, are in Jobs alone: they list the source, and fill each node that a pod waits on.
    public var isReadByJobs: Bool { secretName != nil || givenTo != nil || source.role?.assumed != nil }

    /// The operator lists public sources itself.
    public var isListedByJobs: Bool { isReadByJobs || source.role != nil }

    /// A hash of the immutable fields of the source. Two sources have the same exactly when these fields are equal.
    public var fingerprint: String { Self.digest([source.uri] + source.include) }

    /// The party that reads the source, in words without a secret.
    public var reader: String {
        if let role = source.role?.assumed {
            return "read as \(role.roleARN) by the ServiceAccount \(role.serviceAccount)"
        }
        if let givenTo { return "read as the role that the cluster gives the ServiceAccount \(givenTo)" }
        if source.role?.node == true { return "read with the nodes' role" }
        return secretName.map { "read with the Secret \($0)" } ?? "read without credentials"
    }

    /// The subject of a resolution: another way to the store, or another party that reads, makes an old response void.
    /// Keys and a role read in a Job, so the settings of its pod count too.
    public var resolutionSubject: String {
        let role = source.role?.assumed.map { role in
            [role.serviceAccount, role.roleARN, role.providerARN ?? "", "\(role.sessionSeconds ?? 0)"]
        }
        return Self.digest(
            [
                source.uri, source.endpoint ?? "", source.region ?? "", source.addressing ?? "",
                "\(source.requesterPays ?? false)", secretName ?? "", source.role?.node == true ? "node" : "",
                Self.digest(role ?? givenTo.map { [$0] } ?? []), isListedByJobs ? podSettings : "",
            ] + source.include)
    }

    /// Equal for equal settings of the pod of a ``ListingJob``.
    private var podSettings: String {
        struct Settings: Encodable {
            var nodeSelector: [String: String]
            var affinity: Kubernetes.NodeAffinity?
            var tolerations: [Kubernetes.Toleration]
            var template: PodTemplate
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        let settings = Settings(
            nodeSelector: placement.nodeSelector, affinity: placement.affinity, tolerations: placement.tolerations,
            template: podTemplate)
        return (try? encoder.encode(settings)).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }

    private static func digest(_ parts: [String]) -> String {
        "sha256:" + Digest.sha256(parts.map { "\($0.utf8.count):\($0)" }.joined())
    }
}
