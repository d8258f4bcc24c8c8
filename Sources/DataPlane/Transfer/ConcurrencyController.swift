/// How many ranged GETs to keep in flight: a hill climb on measured throughput.
///
/// The right number is the bandwidth-delay product of a path nobody can look up: eight connections fill
/// a shaped link, one hundred are needed where the store gives each connection 80 MB/s of a 100 Gbit/s
/// network. So: start with a few, double while a doubling pays, stay where it did not, try again
/// now and then, halve when the store says "too fast".
///
/// Fewer is better where it makes no difference: each transfer in flight holds a staging buffer, and a chunk that
/// a reader waits for arrives later when it shares the link with more others.
public struct ConcurrencyController: Sendable {
    public typealias Instant = ContinuousClock.Instant

    /// A doubling must raise throughput by this factor to be kept. A doubling of per-connection-limited
    /// transfers gives 2.0; noise on a full link stays well below 1.15.
    static let worthwhileGain = 1.15
    /// How long one setting is measured before it is judged.
    static let window: Duration = .milliseconds(400)
    /// How long a settled value stands before a higher one is tried again.
    static let settleTime: Duration = .seconds(8)

    private enum Phase: Sendable {
        case measuring
        /// A higher limit is on trial against the rate of the former one.
        case trial(formerLimit: Int, formerRate: Double)
        case settled(until: Instant)
    }

    /// Transfers that may be in flight now.
    public private(set) var limit: Int
    public let minimum: Int
    public let maximum: Int

    private var phase = Phase.measuring
    private var windowStart: Instant
    private var windowBytes: Int64
    private var wasSaturated = true

    public init(initial: Int, minimum: Int = 2, maximum: Int, now: Instant) {
        self.minimum = max(1, min(minimum, maximum))
        self.maximum = max(1, maximum)
        limit = min(max(initial, self.minimum), self.maximum)
        windowStart = now
        windowBytes = 0
    }

    /// To be called every 100 ms or so with the bytes received since the start and the transfers in flight.
    public mutating func tick(totalBytes: Int64, inFlight: Int, now: Instant) {
        precondition((minimum...maximum).contains(limit), "the limit keeps its bounds")
        // A window in which there was not enough to do says nothing about the limit.
        if inFlight < limit { wasSaturated = false }
        guard windowStart.duration(to: now) >= Self.window else { return }
        let seconds = windowStart.duration(to: now) / .seconds(1)
        let rate = Double(totalBytes - windowBytes) / seconds
        let saturated = wasSaturated
        windowStart = now
        windowBytes = totalBytes
        wasSaturated = true
        guard saturated else { return }
        switch phase {
        case .measuring:
            guard limit < maximum else { return }
            phase = .trial(formerLimit: limit, formerRate: rate)
            limit = min(maximum, limit * 2)
        case .trial(let formerLimit, let formerRate):
            if rate >= formerRate * Self.worthwhileGain, limit < maximum {
                phase = .trial(formerLimit: limit, formerRate: rate)
                limit = min(maximum, limit * 2)
            } else {
                if rate < formerRate * Self.worthwhileGain { limit = formerLimit }
                phase = .settled(until: now + Self.settleTime)
            }
        case .settled(let until):
            if now >= until { phase = .measuring }
        }
    }

    /// The store asked for less (429, 503, x-oss-qos-delay-time).
    public mutating func throttled(now: Instant) {
        limit = max(minimum, limit / 2)
        phase = .settled(until: now + Self.settleTime)
    }
}
