public import AgentAPI

/// `spec` of a ModelCache with every default filled in, in the terms of those who carry it out.
public struct CacheSpec: Sendable, Equatable {
    public var source: CacheDefinition.Source
    /// The Secret with the store's keys, in the ModelCache's namespace; nil: the source is public.
    public var secretName: String?
    public var placement: PlacementRules
    public var seeders: Int
    /// Every node that matches is warmed; otherwise the seeders alone.
    public var isEager: Bool
    /// Warm-up Jobs that may run at a time.
    public var parallelism: Int
    public var backoffLimit: Int
    public var activeDeadlineSeconds: Int?
    /// Bytes a second a node.
    public var bandwidthLimit: Int64?
    public var medium: CacheDefinition.Medium
    public var idleSeconds: Int
    public var isSuspended: Bool
    /// Stable text of the source as the resource has it.
    public var fingerprint: String

    public init(
        source: CacheDefinition.Source, secretName: String? = nil, placement: PlacementRules = PlacementRules(), seeders: Int = 1,
        isEager: Bool = true, parallelism: Int = 100, backoffLimit: Int = 6, activeDeadlineSeconds: Int? = nil,
        bandwidthLimit: Int64? = nil, medium: CacheDefinition.Medium = .memory, idleSeconds: Int = 0, isSuspended: Bool = false,
        fingerprint: String? = nil
    ) {
        self.source = source
        self.secretName = secretName
        self.placement = placement
        self.seeders = seeders
        self.isEager = isEager
        self.parallelism = parallelism
        self.backoffLimit = backoffLimit
        self.activeDeadlineSeconds = activeDeadlineSeconds
        self.bandwidthLimit = bandwidthLimit
        self.medium = medium
        self.idleSeconds = idleSeconds
        self.isSuspended = isSuspended
        self.fingerprint = fingerprint ?? Self.fingerprint(of: source)
    }

    /// Tells one source from another: what must not change once it was resolved.
    public var sourceHash: String { "sha256:" + Digest.sha256(fingerprint) }

    static func fingerprint(of source: CacheDefinition.Source) -> String {
        let parts = [source.uri, source.endpoint ?? "", source.region ?? ""] + source.include
        return parts.map { "\($0.utf8.count):\($0)" }.joined()
    }
}
