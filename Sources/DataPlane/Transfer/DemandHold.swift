/// How much of a model's prefetch rests while a reader of the same model waits. A pure value.
///
/// Problem: a demanded chunk that shares the link with ten prefetches comes eleven times as late, and readers ask for
/// one chunk after another. But where a chunk's way is long and its link fast, the demand hardly needs the link: an
/// idle link would cost the whole load more than the demand gains.
///
/// - The prefetch rests for a little longer than the demanded bytes need at the link's best rate of late
///   (``allowance``, ``margin``). A demand that takes longer is not held up by the link.
/// - For ``linger`` after a demand one prefetch goes on: readers ask for the next chunk soon, and the link does not
///   idle.
/// - Where the demands leave much of the link idle all the time, some prefetches go on beside them.
package struct DemandHold: Sendable {
    package typealias Instant = ContinuousClock.Instant

    package enum Extent: Sendable, Hashable {
        case none
        /// So many prefetches may receive.
        case atMost(Int)

        /// - Parameter other: the limit for another reason; nil: there is none.
        /// - Returns: nil: all prefetches may receive.
        func limit(with other: Int?) -> Int? {
            guard case .atMost(let count) = self else { return other }
            return min(count, other ?? count)
        }
    }

    /// Of the time that the link needs for the demanded bytes.
    static let allowance = 1.25
    /// Of the way to the store and back, and of this machine; no more than half of the time that the link needs.
    static let margin: Duration = .milliseconds(40)
    static let linger: Duration = .milliseconds(100)
    /// While the link's rate is not known.
    static let unknown: Duration = .milliseconds(500)
    static let longest: Duration = .seconds(2)
    /// A rate is measured over at least so long.
    static let window: Duration = .milliseconds(200)
    /// The best rate falls to a third in this time, unless it is reached again.
    static let memory: Duration = .seconds(60)
    /// Of the best rate: demands that bring less leave some of it to prefetches, demands that bring more need it.
    static let idleBelow = 0.6
    static let busyAbove = 0.9
    static let mostBeside = 64

    private var until: Instant?
    private var lastWait: Instant?
    private var windowStart: Instant
    private var windowBytes: Int64 = 0
    /// Something was held during the whole window.
    private var isWindowHeld = true
    /// Prefetches that go on beside demands.
    private var beside = 0
    /// The best rate of late; 0: not known.
    package private(set) var bytesPerSecond = 0.0

    package init(now: Instant) { windowStart = now }

    /// Bytes that came since the fill began. To be called a few times a second.
    package mutating func received(totalBytes: Int64, now: Instant) {
        let passed = windowStart.duration(to: now)
        guard passed >= Self.window else { return }
        let rate = Double(totalBytes - windowBytes) / (passed / .seconds(1))
        if isWindowHeld, rate < Self.idleBelow * bytesPerSecond {
            beside = min(Self.mostBeside, max(1, 2 * beside))
        } else if isWindowHeld, rate > Self.busyAbove * bytesPerSecond {
            beside /= 2
        }
        bytesPerSecond = max(rate, bytesPerSecond * max(0, 1 - passed / Self.memory))
        windowStart = now
        windowBytes = totalBytes
        isWindowHeld = true
    }

    /// A reader waits for so many bytes more that are to come before all else.
    package mutating func demanded(bytes: UInt64, now: Instant) {
        guard bytes > 0 else { return }
        let isKnown = bytesPerSecond > 0
        let need = isKnown ? Duration.seconds(min(10, Double(bytes) / bytesPerSecond)) : Self.unknown
        let margin = min(Self.margin, need / 2)
        let former = until.flatMap { $0 > now ? $0 : nil }
        let time = isKnown ? need * Self.allowance : need
        until = min((former ?? now + margin) + time, now + Self.longest)
    }

    /// - Parameter isWaiting: a demanded chunk has not come.
    package mutating func extent(isWaiting: Bool, now: Instant) -> Extent {
        if isWaiting, let until, now < until {
            lastWait = now
            return .atMost(beside)
        }
        if !isWaiting {
            until = nil
            if let lastWait, lastWait.duration(to: now) < Self.linger { return .atMost(max(1, beside)) }
        }
        isWindowHeld = false
        return .none
    }
}
