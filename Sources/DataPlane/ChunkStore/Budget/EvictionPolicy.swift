/// One model as the budget sees it. A model is charged its full size from the moment it is admitted.
public struct ModelUsage: Hashable, Sendable {
    public var id: String
    public var bytes: UInt64
    /// Seconds on any clock that all models and `now` share.
    public var lastUsed: Int64
    /// Sessions that have it open.
    public var inUse: Int
    public var pinned: Bool

    public init(id: String, bytes: UInt64, lastUsed: Int64, inUse: Int, pinned: Bool) {
        self.id = id
        self.bytes = bytes
        self.lastUsed = lastUsed
        self.inUse = inUse
        self.pinned = pinned
    }

    /// Whether capacity for another model may be had by its eviction.
    public var isEvictable: Bool { inUse == 0 && !pinned }
}

/// The shortfall for which `EvictionPolicy.admit` refuses a model.
public struct CapacityShortfall: Hashable, Sendable, CustomStringConvertible {
    public var neededBytes: UInt64
    public var budgetBytes: UInt64
    /// Lacking even if everything evictable went.
    public var missingBytes: UInt64
    /// The models whose bytes cannot be evicted, largest first.
    public var holders: [ModelUsage]

    public init(neededBytes: UInt64, budgetBytes: UInt64, missingBytes: UInt64, holders: [ModelUsage]) {
        self.neededBytes = neededBytes
        self.budgetBytes = budgetBytes
        self.missingBytes = missingBytes
        self.holders = holders
    }

    public var description: String {
        let facts =
            "the model needs \(neededBytes) bytes, \(missingBytes) more than the cache budget of \(budgetBytes) bytes allows"
        if neededBytes > budgetBytes || holders.isEmpty { return facts + "; give the cache a larger budget" }
        let list = holders.prefix(5).map { holder in
            let why = holder.inUse > 0 ? "in use by \(holder.inUse)" : "pinned"
            return "\(holder.id): \(holder.bytes) bytes, \(why)"
        }
        return facts
            + " (held: \(list.joined(separator: "; "))); stop their users, unpin them or give the cache a larger budget"
    }
}

/// Pure: whom to evict. Models that somebody uses or that are pinned never go.
public struct EvictionPolicy: Hashable, Sendable {
    public var budgetBytes: UInt64
    /// `expireTimeSec`; nil: never.
    public var expireSeconds: Int64?

    public init(budgetBytes: UInt64, expireSeconds: Int64?) {
        self.budgetBytes = budgetBytes
        self.expireSeconds = expireSeconds
    }

    /// Ids to evict, least recently used first and no more than needed, so that `bytes` fit beside the rest.
    ///
    /// Errors: `.capacity` when evicting all that may go is not enough; then nothing should be evicted.
    public func admit(bytes: UInt64, among models: [ModelUsage]) throws(ChunkStoreError) -> [String] {
        let held = models.reduce(UInt64(0)) { $0 + $1.bytes }
        var excess = EvictionPolicy.excess(held, bytes, over: budgetBytes)
        var victims: [String] = []
        let candidates = models.filter(\.isEvictable).sorted { ($0.lastUsed, $0.id) < ($1.lastUsed, $1.id) }
        for model in candidates where excess > 0 && model.bytes > 0 {
            victims.append(model.id)
            excess = excess > model.bytes ? excess - model.bytes : 0
        }
        if excess > 0 {
            let holders = models.filter { !$0.isEvictable }.sorted { ($1.bytes, $0.id) < ($0.bytes, $1.id) }
            throw .capacity(
                CapacityShortfall(neededBytes: bytes, budgetBytes: budgetBytes, missingBytes: excess, holders: holders))
        }
        return victims
    }

    /// Ids of models that nobody uses, that are not pinned and that were idle for `expireSeconds`, oldest first.
    public func expired(among models: [ModelUsage], now: Int64) -> [String] {
        guard let expireSeconds else { return [] }
        return models.filter { $0.isEvictable && now - $0.lastUsed >= expireSeconds }
            .sorted { ($0.lastUsed, $0.id) < ($1.lastUsed, $1.id) }.map(\.id)
    }

    private static func excess(_ a: UInt64, _ b: UInt64, over limit: UInt64) -> UInt64 {
        let (sum, overflow) = a.addingReportingOverflow(b)
        if overflow { return UInt64.max - limit }
        return sum > limit ? sum - limit : 0
    }
}
