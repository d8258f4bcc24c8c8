import TestSupport
import Testing
import Transfer

@Suite struct PeerReceiptsTests {
    private let start = ContinuousClock.now

    @Test func `each peer has its bytes and its own rate, and one that rests has none`() {
        var receipts = PeerReceipts()
        for step in 0..<100 {
            let now = start + .milliseconds(100 * step)
            receipts.received(200_000, from: "fast", now: now)
            if step < 20 { receipts.received(100_000, from: "slow", now: now) }
            receipts.look(now: now)
        }
        let now = start + .seconds(10)
        let first = receipts.first(5, now: now)
        #expect(first.map(\.address) == ["fast", "slow"] && first.map(\.bytes) == [20_000_000, 2_000_000])
        #expect(abs(first[0].bytesPerSecond / 2_000_000 - 1) < 0.1 && first[1].bytesPerSecond == 0)
        #expect(receipts.first(1, now: now).count == 1 && receipts.bytes(from: "slow") == 2_000_000)
        #expect(receipts.bytesPerSecond(from: "nobody", now: now) == nil && receipts.bytes(from: "nobody") == 0)
    }

    @Test(arguments: SeededRandom.seeds(20)) func `no byte is lost, and no more peers are named than the bound`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var receipts = PeerReceipts()
        var sum: Int64 = 0
        for _ in 0..<3_000 {
            let bytes = Int64.random(in: 0...1_000, using: &random)
            receipts.received(bytes, from: "peer-\(Int.random(in: 0..<600, using: &random))", now: start)
            sum += bytes
        }
        let named = receipts.first(.max, now: start)
        #expect(named.count == PeerReceipts.most && receipts.others > 0)
        #expect(named.reduce(receipts.others) { $0 + $1.bytes } == sum)
        #expect(named.map(\.bytes) == named.map(\.bytes).sorted(by: >))
    }
}
