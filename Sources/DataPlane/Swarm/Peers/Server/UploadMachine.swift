/// Decides how one request for bytes of a file is served: how long its bytes are waited for, when it takes a place in
/// the queue, what is sent next, and how it ends. A value that ``BlockUpload`` carries out; the caller has the clock.
///
///     waiting ── first byte is here ──▶ queued ── has a place ──▶ sending ── last byte went ──▶ ended
///        └──── patience is over, or the peer is gone: at any time ────────────────────────────────▲
///
/// Guarantees: bytes go in order, each once; one `end` comes, and nothing after it; a place in the queue is asked for
/// once, and only when there is something to send: a request that waits for bytes must not keep others from theirs.
package struct UploadMachine: Sendable {
    package enum Outcome: Sendable, Hashable {
        /// Head and body are written.
        case sent
        /// Nothing was written: the blocks are not here and did not come.
        case notHere
        /// The answer cannot be completed.
        case broken
    }

    package enum Action: Sendable, Hashable {
        /// A peer wants the first block, which is neither here nor arriving.
        case tellWanted
        /// ``UploadMachine/looked(_:)`` when bytes come or are lost, and at the latest after so many nanoseconds.
        case lookLater(within: Int64)
        /// ``UploadMachine/hasPlace()`` when it is the request's turn.
        case queue
        /// ``UploadMachine/opened()``, or ``UploadMachine/notOpened()``.
        case open
        /// Others have the place until `resume`.
        case pause
        case resume
        /// ``UploadMachine/sent()``, or ``UploadMachine/broke()``.
        case send(Range<UInt64>)
        /// The next look may come at once.
        case look
        case end(Outcome)
    }

    /// The bytes from ``position`` on, as they are found.
    package struct Look: Sendable {
        /// Their end; nil: a block that was arriving is lost.
        package var end: UInt64?
        /// The block at ``position`` is neither here nor arriving.
        package var isAbsent = false
        /// Bytes that the next send waits for are arriving.
        package var isArriving = false
        /// Uploads have a limit.
        package var isPaced = false
        /// Nanoseconds since the look before, where it was followed by `lookLater`.
        package var waited: Int64 = 0

        package init(
            end: UInt64?, isAbsent: Bool = false, isArriving: Bool = false, isPaced: Bool = false, waited: Int64 = 0
        ) {
            self.end = end
            self.isAbsent = isAbsent
            self.isArriving = isArriving
            self.isPaced = isPaced
            self.waited = waited
        }
    }

    private enum Phase {
        case waiting
        case queued
        case opening
        /// Between two sends.
        case sending(isPaused: Bool)
        /// A send is under way.
        case writing
        case ended
    }

    /// How long a request for a block that is not here stays open.
    package static let patience: Int64 = 2_000_000_000
    private static let shortestPause: Int64 = 1_000_000
    private static let longestPause: Int64 = 128_000_000
    /// Where bytes wake it, the clock is only for what happens by another way: the block comes from elsewhere, or is
    /// never begun again.
    package static let watchedPause: Int64 = 500_000_000
    package static let sendBytes: UInt64 = 512 << 10
    package static let relayBytes: UInt64 = 64 << 10
    package static let pacedSendBytes: UInt64 = 64 << 10

    private let end: UInt64
    /// Bytes before it are sent, or on their way.
    package private(set) var position: UInt64
    private var phase = Phase.waiting
    /// Since bytes were sent.
    private var waited: Int64 = 0
    private var pause = UploadMachine.shortestPause
    private var hasTold = false

    package init(_ range: Range<UInt64>) {
        precondition(!range.isEmpty, "a request for no byte has no first one to wait for")
        position = range.lowerBound
        end = range.upperBound
    }

    /// Whether its first byte is waited for.
    package var isWaiting: Bool { if case .waiting = phase { true } else { false } }
    /// Whether a look would change anything.
    package var looks: Bool {
        switch phase {
        case .waiting, .sending: true
        case .queued, .opening, .writing, .ended: false
        }
    }
    /// Relayed bytes go on in sends of ``relayBytes``, not segment by segment.
    package var sendEnd: UInt64 { min(position + Self.relayBytes, end) }

    // MARK: Events

    package mutating func looked(_ look: Look) -> [Action] {
        precondition(look.waited >= 0 && look.end ?? position >= position, "bytes that were sent are here")
        waited += look.waited
        return switch phase {
        case .waiting: lookedForFirst(look)
        case .sending(let isPaused): lookedForNext(look, isPaused)
        case .queued, .opening, .writing, .ended: []
        }
    }

    package mutating func hasPlace() -> [Action] {
        guard case .queued = phase else { return [] }
        phase = .opening
        return [.open]
    }

    package mutating func opened() -> [Action] {
        guard case .opening = phase else { return [] }
        startsAnew()
        phase = .sending(isPaused: false)
        return [.look]
    }

    package mutating func notOpened() -> [Action] { ends(.notHere) }

    package mutating func sent() -> [Action] {
        guard case .writing = phase else { return [] }
        phase = .sending(isPaused: false)
        return position < end ? [.look] : ends(.sent)
    }

    /// A send failed, or the connection is gone.
    package mutating func broke() -> [Action] { ends(.broken) }

    // MARK: Decisions

    private mutating func lookedForFirst(_ look: Look) -> [Action] {
        if let here = look.end, here > position {
            phase = .queued
            return [.queue]
        }
        let tells = look.isAbsent && !hasTold
        if tells { hasTold = true }
        return (tells ? [.tellWanted] : []) + (waited < Self.patience ? [later(look)] : ends(.notHere))
    }

    private mutating func lookedForNext(_ look: Look, _ isPaused: Bool) -> [Action] {
        guard let here = look.end else { return ends(.broken) }
        // The bytes that are here go on alone when the rest of their send is late.
        let isLate = here > position && waited >= Self.watchedPause
        guard here >= sendEnd || isLate else {
            // The fetch that brings the block has deadlines of its own; this one only bounds a mistake.
            guard waited < 10 * Self.patience else { return ends(.broken) }
            phase = .sending(isPaused: true)
            return (isPaused ? [] : [.pause]) + [later(look)]
        }
        startsAnew()
        phase = .writing
        let start = position
        position = min(here, end, start + (look.isPaced ? Self.pacedSendBytes : Self.sendBytes))
        return (isPaused ? [.resume] : []) + [.send(start..<position)]
    }

    private mutating func later(_ look: Look) -> Action {
        guard !look.isArriving else { return .lookLater(within: Self.watchedPause) }
        defer { pause = min(pause * 2, Self.longestPause) }
        return .lookLater(within: pause)
    }

    private mutating func startsAnew() {
        waited = 0
        pause = Self.shortestPause
    }

    private mutating func ends(_ outcome: Outcome) -> [Action] {
        if case .ended = phase { return [] }
        phase = .ended
        return [.end(outcome)]
    }
}
