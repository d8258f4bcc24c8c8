import TestSupport
import Testing
import Transfer

@Suite struct CopyPlanTests {
    private func units(_ plan: inout CopyPlan) -> [CopyPlan.Unit] {
        var units: [CopyPlan.Unit] = []
        while let unit = plan.nextAwaited() { units.append(unit) }
        while let unit = plan.next() { units.append(unit) }
        return units
    }

    @Test func `heads and tails come first, then file by file, and demands in their own order`() {
        var plan = CopyPlan([.init(file: 2, chunkCount: 5, chunksOfUnit: 1), .init(file: 4, chunkCount: 7, chunksOfUnit: 2)])
        plan.demanded(file: 4, chunks: 3..<4)
        plan.demanded(file: 9, chunks: 0..<1)
        plan.demanded(file: 4, chunks: 90..<99)
        let order = units(&plan)
        #expect(order.map(\.file) == [4, 2, 4, 2, 4, 2, 2, 2, 4])
        #expect(order.map(\.chunks) == [2..<4, 0..<1, 0..<2, 4..<5, 6..<7, 1..<2, 2..<3, 3..<4, 4..<6])
    }

    @Test func `what is there is not copied, and a file of which nothing is missing has no copy`() {
        let plan = CopyPlan([
            .init(file: 0, chunkCount: 4, chunksOfUnit: 2, isMissing: { $0 == 3 }), .init(file: 1, chunkCount: 4, chunksOfUnit: 2, isMissing: { _ in false }),
        ])
        var begun = plan
        let copied = units(&begun)
        #expect(plan.files == [0] && copied.map(\.chunks) == [2..<4])
    }

    @Test func `a damaged unit is fetched, the others are copied, and a donor with many is given up`() throws {
        var plan = CopyPlan([.init(file: 0, chunkCount: 20, chunksOfUnit: 1)])
        plan.demanded(file: 0, chunks: 8..<9)
        let first = plan.nextAwaited()
        let awaited = try #require(first)
        let told = plan.ended(awaited, .damaged)
        #expect(told == [.missing(awaited, isAwaited: true)])
        let other = plan.nextAwaited()
        #expect(other == nil)
        var missing = 1
        for _ in 1...CopyPlan.mostDamagedUnits {
            let next = plan.next()
            let unit = try #require(next)
            let actions = plan.ended(unit, .damaged)
            missing += actions.count { if case .missing = $0 { true } else { false } }
            #expect(actions.contains(.missing(unit, isAwaited: false)))
        }
        #expect(plan.isOver && missing == 20)
    }

    @Test func `what is taken back comes from the end, and is not copied`() throws {
        var plan = CopyPlan([.init(file: 1, chunkCount: 5, chunksOfUnit: 1), .init(file: 3, chunkCount: 9, chunksOfUnit: 2)])
        #expect(plan.chunks == .init(waiting: 14, underWay: 0))
        plan.demanded(file: 3, chunks: 6..<7)
        // In the order of a copy the middle of the last file is the end.
        let taken = plan.takenBack(chunks: 3)
        #expect(taken == [
            .missing(.init(file: 3, chunks: 6..<8), isAwaited: true), .missing(.init(file: 3, chunks: 4..<6), isAwaited: false),
        ])
        #expect(plan.chunks == .init(waiting: 10, underWay: 0) && !plan.isAwaited)
        let demanded = plan.nextAwaited()
        #expect(demanded == nil, "it is fetched")
        let order = units(&plan)
        #expect(order.map(\.chunks) == [0..<1, 0..<2, 4..<5, 8..<9, 1..<2, 2..<3, 3..<4, 2..<4])
        #expect(plan.chunks == .init(waiting: 0, underWay: 10))
        let nothing = plan.takenBack(chunks: 9)
        #expect(nothing.isEmpty)
    }

    @Test func `a file of which all is taken back has ended`() {
        var plan = CopyPlan([.init(file: 0, chunkCount: 2, chunksOfUnit: 1)])
        let actions = plan.takenBack(chunks: 100)
        #expect(actions.last == .ended(file: 0) && actions.count == 3 && plan.isOver)
    }

    @Test func `a reader waits for a copy until that ends`() throws {
        var plan = CopyPlan([.init(file: 0, chunkCount: 9, chunksOfUnit: 1)])
        let next = plan.next()
        let first = try #require(next)
        plan.demanded(file: 0, chunks: 0..<2)
        let awaited = plan.nextAwaited()
        let second = try #require(awaited)
        #expect(second.chunks == 1..<2 && plan.isAwaited)
        _ = plan.ended(first, .copied)
        #expect(plan.isAwaited)
        _ = plan.ended(second, .copied)
        #expect(!plan.isAwaited)
        plan.demanded(file: 0, chunks: 0..<2)
        #expect(!plan.isAwaited, "they are there")
    }

    @Test func `each unit is copied or told missing once, and each file ends once, whatever happens`() {
        for seed in SeededRandom.seeds(60) {
            var random = SeededRandom(seed: seed)
            var counts: [Int: Int] = [:]
            for file in 0..<Int.random(in: 1...4, using: &random) { counts[file] = Int.random(in: 1...12, using: &random) }
            let size = Int.random(in: 1...3, using: &random)
            var plan = CopyPlan(counts.sorted { $0.key < $1.key }.map { .init(file: $0.key, chunkCount: $0.value, chunksOfUnit: size) })
            var underWay: [CopyPlan.Unit] = []
            var settled: [Int: [Int]] = [:]
            var ended: [Int] = []
            func take(_ actions: [CopyPlan.Action]) {
                for action in actions {
                    switch action {
                    case .missing(let unit, _):
                        #expect(!ended.contains(unit.file), "seed \(seed)")
                        settled[unit.file, default: []] += Array(unit.chunks)
                    case .ended(let file):
                        #expect(!underWay.contains { $0.file == file }, "seed \(seed)")
                        ended.append(file)
                    }
                }
            }
            while !plan.isOver {
                switch Int.random(in: 0..<12, using: &random) {
                case 0: plan.demanded(file: Int.random(in: 0...4, using: &random), chunks: 0..<Int.random(in: 1...12, using: &random))
                case 1 where random.chance(1, of: 6): take(plan.stopped())
                case 1: take(plan.takenBack(chunks: Int.random(in: 1...4, using: &random)))
                case 2...6: if let unit = random.chance(1, of: 3) ? plan.nextAwaited() : plan.next() { underWay.append(unit) }
                default:
                    guard let index = underWay.indices.randomElement(using: &random) else { continue }
                    let unit = underWay.remove(at: index)
                    let end: CopyPlan.End = random.chance(1, of: 5) ? .damaged : random.chance(1, of: 12) ? .impossible : .copied
                    if end == .copied { settled[unit.file, default: []] += Array(unit.chunks) }
                    take(plan.ended(unit, end))
                }
            }
            #expect(plan.chunks == .init(waiting: 0, underWay: 0) && !plan.isAwaited, "seed \(seed)")
            #expect(underWay.isEmpty && ended.sorted() == counts.keys.sorted(), "seed \(seed)")
            for (file, count) in counts { #expect(settled[file]?.sorted() == Array(0..<count), "seed \(seed)") }
        }
    }
}
