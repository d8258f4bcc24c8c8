import ChunkStore
import TestSupport
import Testing

@Suite struct StagingQueueTests {
    let start = ContinuousClock.now

    private func drain(_ queue: inout StagingQueue) -> [StagingQueue.Grant] {
        var grants: [StagingQueue.Grant] = []
        while let grant = queue.nextGrant() { grants.append(grant) }
        return grants
    }

    @Test func `a demand is granted before any prefetch`() {
        var queue = StagingQueue(limit: 8)
        let (filling, reading) = (queue.joined(), queue.joined())
        queue.wants(filling, .init(prefetches: 100))
        #expect(drain(&queue).count == 7, "one is kept for demands")
        queue.wants(reading, .init(demands: 1))
        #expect(queue.nextGrant() == StagingQueue.Grant(fill: reading, lane: .demand))
        #expect(queue.nextGrant() == nil)
        queue.wants(reading, .init(demands: 1, demandsUnderWay: 1))
        queue.returned(by: filling)
        #expect(queue.nextGrant() == StagingQueue.Grant(fill: reading, lane: .demand), "before the prefetch that came first")
    }

    @Test func `fills take turns until they hold equally many`() {
        var queue = StagingQueue(limit: 9)
        let (first, second) = (queue.joined(), queue.joined())
        queue.wants(first, .init(prefetches: 100))
        _ = drain(&queue)
        queue.wants(second, .init(prefetches: 100))
        for _ in 0..<8 {
            queue.returned(by: queue.buffers(of: first) >= queue.buffers(of: second) ? first : second)
            _ = drain(&queue)
        }
        #expect(abs(queue.buffers(of: first) - queue.buffers(of: second)) <= 1)
    }

    @Test func `a prefetch that became a demand moves up and a wish taken back drops out`() {
        var queue = StagingQueue(limit: 1)
        let (first, second, third) = (queue.joined(), queue.joined(), queue.joined())
        queue.wants(first, .init(prefetches: 1))
        _ = queue.nextGrant()
        queue.wants(second, .init(prefetches: 1))
        queue.wants(third, .init(prefetches: 1))
        queue.wants(third, .init(demands: 1))
        queue.returned(by: first)
        #expect(queue.nextGrant()?.fill == third)
        queue.wants(second, .init())
        queue.returned(by: third)
        #expect(queue.nextGrant() == nil)
    }

    @Test func `a demand holds the prefetch of others for at most four fifths of the time`() {
        var queue = StagingQueue(limit: 8)
        let (filling, reading) = (queue.joined(), queue.joined())
        queue.wants(filling, .init(prefetches: 8))
        queue.wants(reading, .init(demands: 0, demandsUnderWay: 1))
        var held = 0
        for step in 0..<1000 {
            queue.look(now: start + .milliseconds(50 * step))
            #expect(queue.prefetchLimit(of: reading) == nil)
            if queue.prefetchLimit(of: filling) == 0 { held += 1 }
        }
        #expect((700...810).contains(held), "held in \(held) of 1000 looks")
        queue.wants(reading, .init())
        queue.look(now: start + .seconds(60))
        #expect(queue.prefetchLimit(of: filling) == nil, "nobody waits any more")
    }

    @Test func `a hold that is given up and begun again often starves nobody`() {
        var queue = StagingQueue(limit: 8)
        let (filling, reading) = (queue.joined(), queue.joined())
        queue.wants(filling, .init(prefetches: 8))
        var held = 0
        for step in 0..<1000 {
            queue.wants(reading, .init(demandsUnderWay: step % 20 == 19 ? 0 : 1))
            queue.look(now: start + .milliseconds(50 * step))
            if queue.prefetchLimit(of: filling) == 0 { held += 1 }
        }
        #expect(held <= 820, "held in \(held) of 1000 looks")
    }

    @Test func `between two holds a fill receives a few prefetches for each demand, and all when nobody waits`() {
        var queue = StagingQueue(limit: 8)
        let (filling, reading) = (queue.joined(), queue.joined())
        queue.wants(filling, .init(prefetches: 8))
        queue.wants(reading, .init(demandsUnderWay: 2))
        var limits: [Int?] = []
        for step in 0..<60 {
            queue.look(now: start + .milliseconds(50 * step))
            let limit = queue.prefetchLimit(of: filling)
            if limits.last != .some(limit) { limits.append(limit) }
        }
        #expect(limits == [0, 8, 0])
        queue.wants(reading, .init())
        queue.look(now: start + .milliseconds(3200))
        #expect(queue.prefetchLimit(of: filling) == nil)
    }

    /// A link of 3 MB a second that all transfers share. The kernel receives 64 KiB of each one that nobody reads; what
    /// it has is read at once when the transfer goes on.
    @Test func `on a slow link a demand of 4 MiB lets no more by than the kernel has room for and half as much`() {
        var queue = StagingQueue(limit: 128)
        let (filling, reading) = (queue.joined(), queue.joined())
        queue.wants(filling, .init(prefetches: 100))
        queue.wants(reading, .init(demandsUnderWay: 2))
        let (room, step) = (65_536.0, 3_000_000.0 / 100)
        var unread = [Double](repeating: 0, count: 100)
        var (demanded, others) = (0.0, 0.0)
        for turn in 0..<6000 where demanded < Double(4 << 20) {
            if turn % 5 == 0 { queue.look(now: start + .milliseconds(10 * turn)) }
            let reads = queue.prefetchLimit(of: filling) ?? unread.count
            for transfer in unread.indices.prefix(reads) { unread[transfer] = 0 }
            let open = unread.indices.filter { unread[$0] < room }
            let share = step / Double(open.count + 2)
            for transfer in open { unread[transfer] += share }
            others += share * Double(open.count)
            demanded += share * 2
        }
        #expect(others < 1.5 * room * 100, "\(others) bytes")
    }

    @Test func `two readers do not hold each other's demands`() {
        var queue = StagingQueue(limit: 2)
        let (first, second) = (queue.joined(), queue.joined())
        queue.wants(first, .init(demands: 1))
        queue.wants(second, .init(demands: 1))
        queue.look(now: start)
        #expect(Set(drain(&queue).map(\.fill)) == [first, second])
    }

    @Test func `random fills never exceed the buffers, starve or leave anything behind`() {
        for seed in SeededRandom.seeds(200) {
            var random = SeededRandom(seed: seed)
            let limit = Int.random(in: 1...12, using: &random)
            var queue = StagingQueue(limit: limit)
            var holding: [Int: [Int]] = [:]  // fill -> steps at which a buffer comes back
            var waitsSince: [Int: Int] = [:]
            for step in 0..<400 {
                if holding.count < 6, random.chance(1, of: 8) { holding[queue.joined()] = [] }
                for (fill, ends) in holding.sorted(by: { $0.key < $1.key }) {
                    for _ in ends.filter({ $0 <= step }) { queue.returned(by: fill) }
                    holding[fill] = ends.filter { $0 > step }
                    if random.chance(1, of: 40) {
                        queue.left(fill)
                        for _ in holding[fill] ?? [] { queue.returned(by: fill) }
                        holding[fill] = nil
                        waitsSince[fill] = nil
                    } else if random.chance(1, of: 3) {
                        let wants = StagingQueue.Wants(
                            demands: Int.random(in: 0...2, using: &random), prefetches: Int.random(in: 0...4, using: &random))
                        queue.wants(fill, wants)
                        waitsSince[fill] = wants.demands > 0 ? waitsSince[fill] ?? step : nil
                    }
                }
                queue.look(now: start + .milliseconds(20 * step))
                while let grant = queue.nextGrant() {
                    holding[grant.fill]?.append(step + Int.random(in: 1...5, using: &random))
                    if grant.lane == .demand { waitsSince[grant.fill] = nil }
                }
                #expect(queue.used <= limit && queue.used == holding.values.map(\.count).reduce(0, +), "seed \(seed)")
                #expect(waitsSince.values.allSatisfy { step - $0 < 60 }, "a demand starves; seed \(seed)")
            }
            for (fill, ends) in holding {
                queue.left(fill)
                for _ in ends { queue.returned(by: fill) }
            }
            #expect(queue.isEmpty, "seed \(seed)")
        }
    }
}
