import SwarmPlan

// Two measures of a run: the time that its scenario makes unavoidable, and as many direct downloads.

extension Simulation {
    private var bytesOfNode: Double { parameters.modelBytes * Double(models) }

    /// For each node: when it would have everything if all nodes downloaded from the store, in seconds.
    func directDownloads() -> [Double] {
        let loading = nodes.indices.filter { nodes[$0].started > 0 && !nodes[$0].isSeeder }
        let direct = DirectDownloads(
            loading.map { index in
                DirectDownloads.Node(
                    start: Double(nodes[index].started) / 1e9,
                    end: nodes[index].isAlive ? .infinity : Double(nodes[index].died) / 1e9,
                    down: nodes[index].down, bytes: bytesOfNode)
            }, storeRates: storeRates)
        var finishes = Array(repeating: Double.infinity, count: nodes.count)
        for (place, index) in loading.enumerated() { finishes[index] = direct.finishes[place] }
        return finishes
    }

    /// For each node: the seconds from its start that no scheme can go below that passes on complete blocks and reads
    /// the store once.
    ///
    /// - Its own link needs its wire time.
    /// - The store (or the seeder) needs the time in which it sends the model once, and the last block then doubles its
    ///   holders once a block time.
    /// - The halves of a partition share what the store sends while the cut lasts.
    /// - Nodes that do not know their racks take as much from outside as chance has it, through the racks' links.
    func unavoidableSeconds() -> [Double] {
        let began = nodes.filter { $0.started > 0 && !$0.isSeeder }.map { Double($0.started) / 1e9 }.min() ?? 0
        let sourceEnd: Double
        if let seeder = nodes.first(where: \.isSeeder) {
            sourceEnd = began + bytesOfNode / seeder.up
        } else {
            sourceEnd = storeEnds(bytesOfNode, from: began)
        }
        let count = nodes.count { $0.started > 0 && !$0.isSeeder }
        var doublings = 0
        while 1 << doublings < count { doublings += 1 }
        let passing = Double(doublings * parameters.blockBytes) / parameters.link
        return nodes.indices.map { index in
            let started = Double(nodes[index].started) / 1e9
            let own = bytesOfNode / nodes[index].down
            return max(own, sourceEnd - started) + passing + lostToCut(nodeCount: count)
                + lostToRack(of: index, nodeCount: count)
        }
    }

    /// When the store can have sent so many bytes.
    private func storeEnds(_ bytes: Double, from began: Double) -> Double {
        var left = bytes
        var now = began
        for (place, span) in storeRates.enumerated() {
            let until = place + 1 < storeRates.count ? storeRates[place + 1].from : .infinity
            guard until > now else { continue }
            if left <= span.rate * (until - now) { return now + left / span.rate }
            left -= span.rate * (until - now)
            now = until
        }
        return now
    }

    /// While the halves cannot reach each other, all that is new comes from the store, and each byte of it reaches one
    /// half only: at best each half gets half of it.
    private func lostToCut(nodeCount: Int) -> Double {
        guard parameters.scenario == .partition, nodeCount > 1 else { return 0 }
        let share = min(1, parameters.storeRate / parameters.link / 2)
        return parameters.wireTime * (Self.cutUntil - Self.cutFrom) * (1 - share)
    }

    private func lostToRack(of index: Int, nodeCount: Int) -> Double {
        guard parameters.scenario == .racksUntold, nodeCount > 1 else { return 0 }
        let inside = nodes.count { $0.rack == nodes[index].rack }
        let copies = Double(inside * (nodeCount - inside)) / Double(nodeCount - 1)
        return max(0, copies * parameters.modelBytes / rackRate - parameters.wireTime)
    }
}
