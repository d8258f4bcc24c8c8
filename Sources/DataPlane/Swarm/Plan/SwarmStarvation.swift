/// Detects starvation: in five seconds fewer than a twentieth of the blocks arrive that arrived in the best five
/// seconds.
///
/// The missing blocks are then held by peers too slow to send them, and the store budget for such cases is soon spent.
/// Each starved span therefore grants store reads for half of the best span's blocks. Without the grant, one node with
/// a hundredth of the bandwidth would hold up the few others for as long as its own download takes.
package struct SwarmStarvation: Sendable {
    package private(set) var isStarved = false
    /// Store reads beyond the budget.
    package private(set) var grant = 0
    private var lookedAt: SwarmInstant = 0
    private var blocks = 0
    private var bestBlocks = 0

    package init() {}

    package mutating func received() { blocks += 1 }

    /// - Parameter unused: store reads that the budget still allows. The grant is less by so many.
    package mutating func look(unused: Int, at now: SwarmInstant) {
        guard now >= lookedAt + .seconds(5) else { return }
        lookedAt = now
        bestBlocks = max(bestBlocks, blocks)
        // Large blocks over a slow link are so few that their number says nothing.
        isStarved = bestBlocks >= 20 && blocks * 20 < bestBlocks
        if isStarved { grant += max(0, bestBlocks / 2 - unused) }
        blocks = 0
    }
}
