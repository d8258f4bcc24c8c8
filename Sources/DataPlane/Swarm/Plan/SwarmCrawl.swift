/// Watches whether blocks come at a crawl: in five seconds under a twentieth of what such a span brought at best.
///
/// What is missing is then held by who cannot give it, and the budget of store reads for such cases is spent long before. As much more
/// as half of the best span brought may be read then, again and again: a node with a hundredth of the bandwidth would else hold up the
/// few others for as long as it takes itself.
struct SwarmCrawl: Sendable {
    private(set) var isCrawling = false
    /// Store reads beyond the budget's.
    private(set) var grant = 0
    private var lookedAt: SwarmInstant = 0
    private var blocks = 0
    private var bestBlocks = 0

    mutating func received() { blocks += 1 }

    /// - Parameter unused: store reads that the budget still allows: no grant comes on top of them.
    mutating func look(unused: Int, at now: SwarmInstant) {
        guard now >= lookedAt + .seconds(5) else { return }
        lookedAt = now
        bestBlocks = max(bestBlocks, blocks)
        // Of large blocks over a slow link so few come that their number says nothing.
        isCrawling = bestBlocks >= 20 && blocks * 20 < bestBlocks
        if isCrawling { grant += max(0, bestBlocks / 2 - unused) }
        blocks = 0
    }
}
