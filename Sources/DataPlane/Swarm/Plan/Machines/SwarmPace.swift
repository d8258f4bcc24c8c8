/// How fast a node's number of held blocks grows, in blocks a nanosecond.
package struct SwarmPace: Sendable {
    /// The best measured pace; 0: not measured yet. Not the last one: a node that others keep waiting gets little,
    /// whatever its link carries.
    package private(set) var best: Double = 0
    private var since: SwarmInstant?
    private var heldThen = 0

    package init() {}

    /// Fewer blocks in less time say little: a node that fetches ten at once gets as many at once.
    private static let fewestBlocks = 16
    private static let shortest: SwarmNanoseconds = .seconds(2)
    private static let longest: SwarmNanoseconds = .seconds(10)

    /// The node holds so many blocks now.
    package mutating func counts(_ held: Int, at now: SwarmInstant) {
        guard let since, held >= heldThen else {
            self.since = now
            heldThen = held
            return
        }
        let span = now - min(now, since)
        guard span >= Self.longest || span >= Self.shortest && held >= heldThen + Self.fewestBlocks else { return }
        best = max(best, Double(held - heldThen) / Double(span))
        self.since = now
        heldThen = held
    }
}
