import RangeTransfer
import TestSupport
import Testing

/// How transfers are dealt over source addresses.
@Suite struct AddressSharesTests {
    private static let sizes: [UInt64] = [1000, 65_536, 1 << 20, 8 << 20]

    /// Workers as an engine has them: a transfer goes to the one with the fewest.
    private struct Engine {
        var shares: AddressShares
        var own: [[Int]]

        init(addresses: Int, workers: Int) {
            shares = AddressShares(addresses: addresses)
            own = Array(repeating: Array(repeating: 0, count: addresses), count: workers)
        }

        mutating func begin(_ bytes: UInt64) -> (worker: Int, address: Int) {
            let worker = own.indices.min { own[$0].reduce(0, +) < own[$1].reduce(0, +) } ?? 0
            let address = shares.deal(bytes, own: own[worker])
            own[worker][address] += 1
            return (worker, address)
        }

        mutating func end(_ transfer: (worker: Int, address: Int)) {
            own[transfer.worker][transfer.address] -= 1
            shares.end(transfer.address)
        }

        var spread: Int { (shares.active.max() ?? 0) - (shares.active.min() ?? 0) }
        /// Of the bytes.
        var difference: UInt64 { (shares.dealt.max() ?? 0) - (shares.dealt.min() ?? 0) }
    }

    @Test(arguments: SeededRandom.seeds(3), [1, 2, 8])
    func `transfers one after another leave from all addresses evenly, whatever their sizes`(seed: UInt64, workers: Int) {
        var random = SeededRandom(seed: seed)
        for addresses in 2...4 {
            var engine = Engine(addresses: addresses, workers: workers)
            for _ in 0..<1000 {
                engine.end(engine.begin(Self.sizes.randomElement(using: &random) ?? 1))
                #expect(engine.difference <= 8 << 20, "seed \(seed)")
            }
        }
    }

    @Test func `requests without a size leave from all addresses in turn`() {
        var engine = Engine(addresses: 2, workers: 2)
        let addresses = (0..<6).map { _ in
            let transfer = engine.begin(0)
            engine.end(transfer)
            return transfer.address
        }
        #expect(addresses == [0, 1, 0, 1, 0, 1])
    }

    /// The more are under way, the slower a difference is made up for.
    @Test(arguments: SeededRandom.seeds(3), [2, 3, 8, 64])
    func `transfers side by side keep all addresses at work, and end in equal shares`(seed: UInt64, many: Int) {
        var random = SeededRandom(seed: seed)
        for (addresses, workers) in [(2, 1), (2, 2), (2, 8), (3, 8)] {
            var engine = Engine(addresses: addresses, workers: workers)
            var running: [(worker: Int, address: Int)] = []
            for _ in 0..<3000 {
                running.append(engine.begin(Self.sizes.randomElement(using: &random) ?? 1))
                if running.count < many { continue }
                engine.end(running.remove(at: Int.random(in: 0..<running.count, using: &random)))
            }
            let share = Double(engine.shares.dealt.min() ?? 0) / Double(engine.shares.dealt.max() ?? 1)
            #expect(share > 0.8, "seed \(seed): \(engine.shares.dealt)")
        }
    }

    @Test(arguments: [2, 5, 16, 33])
    func `as many as begin at once leave from all addresses`(many: Int) {
        for (addresses, workers) in [(2, 1), (2, 2), (3, 2), (3, 8)] {
            var engine = Engine(addresses: addresses, workers: workers)
            for _ in 0..<many { _ = engine.begin(1 << 20) }
            #expect(engine.spread <= 2, "\(engine.shares.active)")
        }
    }

    /// One that the machine leaves lying for a while must not turn all others to the other address.
    @Test func `a transfer that hangs takes its address no share of the others`() {
        var engine = Engine(addresses: 2, workers: 2)
        _ = engine.begin(1 << 20)
        for _ in 0..<100 { engine.end(engine.begin(1 << 20)) }
        #expect(engine.difference <= 1 << 20, "\(engine.shares.dealt)")
    }

    @Test func `an address whose transfers all hang does not hold up the other`() {
        var engine = Engine(addresses: 2, workers: 4)
        var done = 0
        for _ in 0..<100 {
            let transfer = engine.begin(1 << 20)
            if transfer.address == 0 { continue }
            engine.end(transfer)
            done += 1
        }
        #expect(done == 98, "two hang at most")
    }
}
