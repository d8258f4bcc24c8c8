/// The life of one fetch: a range of a file that one transfer after another brings. A pure value.
///
/// It serves every source. It says what the engine is to be told; what a failure means says the ``RetryLedger``.
///
/// ```
/// receiving ── failed, a short pause ──▶ backingOff ── pauseEnded ──▶ receiving
///     ├─ cancelled as slow ──▶ cancelling ── transferEnded ──▶ receiving
///     ├─ hold ──▶ held ── released ──▶ receiving
///     ├─ cancelled as unwanted ──▶ cancelling ── transferEnded ──▶ over
///     └─ arrived, failed for good, failed with a long pause ──▶ over
/// ```
package struct Fetch: Sendable, Hashable {
    package typealias Instant = ContinuousClock.Instant

    package enum State: Sendable, Hashable {
        /// The engine has a transfer. → held, backingOff, cancelling, over
        case receiving
        /// The engine's transfer is paused, since a reader of something else waits. → receiving, backingOff,
        /// cancelling, over
        case held
        /// The engine was told to end the transfer and has not said that it did. → receiving, backingOff, over
        case cancelling(because: Cancellation)
        /// No transfer; what came is kept until the next. → receiving, over
        case backingOff(until: Instant)
        /// Nothing follows.
        case over
    }

    package enum Cancellation: Sendable, Hashable {
        /// The rest is asked for again at once, on another connection.
        case slow
        /// Nobody wants it any more: the fill stops, or its file failed.
        case unwanted
    }

    package private(set) var state = State.receiving
    package private(set) var startedAt: Instant
    /// Bytes that had come when the present transfer began.
    package private(set) var bytesAtStart: Int64 = 0
    /// How often it was begun again as too slow.
    package private(set) var restarts = 0

    package init(now: Instant) { startedAt = now }

    /// Whether the engine has a transfer of it.
    package var hasTransfer: Bool {
        switch state {
        case .receiving, .held, .cancelling: true
        case .backingOff, .over: false
        }
    }

    /// Whether its speed says something.
    package var isReceiving: Bool { state == .receiving }

    // MARK: Events. Each returns whether the engine, or the caller, has something to do.

    /// Returns whether the engine is to end a transfer; false: it ends one already, or there is none and the fetch is
    /// over.
    package mutating func cancel(_ why: Cancellation) -> Bool {
        switch state {
        case .receiving, .held:
            precondition(why == .unwanted || isReceiving, "a paused transfer is not slow")
            state = .cancelling(because: why)
            if why == .slow { restarts += 1 }
            return true
        case .cancelling:
            if why == .unwanted { state = .cancelling(because: why) }
            return false
        case .backingOff:
            precondition(why == .unwanted, "only a transfer can be slow")
            state = .over
            return false
        case .over: preconditionFailure("a fetch that is over is not cancelled")
        }
    }

    /// The transfer that was cancelled has ended.
    ///
    /// - Parameter rests: whether the fetch is to receive nothing now.
    package mutating func cancellationEnded(rests: Bool, received: Int64, now: Instant) -> AfterCancellation {
        guard case .cancelling(let why) = state else { preconditionFailure("nothing was cancelled") }
        if why == .unwanted {
            state = .over
            return .over
        }
        if rests {
            state = .backingOff(until: now)
            return .waits
        }
        begin(received: received, now: now)
        return .begins
    }

    package enum AfterCancellation: Sendable, Hashable {
        /// The next transfer begins.
        case begins
        case waits
        case over
    }

    /// A reader of something else waits. Returns whether the engine is to pause the transfer.
    package mutating func hold() -> Bool {
        guard state == .receiving else { return false }
        state = .held
        return true
    }

    /// Nobody else waits any more. Returns whether the engine is to resume the transfer.
    package mutating func released(received: Int64, now: Instant) -> Bool {
        guard state == .held else { return false }
        begin(received: received, now: now)
        return true
    }

    package mutating func failed(retryAt: Instant) {
        precondition(hasTransfer, "a fetch without a transfer cannot fail")
        state = .backingOff(until: retryAt)
    }

    package mutating func ended() {
        precondition(state != .over, "a fetch ends once")
        state = .over
    }

    /// Returns whether a transfer begins.
    package mutating func pauseEnded(received: Int64, now: Instant) -> Bool {
        guard case .backingOff(let until) = state, until <= now else { return false }
        begin(received: received, now: now)
        return true
    }

    private mutating func begin(received: Int64, now: Instant) {
        state = .receiving
        startedAt = now
        bytesAtStart = received
    }
}
