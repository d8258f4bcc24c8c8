/// Decides which fill may begin a transfer next, and whose prefetch rests meanwhile. A pure value: time is an argument.
///
/// Problem: many fills share a few staging buffers and one link. A reader waits for its demand; a prefetch can wait.
///
/// - Two lanes. A demand is granted before any prefetch. Some buffers are kept for demands, so that a demand need
///   not wait until a long prefetch has ended.
/// - In a lane the fill with the fewest buffers is next; of equals, the one that was not granted for longest.
///   A fill says how much it wants now (``Wants``), so a transfer that it no longer wants is out of the queue,
///   and a prefetch that became a demand moves up.
/// - While one fill has a demand, the prefetch of the others is held: they begin nothing and receive nothing.
///   A hold lasts at most four fifths of the time (``longestHold``, ``holdPayback``), so no fill starves.
/// - In the other fifth a fill *breathes*: it receives ``breath`` times as many prefetches as there are demands. With
///   all of a hundred the kernel's buffers for them would be read at once, and fill again before the next hold has any
///   effect. On a slow link that is all the time.
///
/// Invariants: no more buffers are granted than there are; a fill that wants something is granted after at most one
/// grant to each other fill, once it holds no more than they do.
package struct StagingQueue: Sendable {
    package typealias Instant = ContinuousClock.Instant

    package enum Lane: Sendable, Hashable { case demand, prefetch }

    /// The transfers that one fill wants now. Each message replaces the one before.
    package struct Wants: Sendable, Hashable {
        /// Transfers that it would begin for readers that wait.
        package var demands: Int
        /// Transfers that it would begin for nobody yet.
        package var prefetches: Int
        /// Transfers under way that a reader waits for.
        package var demandsUnderWay: Int

        package init(demands: Int = 0, prefetches: Int = 0, demandsUnderWay: Int = 0) {
            precondition(
                demands >= 0 && prefetches >= 0 && demandsUnderWay >= 0, "a number of transfers is not negative")
            self.demands = demands
            self.prefetches = prefetches
            self.demandsUnderWay = demandsUnderWay
        }

        var allDemands: Int { demands + demandsUnderWay }
    }

    package struct Grant: Sendable, Hashable {
        package let fill: Int
        package let lane: Lane

        package init(fill: Int, lane: Lane) {
            self.fill = fill
            self.lane = lane
        }
    }

    /// The prefetch of one fill is held for so long without a break.
    static let longestHold: Duration = .seconds(2)
    /// After the last demand: a reader that goes from one chunk to the next does not let the others begin for a moment
    /// each time.
    static let linger: Duration = .milliseconds(100)
    /// So much time of a hold one unit of time without it pays back: after 2 s it breathes for 0.5 s.
    static let holdPayback = 4
    /// So many prefetches for each demand leave it a fifth of the link.
    static let breath = 4

    private enum Hold: Sendable, Equatable {
        case free
        case held
        case breathing(prefetches: Int)
    }

    private struct Member: Sendable {
        var wants = Wants()
        var buffers = 0
        /// Number of the last grant to it; 0: none yet.
        var lastGrant: UInt64 = 0
        var hold = Hold.free
        /// Time of holds that was not paid back.
        var owed: Duration = .zero
        /// When another fill had a demand last.
        var othersDemanded: Instant?
        var hasLeft = false
    }

    /// Buffers there are.
    package private(set) var limit: Int
    /// Buffers in use.
    package private(set) var used = 0
    private var members: [Int: Member] = [:]
    private var nextMember = 0
    private var grants: UInt64 = 0
    private var lastLook: Instant?

    /// - Parameter limit: buffers, at least 1.
    package init(limit: Int) {
        precondition(limit >= 1, "without a buffer nothing can be received")
        self.limit = limit
    }

    /// Buffers that prefetch leaves alone: an eighth, at most 8, none where there is one.
    package var keptForDemands: Int { limit == 1 ? 0 : min(8, max(1, limit / 8)) }

    // MARK: Events

    package mutating func joined() -> Int {
        nextMember += 1
        members[nextMember] = Member()
        return nextMember
    }

    /// The fill wants nothing any more. The buffers that it holds are still to be returned.
    package mutating func left(_ fill: Int) {
        guard var member = members[fill] else { return }
        member.hasLeft = true
        member.wants = Wants()
        members[fill] = member.buffers == 0 ? nil : member
    }

    package mutating func wants(_ fill: Int, _ wants: Wants) {
        precondition(members[fill]?.hasLeft == false, "a fill that left wants nothing")
        members[fill]?.wants = wants
    }

    package mutating func returned(by fill: Int) {
        guard var member = members[fill], member.buffers > 0 else { preconditionFailure("a buffer comes back once") }
        member.buffers -= 1
        used -= 1
        members[fill] = member.hasLeft && member.buffers == 0 ? nil : member
    }

    /// The machine has no memory for one more: those there are must do.
    package mutating func couldNotMake() { limit = max(1, used) }

    /// Moves time on: which prefetch is held now. To be called before ``nextGrant()``, ten times a second at least.
    package mutating func look(now: Instant) {
        let passed = lastLook.map { max(.zero, $0.duration(to: now)) } ?? .zero
        lastLook = now
        let demands = members.values.reduce(0) { $0 + $1.wants.allDemands }
        for (fill, member) in members {
            members[fill] = Self.looked(member, others: demands - member.wants.allDemands, passed: passed, now: now)
        }
    }

    /// - Parameter demands: of other fills.
    private static func looked(_ former: Member, others demands: Int, passed: Duration, now: Instant) -> Member {
        var member = former
        if demands > 0 { member.othersDemanded = now }
        let othersDemand = member.othersDemanded.map { $0.duration(to: now) < linger } ?? false
        switch member.hold {
        case .held: member.owed += passed
        case .free, .breathing: member.owed = max(.zero, member.owed - passed * holdPayback)
        }
        let breather = Hold.breathing(prefetches: breath * max(1, demands))
        switch member.hold {
        case .free where othersDemand: member.hold = member.owed < longestHold ? .held : breather
        case .held where !othersDemand, .breathing where !othersDemand: member.hold = .free
        case .held where member.owed >= longestHold: member.hold = breather
        case .breathing where member.owed == .zero: member.hold = .held
        default: break
        }
        return member
    }

    /// The next transfer that may begin; nil when nobody may. It counts as begun, and as wanted no longer.
    package mutating func nextGrant() -> Grant? {
        let lane: Lane
        let free = limit - used
        guard free > 0 else { return nil }
        var chosen = next { $0.wants.demands }
        if chosen != nil {
            lane = .demand
        } else if free > keptForDemands {
            chosen = next { $0.hold == .held ? 0 : $0.wants.prefetches }
            lane = .prefetch
        } else {
            return nil
        }
        guard let fill = chosen else { return nil }
        grants += 1
        used += 1
        precondition(used <= limit, "no more buffers are granted than there are")
        members[fill]?.buffers += 1
        members[fill]?.lastGrant = grants
        switch lane {
        case .demand: members[fill]?.wants.demands -= 1
        case .prefetch: members[fill]?.wants.prefetches -= 1
        }
        // Until the fill speaks again, what was granted to a reader counts as under way.
        if lane == .demand { members[fill]?.wants.demandsUnderWay += 1 }
        return Grant(fill: fill, lane: lane)
    }

    private func next(_ wanted: (Member) -> Int) -> Int? {
        members.filter { wanted($0.value) > 0 }.min {
            ($0.value.buffers, $0.value.lastGrant, $0.key) < ($1.value.buffers, $1.value.lastGrant, $1.key)
        }?.key
    }

    // MARK: Questions

    /// How many of the fill's prefetches may receive now; nil: all.
    package func prefetchLimit(of fill: Int) -> Int? {
        switch members[fill]?.hold {
        case nil, .free: nil
        case .held: 0
        case .breathing(let prefetches): prefetches
        }
    }
    package func buffers(of fill: Int) -> Int { members[fill]?.buffers ?? 0 }
    package var fills: [Int] { members.keys.sorted() }
    /// Whether nothing is held and nobody is there.
    package var isEmpty: Bool { members.isEmpty && used == 0 }
}
