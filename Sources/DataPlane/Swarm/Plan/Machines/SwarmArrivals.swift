/// The blocks that arrive at this node: how fast, when last, and what that says of its link.
package struct SwarmArrivals: Sendable {
    /// Bytes per nanosecond that arrive, over about a second.
    package private(set) var rate: Double = 0
    package private(set) var bestRate: Double = 0
    /// When the last block arrived.
    package private(set) var lastBlock: SwarmInstant = 0
    /// When a block, or an eighth of one in parts, last arrived. Large blocks over a slow link are seldom complete.
    package private(set) var lastProgress: SwarmInstant = 0
    package private(set) var hasReceived = false
    package private(set) var starvation = SwarmStarvation()
    /// Fetches from peers that this node gave up as too slow since the last block arrived.
    private var givenUp = 0
    private var bytesSinceProgress = 0
    private var rateBytes = 0
    private var rateSince: SwarmInstant = 0
    private let blockBytes: Int

    package init(blockBytes: Int) { self.blockBytes = blockBytes }

    package mutating func start(at now: SwarmInstant) {
        lastBlock = now
        lastProgress = now
        rateSince = now
    }

    package mutating func progressed(byBytes bytes: Int, at now: SwarmInstant) {
        bytesSinceProgress += bytes
        guard bytesSinceProgress >= blockBytes / 8 else { return }
        lastProgress = now
        bytesSinceProgress = 0
    }

    package mutating func received(at now: SwarmInstant) {
        lastBlock = now
        progressed(byBytes: blockBytes, at: now)
        givenUp = 0
        starvation.received()
        hasReceived = true
        rateBytes += blockBytes
    }

    package mutating func gaveUp() { givenUp += 1 }

    /// A last resort was taken; the next one comes when half of `patience` has passed.
    package mutating func tookLastResort(patience: SwarmNanoseconds, at now: SwarmInstant) {
        lastProgress = now - patience / 2
    }

    /// Measures the rate, sooner on a fast network, where windows and announcements depend on it.
    package mutating func measure(at now: SwarmInstant) {
        guard now >= rateSince + .milliseconds(500) || rateBytes >= 16 * blockBytes else { return }
        let current = Double(rateBytes) / Double(now - rateSince)
        rate = rate == 0 ? current : rate * 0.5 + current * 0.5
        bestRate = max(bestRate, rate)
        rateBytes = 0
        rateSince = now
    }

    /// See ``SwarmStarvation/look(unused:at:)``.
    package mutating func watchStarvation(unused: Int, at now: SwarmInstant) {
        starvation.look(unused: unused, at: now)
    }

    /// A node that gives up one fetch after the other and receives nothing may have a slow link itself, so it waits
    /// longer: so many times.
    package var learntPatience: Double { Double(1 << min(5, givenUp / 4)) }

    /// Blocks that arrive in `span` at `rate`, in bytes a nanosecond.
    package func blocks(in span: SwarmNanoseconds, at rate: Double) -> Int {
        Int(rate * Double(span) / Double(max(1, blockBytes)))
    }

    /// How long `count` blocks take at `rate`, a minute at most; 0 while the rate is not known.
    package func time(ofBlocks count: Int, at rate: Double) -> SwarmNanoseconds {
        rate > 0 ? SwarmNanoseconds(min(Double(count) * Double(blockBytes) / rate, 60e9)) : 0
    }
}
