/// An agent refused the definition that it was sent, or left it unanswered: it is not sent again before the wait is
/// over or something has changed that may change the answer.
public struct AgentRefusal: Sendable, Hashable {
    public enum Kind: Sendable, Hashable {
        /// The node has no capacity: bytes needed, and bytes that the agent could promise.
        case capacity(needed: Int64, free: Int64)
        case other
        /// It did not answer.
        case unanswered
    }

    /// The circumstances that the answer depends on. A change of any of these ends the wait.
    public struct Circumstances: Sendable, Hashable {
        /// `metadata.generation` of the ModelCache.
        public var generation: Int64
        public var sizeBytes: Int64
        /// Of the policy that the definition carries.
        public var callersDigest: String?
        public var agentInstance: String

        public init(generation: Int64, sizeBytes: Int64, callersDigest: String?, agentInstance: String) {
            self.generation = generation
            self.sizeBytes = sizeBytes
            self.callersDigest = callersDigest
            self.agentInstance = agentInstance
        }
    }

    public var kind: Kind
    /// Whether the refused definition was pinned. An agent that refuses an unpinned definition refuses a pinned one for
    /// the same reason.
    public var isPinned: Bool
    public var circumstances: Circumstances
    /// The node's free capacity, as its agent's reports showed it at the time.
    public var freeBytes: Int64
    /// Message and wait: 5 s, doubling to 5 minutes while it repeats under the same circumstances.
    public var refusal: Memory.Refusal

    public init(
        _ kind: Kind, after before: AgentRefusal?, isPinned: Bool, circumstances: Circumstances, freeBytes: Int64,
        message: String, now: WallTime
    ) {
        self.kind = kind
        self.isPinned = isPinned
        self.circumstances = circumstances
        self.freeBytes = freeBytes
        let isSame = before.map { $0.circumstances == circumstances && !$0.hasCapacity(freeBytes) } ?? false
        refusal = .next(after: isSame ? before?.refusal : nil, message: message, now: now)
    }

    /// Whether the definition need not be sent now: the agent would refuse it again.
    public func isInForce(_ current: Circumstances, freeBytes: Int64, now: WallTime) -> Bool {
        refusal.until > now && stands(current, freeBytes: freeBytes)
    }

    /// Whether nothing has changed that may change the answer.
    public func stands(_ current: Circumstances, freeBytes: Int64) -> Bool {
        circumstances == current && !hasCapacity(freeBytes)
    }

    /// Whether since then as much has become free as was lacking. The reports' number may differ from the agent's own,
    /// so it is the growth that counts.
    func hasCapacity(_ freeBytesNow: Int64) -> Bool {
        guard case .capacity(let needed, let free) = kind else { return false }
        return freeBytesNow - freeBytes >= max(1, needed - free)
    }
}
