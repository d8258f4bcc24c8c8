/// Which agents are asked when: a pure value that ``AgentPoller`` carries out.
///
/// An agent with a cache that fills is asked every second, another every fifteen, all a little apart from each other,
/// and any at once when there is a reason. An agent is asked one question at a time.
package struct PollSchedule {
    package static let busyInterval: Duration = .seconds(1)
    package static let idleInterval: Duration = .seconds(15)
    /// One that does not answer is asked more often than an idle one: people wait for it.
    package static let silentInterval: Duration = .seconds(5)
    /// Questions in flight at most.
    package static let width = 64

    private struct Entry {
        var address: AgentAddress
        var dueAt: WallTime
        var isAsked = false
        /// Asked for again while a question is under way.
        var isWanted = false
    }

    private var entries: [String: Entry] = [:]
    private var inFlight = 0

    package init() {}

    /// A new or moved agent is asked at once.
    package mutating func set(_ address: AgentAddress, now: WallTime) {
        guard entries[address.node]?.address != address else { return }
        entries[address.node] = Entry(address: address, dueAt: now, isAsked: entries[address.node]?.isAsked ?? false)
    }

    package mutating func remove(_ node: String) {
        if let gone = entries.removeValue(forKey: node), gone.isAsked { inFlight -= 1 }
    }

    /// Ask this one at once.
    package mutating func want(_ node: String, now: WallTime) {
        guard var entry = entries[node] else { return }
        if entry.isAsked { entry.isWanted = true } else { entry.dueAt = min(entry.dueAt, now) }
        entries[node] = entry
    }

    package func address(_ node: String) -> AgentAddress? { entries[node]?.address }

    /// Takes the agents whose time has come, as far as the width allows, longest waiting first.
    package mutating func take(now: WallTime) -> [AgentAddress] {
        guard inFlight < Self.width else { return [] }
        // One that is due later than it can be was set before the clock was turned back.
        let due = entries.values.filter { !$0.isAsked && ($0.dueAt <= now || $0.dueAt - now > Self.idleInterval) }
            .sorted { ($0.dueAt, $0.address.node) < ($1.dueAt, $1.address.node) }
            .prefix(Self.width - inFlight)
        for entry in due { entries[entry.address.node]?.isAsked = true }
        inFlight += due.count
        return due.map(\.address)
    }

    /// When somebody is due next; nil when nobody is, or no more may be asked at once.
    package var nextDue: WallTime? {
        inFlight < Self.width ? entries.values.lazy.filter { !$0.isAsked }.map(\.dueAt).min() : nil
    }

    package enum Outcome {
        case busy, idle, silent
    }

    package mutating func answered(_ address: AgentAddress, _ outcome: Outcome, now: WallTime) {
        guard var entry = entries[address.node], entry.isAsked else { return }
        inFlight -= 1
        let interval: Duration =
            switch outcome {
            case .busy: Self.busyInterval
            case .silent: Self.silentInterval
            // Up to a tenth sooner, by name, so that agents that started together drift apart.
            case .idle: Self.idleInterval - .milliseconds(Int(Digest.number(address.node) % 1500))
            }
        // The address may be a new one, which was not asked yet.
        entry.dueAt = entry.isWanted || entry.address != address ? now : now + interval
        entry.isAsked = false
        entry.isWanted = false
        entries[address.node] = entry
    }
}
