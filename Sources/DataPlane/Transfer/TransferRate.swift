/// The rate of a fill, from which the time left is computed. A pure value.
///
/// **Algorithm.** It is the mean over the newest half of the time since the first byte, ``longestWindow`` at most: so
/// the first seconds, in which the number of transfers grows, are soon left out, and later a short burst or pause
/// changes little. When its newer half, of ``leastHalf`` at least, is faster or slower than its older half by
/// ``change``, the link has changed, and the older half is forgotten; so the window soon begins at the change.
///
/// **Guarantees.** On a link of steady rate it is within 10 % after five seconds. It says that it does not know, as
/// nil: before ``leastSpan`` of bytes, and when no byte has come for ``longestStall``. While a shorter stall goes on,
/// the rate is the one from before it; a stall that is over counts in the mean.
public struct TransferRate: Sendable {
    public typealias Instant = ContinuousClock.Instant

    static let longestWindow: Duration = .seconds(10)
    static let leastHalf: Duration = .seconds(2)
    static let change = 1.5
    static let leastSpan: Duration = .milliseconds(500)
    public static let longestStall: Duration = .seconds(5)
    /// Samples that are closer to each other are one.
    private static let spacing: Duration = .milliseconds(200)

    private struct Sample: Sendable {
        var time: Instant
        var bytes: Int64
    }

    /// Ascending. The first one is the last look before bytes came, the last one the look at which bytes came last.
    private var samples: [Sample] = []
    private var startedAt: Instant?
    /// Its bytes are those of the last sample.
    private var lastLook: Instant?

    public init() {}

    /// - Parameter bytes: all that have come so far.
    public mutating func sample(bytes: Int64, now: Instant) {
        defer { lastLook = now }
        guard let last = samples.last else {
            samples = [Sample(time: now, bytes: bytes)]
            return
        }
        guard bytes > last.bytes else {
            // Nothing has come yet: the window begins when something does.
            if startedAt == nil { samples = [Sample(time: now, bytes: bytes)] }
            return
        }
        if startedAt == nil { startedAt = last.time }
        guard last.time.duration(to: now) >= Self.spacing else { return }
        // A fill that has rested begins anew: its rest was no part of the transfer.
        if last.time.duration(to: now) > Self.longestStall {
            samples = [Sample(time: lastLook ?? last.time, bytes: last.bytes)]
            startedAt = samples[0].time
        }
        samples.append(Sample(time: now, bytes: bytes))
        trim(now)
    }

    private mutating func trim(_ now: Instant) {
        guard let startedAt else { return }
        keep(since: now - min(Self.longestWindow, startedAt.duration(to: now) / 2))
        while let first = samples.first, first.time.duration(to: now) >= Self.leastHalf * 2 {
            let middle = samples.lastIndex { $0.time <= now - first.time.duration(to: now) / 2 } ?? 0
            guard let older = mean(samples[...middle]), let newer = mean(samples[middle...]),
                newer > older * Self.change || newer * Self.change < older
            else { return }
            samples.removeFirst(middle)
        }
    }

    /// The sample before `start` stays: bytes are counted from it.
    private mutating func keep(since start: Instant) {
        let first = samples.lastIndex { $0.time <= start } ?? 0
        samples.removeFirst(min(first, max(0, samples.count - 2)))
    }

    private func mean(_ samples: ArraySlice<Sample>) -> Double? {
        guard let first = samples.first, let last = samples.last, last.time > first.time else { return nil }
        return Double(last.bytes - first.bytes) / (first.time.duration(to: last.time) / .seconds(1))
    }

    /// Nil: not known.
    public func bytesPerSecond(now: Instant) -> Double? {
        guard let startedAt, let last = samples.last, startedAt.duration(to: last.time) >= Self.leastSpan,
            last.time.duration(to: now) < Self.longestStall
        else { return nil }
        return mean(samples[...])
    }
}
