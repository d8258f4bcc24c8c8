/// How fast this node's uplink sends blocks, compared with what its receivers could take.
///
/// A receiver spreads its link over about ten fetches, so an uplink that serves few requests is expected to send
/// little. Receivers whose own link is slow say nothing of the uplink, so the caller leaves them out.
///
/// ### Invariants
/// - `sending` has no zero and no negative number.
package struct SwarmUplink: Sendable {
    /// The uplink is so many times slower than expected; 1: it is not slow.
    package private(set) var slowness: Double = 1
    /// Requests being served, by receiver.
    private var sending: [SwarmPeer: Int] = [:]
    /// Requests being served of receivers that count.
    private var counted = 0
    private var sentBlocks = 0.0
    /// Blocks that a good uplink would have sent meanwhile.
    private var expected = 0.0
    private var lookedAt: SwarmInstant = 0
    private var judgedAt: SwarmInstant = 0

    package init() {}

    package var isSlow: Bool { slowness > 1 }

    /// A request being served gets this share of its receiver's link.
    private static let shareOfReceiver = 0.1
    /// An uplink that sends less than this share of what is expected is slow.
    private static let slowShare = 0.25
    /// Judged when a good uplink would have sent so many blocks, and two for each request being served.
    private static let blocksOfJudgement = 8.0
    /// An uplink that was slow and is not asked any more counts as good again after this time, to be measured anew.
    private static let memory: SwarmNanoseconds = .seconds(30)
    private static let mostSlowness = 16.0

    /// A request of `peer` is being served from now on, or no more.
    package mutating func changed(_ change: SwarmUpload, to peer: SwarmPeer, counts: Bool) {
        switch change {
        case .sending: sending[peer, default: 0] += 1
        case .resting, .sent:
            guard let count = sending[peer] else { return }
            sending[peer] = count > 1 ? count - 1 : nil
            if change == .sent, counts { sentBlocks += 1 }
        }
    }

    /// Adds up what a good uplink would have sent since the last look, and judges.
    /// - Parameters:
    ///   - pace: blocks a nanosecond that a good node's link carries; 0: not known.
    ///   - isCounted: whether the peer's own link is good.
    package mutating func look(pace: Double, isCounted: (SwarmPeer) -> Bool, at now: SwarmInstant) {
        expected += min(1, Double(counted) * Self.shareOfReceiver) * pace * Double(now - min(now, lookedAt))
        lookedAt = now
        counted = sending.reduce(0) { $0 + (isCounted($1.key) ? $1.value : 0) }
        if isSlow, now > judgedAt + Self.memory { slowness = 1 }
        // Requests that are served in turn all end late.
        let atOnce = sending.values.reduce(0, +)
        guard expected >= Self.blocksOfJudgement + 2 * Double(atOnce) else { return }
        let share = sentBlocks / expected
        slowness = share < Self.slowShare ? min(Self.mostSlowness, 1 / max(share, 1 / Self.mostSlowness)) : 1
        (judgedAt, expected, sentBlocks) = (now, 0, 0)
    }

    /// Stops the program where an invariant does not hold. For tests and the simulator.
    package func checkInvariants() {
        precondition(sending.values.allSatisfy { $0 > 0 }, "a receiver with no request is served")
    }
}
