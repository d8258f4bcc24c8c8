internal import Kubernetes

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
        var isAsked = false
        /// Asked for again while a question is under way.
        var isWanted = false
    }

    private var entries: [String: Entry] = [:]
    /// The nodes of ``entries`` that are not asked now.
    private var due = DelayHeap<String, WallTime>()
    private var inFlight = 0

    package init() {}

    /// A new or moved agent is asked at once.
    package mutating func set(_ address: AgentAddress, now: WallTime) {
        let before = entries[address.node]
        guard before?.address != address else { return }
        let isAsked = before?.isAsked ?? false
        entries[address.node] = Entry(address: address, isAsked: isAsked)
        if !isAsked { due.insert(address.node, due: now) }
    }

    package mutating func remove(_ node: String) {
        if let gone = entries.removeValue(forKey: node), gone.isAsked { inFlight -= 1 }
        due.remove(node)
    }

    /// Ask this one at once.
    package mutating func want(_ node: String, now: WallTime) {
        guard let entry = entries[node] else { return }
        if entry.isAsked { entries[node]?.isWanted = true } else { due.insert(node, due: now) }
    }

    package func address(_ node: String) -> AgentAddress? { entries[node]?.address }

    package var addresses: [AgentAddress] { entries.values.map(\.address) }

    /// Takes the agents whose time has come, as far as the width allows, longest waiting first.
    package mutating func take(now: WallTime) -> [AgentAddress] {
        var taken: [AgentAddress] = []
        while inFlight < Self.width, let node = due.popFirst(now) {
            guard let address = entries[node]?.address else { continue }
            entries[node]?.isAsked = true
            inFlight += 1
            taken.append(address)
        }
        return taken
    }

    /// When somebody is due next; nil when nobody is, or no more may be asked at once.
    package var nextDue: WallTime? { inFlight < Self.width ? due.nextDue : nil }

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
        due.insert(address.node, due: entry.isWanted || entry.address != address ? now : now + interval)
        entry.isAsked = false
        entry.isWanted = false
        entries[address.node] = entry
    }
}
