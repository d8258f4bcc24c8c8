/// What the user wants. Every field but `source` has a default.
public struct ModelCacheSpec: Codable, Sendable, Equatable {
    /// Where the model is read from. Immutable: a new version of a model is a new object.
    public var source: Source
    public var placement: Placement
    public var warmup: Warmup
    public var cache: Cache
    /// No new warm-ups while true; what is cached stays and is served.
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
