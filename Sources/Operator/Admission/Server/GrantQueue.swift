internal import DequeModule

/// A fixed budget of bytes, granted in the order of asking, so that a large request is not passed over for ever.
package struct GrantQueue {
    package enum Answer: Hashable {
        case granted
        /// Asked again when bytes come back: ``returned(_:)`` names the ticket then.
        case waits
        /// Larger than the budget, or too many wait already.
        case refused
    }

    package typealias Ticket = UInt64

    package let budgetBytes: Int
    package let mostWaiting: Int
    package private(set) var freeBytes: Int
    private var waiting = Deque<(ticket: Ticket, bytes: Int)>()

    package init(budgetBytes: Int, mostWaiting: Int) {
        self.budgetBytes = budgetBytes
        self.mostWaiting = mostWaiting
        freeBytes = budgetBytes
    }

    package var waitingCount: Int { waiting.count }

    package mutating func asked(for bytes: Int, _ ticket: Ticket) -> Answer {
        precondition(bytes >= 0, "a request for \(bytes) bytes")
        guard bytes <= budgetBytes else { return .refused }
        if waiting.isEmpty, bytes <= freeBytes {
            freeBytes -= bytes
            return .granted
        }
        guard waiting.count < mostWaiting else { return .refused }
        waiting.append((ticket, bytes))
        return .waits
    }

    /// - Returns: the tickets that are granted now.
    package mutating func returned(_ bytes: Int) -> [Ticket] {
        freeBytes += bytes
        precondition(freeBytes <= budgetBytes, "more bytes came back than were granted")
        return grantFirst()
    }

    /// - Returns: nil when the ticket does not wait any more; else the tickets that are granted in its place.
    package mutating func gaveUp(_ ticket: Ticket) -> [Ticket]? {
        guard let index = waiting.firstIndex(where: { $0.ticket == ticket }) else { return nil }
        waiting.remove(at: index)
        return grantFirst()
    }

    private mutating func grantFirst() -> [Ticket] {
        var count = 0
        while count < waiting.count, waiting[count].bytes <= freeBytes {
            freeBytes -= waiting[count].bytes
            count += 1
        }
        defer { waiting.removeFirst(count) }
        return waiting.prefix(count).map(\.ticket)
    }
}
