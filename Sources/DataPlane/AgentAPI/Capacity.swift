/// The bytes that one medium of a node can still promise: the rule by which an agent takes or refuses a
/// ``CacheDefinition``.
///
/// A definition, pinned or not, must fit beside everything that no eviction frees. A promise that was given stays good,
/// though the node may have less to give today. The agent answers by this rule, the operator foresees the answer by it,
/// and so do tests.
public struct Capacity: Sendable, Hashable {
    /// The capacity that a definition takes when it is accepted.
    public struct Promise: Sendable, Hashable {
        public var sizeBytes: Int64
        public var isPinned: Bool

        public init(sizeBytes: Int64, isPinned: Bool) {
            self.sizeBytes = max(0, sizeBytes)
            self.isPinned = isPinned
        }
    }

    /// Why a definition is refused.
    public struct Shortfall: Sendable, Hashable {
        public var neededBytes: Int64
        public var freeBytes: Int64

        public init(neededBytes: Int64, freeBytes: Int64) {
            self.neededBytes = neededBytes
            self.freeBytes = freeBytes
        }
    }

    /// The bytes that the agent may promise in all.
    public var budgetBytes: Int64
    /// The bytes that no eviction frees: caches that are pinned or have readers.
    public var heldBytes: Int64

    public init(budgetBytes: Int64, heldBytes: Int64 = 0) {
        self.budgetBytes = max(0, budgetBytes)
        self.heldBytes = max(0, heldBytes)
    }

    public var freeBytes: Int64 { max(0, budgetBytes - heldBytes) }

    /// The same without what one cache holds: its own reservation does not stand in its way.
    public func without(_ cache: CacheReport?) -> Capacity {
        Capacity(budgetBytes: budgetBytes, heldBytes: heldBytes - (cache?.heldBytes ?? 0))
    }

    /// - Parameters:
    ///   - wanted: what is asked for. ``heldBytes`` must not count the same cache; see ``without(_:)``.
    ///   - known: what was promised to the same cache before.
    /// - Returns: nil: there is capacity.
    public func shortfall(for wanted: Promise, after known: Promise? = nil) -> Shortfall? {
        if let known, known.isPinned || !wanted.isPinned, wanted.sizeBytes <= known.sizeBytes { return nil }
        guard wanted.sizeBytes > freeBytes else { return nil }
        return Shortfall(neededBytes: wanted.sizeBytes, freeBytes: freeBytes)
    }
}

extension Capacity {
    /// - Parameter caches: the reports on the caches of this medium.
    public init(_ report: AgentReport.MediumReport, caches: some Sequence<CacheReport>) {
        if let held = report.heldBytes {
            self.init(budgetBytes: report.budgetBytes, heldBytes: held)
            return
        }
        // An agent of an earlier release does not tell: what it uses, less what lies in caches that may go.
        let evictable = caches.reduce(Int64(0)) { sum, cache in cache.isHeld ? sum : sum &+ max(0, cache.bytesCached) }
        self.init(budgetBytes: report.budgetBytes, heldBytes: max(0, report.usedBytes) - evictable)
    }
}

extension CacheReport {
    /// Whether no eviction may take its bytes.
    var isHeld: Bool { pinned || users > 0 }

    /// The bytes that it takes of ``Capacity/heldBytes``.
    var heldBytes: Int64 {
        guard isHeld else { return 0 }
        return pinned || digest != nil ? max(0, bytesTotal) : max(0, bytesCached)
    }

    /// The capacity that the agent has promised it.
    public var promise: Capacity.Promise { Capacity.Promise(sizeBytes: bytesTotal, isPinned: pinned) }
}
