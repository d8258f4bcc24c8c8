public import AgentAPI
public import CRD

/// How a ModelCache stands, as the plan found it: what the status is written from.
public struct Picture: Sendable, Hashable {
    public enum Source: Sendable, Hashable {
        /// Being listed for the first time.
        case resolving
        /// Endpoint and region come from the nodes, and there is none that matches.
        case waitingForNodes
        case resolved
        case failed(SourceFailure)
    }

    public struct Failure: Sendable, Hashable {
        public var node: String
        public var reason: String
        public var message: String

        public init(node: String, reason: String, message: String) {
            self.node = node
            self.reason = reason
            self.message = message
        }
    }

    public struct Shortage: Sendable, Hashable {
        public var node: String
        public var needed: Int64
        public var free: Int64

        public init(node: String, needed: Int64, free: Int64) {
            self.node = node
            self.needed = needed
            self.free = free
        }
    }

    public struct User: Sendable, Hashable {
        public var node: String
        public var users: Int
    }

    /// A copy that a deletion does not wait for, and why.
    public struct LeftCopy: Sendable, Hashable {
        public var node: String
        public var why: String
        /// Its node is not in the cluster.
        public var isGone = false
    }

    public enum Ending: Sendable, Hashable {
        /// `waiting`: nodes that did not answer yet; `refusing`: those that said no, and what they said.
        case evicting(waiting: [String], refusing: [Failure] = [])
        case inUse([User])
    }

    public var source: Source = .resolving
    /// Why the listing does not begin, in words; nil: it does.
    public var listingWaits: String?
    /// The content of the source, once known; it stays through later failures.
    public var facts: ResolvedSource?
    public var fingerprint = ""
    /// The source's last change; nil: none that this plan knows of.
    public var change: SourceChange?
    /// A former change counts no more: the spec pins the listing that ``facts`` are of, or every copy is of it.
    public var isChangeSettled = false
    /// ``CacheSpec/pinnedDigest``.
    public var pinnedDigest: String?
    /// ``CacheSpec/reader``.
    public var reader = ""
    /// The region that the nodes gave, where the spec leaves it open.
    public var region: String?
    /// Nil until a volume is made.
    public var medium: CacheDefinition.Medium?
    public var isSuspended = false
    public var isEager = true
    /// Nodes that match the placement.
    public var candidates = 0
    public var seedersWanted = 0
    public var seeders: [String] = []
    /// Names of the nodes that should hold the model; the following lists are parts of it, sorted.
    public var desired: [String] = []
    public var ready: [String] = []
    public var warming: [String] = []
    /// Prepared or being prepared; their turn comes.
    public var queued: [String] = []
    public var waitingForAgent: [String] = []
    public var unreachable: [String] = []
    /// The error of the first of them, or that it sent no response.
    public var unreachableWhy: String?
    /// Why its namespace's quota has no capacity for it; nil: it has.
    public var quotaExcess: QuotaExcess?
    public var shortages: [Shortage] = []
    /// Nodes that need not hold the model, lack the capacity for it, and have pods that wait for it.
    public var shortagesOfPods: [Shortage] = []
    public var failures: [Failure] = []
    /// Nodes of ``warming`` whose Job was refused so far and tries again.
    public var refusedSoFar: [Failure] = []
    /// The API server's words when it refuses Jobs or claims.
    public var refusal: String?
    /// The name of the claim, where somebody deletes it and pods hold it.
    public var claimHeld: String?
    /// Nodes of ``queued`` whose Job a queue of Jobs holds back.
    public var held: [String] = []
    /// Why the cluster's token keys are not known, where Jobs wait for that.
    public var callersUnknown: String?
    /// The nodes that have bytes of the model or may have them, sorted; at most ``ModelCacheStatus/maximumCopies``.
    public var copies: [String] = []
    /// The nodes that left the cluster with a copy; nil: none.
    public var departed: DepartedNodes?
    /// Bytes present, by desired node.
    public var cachedOn: [String: Int64] = [:]
    /// Bytes present on the desired nodes, and how fast more arrive.
    public var bytesCached: Int64 = 0
    public var bytesPerSecond: Int64 = 0
    public var remainingSeconds: Int64?
    public var originBytes: Int64 = 0
    public var peerBytes: Int64 = 0
    public var copiedBytes: Int64 = 0
    public var ending: Ending?
    /// Of a deletion.
    public var copiesLeft: [LeftCopy] = []

    public init() {}

    /// ``facts`` are of a listing that the spec does not allow any more: no node counts as ready with it.
    public var isExcluded: Bool { pinnedDigest.map { $0 != facts?.digest } ?? false && facts != nil }

    /// Bytes the desired nodes will hold together.
    public var bytesTotal: Int64 { (facts?.totalBytes ?? 0).multipliedClamping(by: Int64(desired.count)) }
}

extension Int64 {
    func multipliedClamping(by other: Int64) -> Int64 {
        let (result, overflow) = multipliedReportingOverflow(by: other)
        return overflow ? .max : result
    }

    func addedClamping(_ other: Int64) -> Int64 {
        let (result, overflow) = addingReportingOverflow(other)
        return overflow ? .max : result
    }
}
