/// The user's desired state. Every field but `source` has a default.
public struct ModelCacheSpec: Codable, Sendable, Equatable {
    /// The source of the model. Its `uri` and `include` are immutable: a new version of a model is a new object.
    public var source: Source
    public var placement: Placement
    public var warmup: Warmup
    public var cache: Cache
    /// While true, the operator starts no warm-ups; cached files stay and are served.
    public var suspend: Bool

    public init(
        source: Source, placement: Placement = Placement(), warmup: Warmup = Warmup(), cache: Cache = Cache(),
        suspend: Bool = false
    ) {
        self.source = source
        self.placement = placement
        self.warmup = warmup
        self.cache = cache
        self.suspend = suspend
    }

    /// `warmup.mode`; without it, every node is warmed only where the author chose the nodes. A model must not fill the
    /// memory of a whole cluster because somebody left a field out.
    public var effectiveMode: Warmup.Mode {
        if let mode = warmup.mode { return mode }
        return placement.nodeSelector.isEmpty && placement.affinity?.nodeAffinity == nil ? .onDemand : .eager
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case source, placement, warmup, cache, suspend
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        self.source = try container.decode(Source.self, forKey: .source)
        self.placement = try container.decode(.placement, or: Placement())
        self.warmup = try container.decode(.warmup, or: Warmup())
        self.cache = try container.decode(.cache, or: Cache())
        self.suspend = try container.decode(.suspend, or: false)
    }
}
