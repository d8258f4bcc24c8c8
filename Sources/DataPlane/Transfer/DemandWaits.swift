/// The cause why bytes that a reader waits for are not there.
public enum DemandWait: String, Sendable, Hashable, CaseIterable {
    /// The store: a request is under way, or the pause after one that failed.
    case store
    /// Other nodes.
    case peers
    /// Another cache of this node, which has the bytes.
    case copy
    /// Staging memory, which all fills of the agent share.
    case memory
    /// The agent's own queue: as many transfers as are useful are under way, or the rate limit is reached.
    case queue
    /// The bytes are here, and are checked before anybody sees them.
    case check
}

/// Time that readers waited, by cause. A value.
public struct DemandWaits: Sendable, Equatable {
    private var spans: [DemandWait: Duration] = [:]

    public init(_ spans: [DemandWait: Duration] = [:]) {
        for (cause, span) in spans { self[cause] = span }
    }

    public subscript(cause: DemandWait) -> Duration {
        get { spans[cause] ?? .zero }
        set { spans[cause] = newValue > .zero ? newValue : nil }
    }

    public var total: Duration { spans.values.reduce(.zero, +) }

    public static func + (left: Self, right: Self) -> Self {
        var sum = left
        for (cause, span) in right.spans { sum[cause] += span }
        return sum
    }

    /// The time that came since `right`; a cause that has less now counts as none.
    public static func - (left: Self, right: Self) -> Self {
        var rest = left
        for (cause, span) in right.spans { rest[cause] -= span }
        return rest
    }

    /// A fill looks at its demands this often at least. Less than this says nothing about a cause.
    static let blur: Duration = .milliseconds(200)

    /// One reader's wait by cause. The causes are sampled for all readers of a model, the wait is this reader's own, so
    /// the samples' shares count, and not their lengths.
    ///
    /// - Parameters:
    ///   - wait: the time from the first byte that was missing until none was.
    ///   - sampled: the model's waits in this time.
    ///   - unsampled: the cause of a wait so short that it fell between two looks.
    ///   - rest: the cause of longer times in which nothing that is missing was demanded.
    /// - Returns: waits whose sum is `wait`.
    public static func shares(
        of wait: Duration, sampled: DemandWaits, unsampled: DemandWait, rest: DemandWait
    ) -> DemandWaits {
        guard wait > .zero else { return DemandWaits() }
        let total = sampled.total
        if wait - total > blur {
            var shares = sampled
            shares[rest] += wait - total
            return shares
        }
        if total == .zero { return DemandWaits([unsampled: wait]) }
        var shares = DemandWaits()
        for (cause, span) in sampled.spans { shares[cause] = wait * (span / total) }
        // Of what rounding leaves.
        if let largest = DemandWait.allCases.max(by: { sampled[$0] < sampled[$1] }) {
            shares[largest] += wait - shares.total
        }
        return shares
    }
}
