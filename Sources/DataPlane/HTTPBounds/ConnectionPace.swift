/// How fast one connection must go, and what becomes of what it sends: a value that ``ConnectionGuard`` carries out.
///
/// A caller decides how slowly it sends and reads, so each step has a deadline. A connection is kept for a next request
/// only after an answer that did not close it; the bytes that a caller sends beyond a refused request are thrown away
/// for a moment, so that the refusal is read.
package struct ConnectionPace {
    package struct Limits: Sendable {
        /// From the connection, TLS included, to the first request's head.
        package var firstHead: Duration = .seconds(5)
        /// From an answer to the next request's head. Go's client drops an idle connection after 90 s and must not find
        /// ours closed.
        package var nextHead: Duration = .seconds(120)
        /// From a request's head to its end. The API server's own limit for a review is 3 s.
        package var body: Duration = .seconds(5)
        /// From a request's end to its answer: what the server may take.
        package var answer: Duration = .seconds(10)
        /// From an answer's begin to its last byte, as taken by the caller's kernel.
        package var taking: Duration = .seconds(10)
        /// After an answer to a request that is not wholly there.
        package var linger: Duration = .seconds(1)

        package init() {}
    }

    package enum State: Hashable {
        /// Next: receiving, closed.
        case awaitingHead
        /// The request's body is coming. Next: answering, lingering, closed.
        case receiving
        /// The request is wholly there, or its answer is being written. Next: awaitingHead, lingering, closed.
        case answering
        /// The answer is out, and the connection is about to close. Next: closed.
        case lingering
        case closed
    }

    package enum Action: Hashable {
        /// Goes on to the server.
        case pass
        /// Thrown away.
        case drop
        case close
        /// Goes on; the former deadline is void.
        case passAndCloseAfter(Duration)
        /// Thrown away; the former deadline is void.
        case dropAndCloseAfter(Duration)
    }

    /// Whether the caller owes bytes.
    package var isResting: Bool { state == .awaitingHead || state == .receiving || state == .lingering }

    private let limits: Limits
    package private(set) var state = State.awaitingHead
    private var isBodyComplete = false
    /// The answer that is being written is the connection's last.
    package private(set) var closesAfterAnswer = false

    package init(limits: Limits) { self.limits = limits }

    package mutating func connected() -> Action {
        precondition(state == .awaitingHead, "connected twice")
        return .passAndCloseAfter(limits.firstHead)
    }

    /// No client of a webhook sends a request before it has the answer to the former one, and each would occupy memory.
    package mutating func headArrived() -> Action {
        switch state {
        case .awaitingHead:
            state = .receiving
            isBodyComplete = false
            closesAfterAnswer = false
            return .passAndCloseAfter(limits.body)
        case .receiving, .answering: return closed()
        case .lingering, .closed: return .drop
        }
    }

    package mutating func bodyArrived() -> Action {
        switch state {
        case .receiving, .answering: return .pass
        case .awaitingHead: return closed()
        case .lingering, .closed: return .drop
        }
    }

    package mutating func requestEnded() -> Action {
        switch state {
        case .receiving:
            isBodyComplete = true
            state = .answering
            return .passAndCloseAfter(limits.answer)
        // Its answer was begun before: the deadline stands.
        case .answering:
            isBodyComplete = true
            return .pass
        case .awaitingHead: return closed()
        case .lingering, .closed: return .drop
        }
    }

    /// - Parameter closes: the answer says `Connection: close`.
    package mutating func answerBegan(closes: Bool) -> Action {
        switch state {
        case .receiving:
            // Answered before its end: a refusal.
            closesAfterAnswer = true
            state = .answering
            return .passAndCloseAfter(limits.taking)
        case .answering:
            closesAfterAnswer = closesAfterAnswer || closes
            return .passAndCloseAfter(limits.taking)
        // A head that could not be parsed is answered without a request.
        case .awaitingHead:
            closesAfterAnswer = true
            state = .answering
            return .passAndCloseAfter(limits.taking)
        case .lingering, .closed: return .drop
        }
    }

    /// The answer's last byte was taken by the caller's kernel.
    package mutating func answerEnded() -> Action {
        switch state {
        case .answering:
            guard closesAfterAnswer else {
                state = .awaitingHead
                return .passAndCloseAfter(limits.nextHead)
            }
            guard !isBodyComplete else { return closed() }
            state = .lingering
            return .dropAndCloseAfter(limits.linger)
        case .awaitingHead, .receiving, .lingering: return closed()
        case .closed: return .drop
        }
    }

    package mutating func deadlinePassed() -> Action { closed() }

    package mutating func disconnected() { state = .closed }

    private mutating func closed() -> Action {
        state = .closed
        return .close
    }
}
