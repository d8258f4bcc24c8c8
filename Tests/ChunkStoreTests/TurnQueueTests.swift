import ChunkStore
import TestSupport
import Testing

@Suite struct TurnQueueTests {
    @Test(arguments: SeededRandom.seeds(20))
    func `each owner has a turn before any other has its second, and its own work in order`(_ seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var queue = TurnQueue<Int, (owner: Int, number: Int)>()
        var added = [Int](repeating: 0, count: 5)
        var taken = added
        /// Turns of the others since each owner began to wait, or had its turn.
        var passed: [Int: [Int: Int]] = [:]
        func add(_ owner: Int) {
            if added[owner] == taken[owner] { passed[owner] = [:] }
            queue.add((owner, added[owner]), of: owner)
            added[owner] += 1
        }
        for _ in 0..<2000 {
            if random.chance(1, of: 2) {
                // One of them asks for much at once.
                let owner = Int.random(in: 0..<5, using: &random)
                for _ in 0..<(owner == 0 ? 50 : 1) { add(owner) }
            } else if let (owner, number) = queue.next() {
                #expect(number == taken[owner], "seed \(seed)")
                taken[owner] += 1
                passed[owner] = taken[owner] < added[owner] ? [:] : nil
                for other in passed.keys where other != owner { passed[other]?[owner, default: 0] += 1 }
                #expect(passed.values.allSatisfy { $0.values.allSatisfy { $0 <= 1 } }, "seed \(seed)")
            } else {
                #expect(added == taken && queue.isEmpty, "seed \(seed)")
            }
        }
        while queue.next() != nil {}
        #expect(queue.isEmpty)
    }

    @Test func `nothing of an item stays in the queue after its turn`() {
        final class Thing {}
        var queue = TurnQueue<Int, Thing>()
        weak var seen: Thing?
        do {
            let thing = Thing()
            seen = thing
            queue.add(thing, of: 1)
            queue.add(Thing(), of: 1)
        }
        _ = queue.next()
        #expect(seen == nil && !queue.isEmpty)
    }
}

@Suite struct DemandedChecksTests {
    @Test func `a reader that waits for one chunk has it after one chunk of a reader that waits for all`() {
        var checks = DemandedChecks()
        var unchecked = Set(0..<1000)
        var found: [Int] = []
        func turn() {
            guard let (_, chunk) = checks.next(isUnchecked: { unchecked.contains($1) }) else { return }
            unchecked.remove(chunk)
            found.append(chunk)
        }
        checks.demanded(file: 7, chunks: 0..<1000)
        for _ in 0..<3 { turn() }
        checks.demanded(file: 7, chunks: 900..<901)
        for _ in 0..<3 { turn() }
        #expect(found == [0, 1, 2, 3, 900, 4])
        for _ in 0..<2000 { turn() }
        #expect(unchecked.isEmpty && found.count == 1000 && checks.isEmpty)
    }

    @Test(arguments: SeededRandom.seeds(20))
    func `every chunk that is demanded is checked, each once, however the demands come`(_ seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var checks = DemandedChecks()
        var unchecked: [UInt32: Set<Int>] = [1: Set(0..<60), 2: Set(0..<60)]
        var demanded: [UInt32: Set<Int>] = [:]
        func turn() -> Bool {
            guard let (file, chunk) = checks.next(isUnchecked: { unchecked[$0]?.contains($1) == true }) else {
                return false
            }
            let isFirst = unchecked[file]?.remove(chunk) != nil
            #expect(isFirst && demanded[file]?.contains(chunk) == true, "seed \(seed)")
            return true
        }
        for _ in 0..<200 {
            if random.chance(1, of: 3) {
                let first = Int.random(in: 0..<60, using: &random)
                let chunks = first..<Int.random(in: first...60, using: &random)
                let file: UInt32 = random.chance(1, of: 2) ? 1 : 2
                demanded[file, default: []].formUnion(chunks)
                checks.demanded(file: file, chunks: chunks)
            } else if random.chance(1, of: 4) {
                // The background was faster.
                if let chunk = unchecked[1]?.randomElement(using: &random) { unchecked[1]?.remove(chunk) }
            } else {
                _ = turn()
            }
        }
        while turn() {}
        #expect(checks.isEmpty, "seed \(seed)")
        for (file, chunks) in demanded { #expect(unchecked[file]?.isDisjoint(with: chunks) == true, "seed \(seed)") }
    }

    @Test func `more demands than readers can have wait for the background`() {
        var checks = DemandedChecks()
        for chunk in 0..<DemandedChecks.most + 5 { checks.demanded(file: 1, chunks: chunk..<chunk + 1) }
        var found = 0
        var checked: Set<Int> = []
        while let (_, chunk) = checks.next(isUnchecked: { !checked.contains($1) }) {
            checked.insert(chunk)
            found += 1
        }
        #expect(found == DemandedChecks.most)
    }
}
