/// The same nodes without a swarm: each downloads everything from the store, which shares its rate fairly among those
/// that still download. A swarm must never be slower.
package struct DirectDownloads {
    /// A node, with times in seconds and rates in bytes a second.
    package struct Node {
        var start: Double
        /// When it died; infinity: never.
        var end: Double
        var down: Double
        var bytes: Double

        package init(start: Double, end: Double = .infinity, down: Double, bytes: Double) {
            (self.start, self.end, self.down, self.bytes) = (start, end, down, bytes)
        }
    }

    /// When each node has everything; infinity: it died before.
    package private(set) var finishes: [Double]

    /// - Parameter storeRates: the store's rate from each time on, ascending; the first from the beginning.
    package init(_ nodes: [Node], storeRates: [(from: Double, rate: Double)]) {
        finishes = Array(repeating: .infinity, count: nodes.count)
        var left = nodes.map(\.bytes)
        // The slowest links first: what they cannot take is shared by the others.
        let order = nodes.indices.sorted { (nodes[$0].down, $0) < (nodes[$1].down, $1) }
        let changes = (nodes.map(\.start) + nodes.map(\.end) + storeRates.map(\.from)).filter(\.isFinite).sorted()
        var nextChange = 0
        var now = changes.first ?? 0
        while true {
            while nextChange < changes.count, changes[nextChange] <= now { nextChange += 1 }
            let until = nextChange < changes.count ? changes[nextChange] : .infinity
            let active = order.filter { left[$0] > 0 && nodes[$0].start <= now && nodes[$0].end > now }
            guard !active.isEmpty else {
                guard until.isFinite else { return }
                now = until
                continue
            }
            var rest = storeRates.last { $0.from <= now }?.rate ?? 0
            var rates: [Double] = []
            for (place, node) in active.enumerated() {
                rates.append(min(nodes[node].down, rest / Double(active.count - place)))
                rest -= rates[place]
            }
            var step = until - now
            for (place, node) in active.enumerated() { step = min(step, left[node] / rates[place]) }
            guard step.isFinite else { return }
            now += step
            for (place, node) in active.enumerated() {
                left[node] -= rates[place] * step
                // Nodes that began alike end alike, whatever rounding says.
                if left[node] <= 1 {
                    left[node] = 0
                    finishes[node] = now
                }
            }
        }
    }
}
