import Controller
import TestSupport
import Testing

@Suite struct FairnessTests {
    @Test func `A namespace with hundreds of sources leaves places and turns to the others`() {
        var queue = FairQueue<String>(width: 16, widthOfLine: 4)
        for index in 0..<500 { queue.add("dead-\(index)", line: "a") }
        var begun: [String] = []
        while let next = queue.next() { begun.append(next) }
        #expect(begun.count == queue.widthOfLine)
        queue.add("other", line: "b")
        let other = queue.next()
        #expect(other == "other")
        queue.ended(line: "a")
        let rest = [queue.next(), queue.next()]
        #expect(rest == ["dead-4", nil])
    }

    @Test func `Everything begins once, within the bounds, whatever the order of events`() {
        for seed in SeededRandom.seeds(50) {
            var random = SeededRandom(seed: seed)
            var queue = FairQueue<Int>(width: 16, widthOfLine: 4)
            var running: [(work: Int, namespace: String)] = []
            var begun: [Int] = []
            var added: [Int: String] = [:]
            for step in 0..<400 {
                if step < 200, random.chance(2, of: 3) {
                    let namespace = "ns-\(Int.random(in: 0..<7, using: &random))"
                    added[step] = namespace
                    queue.add(step, line: namespace)
                }
                if random.chance(1, of: 2), let work = queue.next() {
                    begun.append(work)
                    running.append((work, added[work] ?? ""))
                }
                if random.chance(1, of: 2), !running.isEmpty {
                    queue.ended(line: running.remove(at: Int.random(in: running.indices, using: &random)).namespace)
                }
                #expect(running.count <= queue.width, "seed \(seed)")
                let most = Dictionary(grouping: running, by: \.namespace).values.map(\.count).max() ?? 0
                #expect(most <= queue.widthOfLine, "seed \(seed)")
            }
            while !queue.isEmpty || !running.isEmpty {
                while let work = queue.next() {
                    begun.append(work)
                    running.append((work, added[work] ?? ""))
                }
                if !running.isEmpty { queue.ended(line: running.removeLast().namespace) }
            }
            #expect(begun.sorted() == added.keys.sorted(), "seed \(seed)")
        }
    }

    @Test func `The watch's older states do not take the place of the server's answer, and a new list ends the wait`() {
        let now = WallTime(seconds: 1_800_000_000)
        var awaited = AwaitedVersions()
        func admits(_ version: String, of key: String = "a", after pause: Duration = .zero) -> Bool {
            awaited.admits(version, of: key, now: now + pause)
        }
        awaited.wrote("90", of: "a", now: now)
        #expect(!admits("88"))
        #expect(admits("5", of: "b"))
        #expect(admits("90"))
        // After a restore of etcd the numbers begin anew.
        #expect(admits("7"))
        awaited.wrote("91", of: "a", now: now)
        awaited.relisted()
        #expect(admits("8"))
        awaited.wrote("92", of: "a", now: now)
        #expect(!admits("9", after: .seconds(29)))
        #expect(admits("9", after: .seconds(31)), "a watch that lost the write is believed again")
    }

    @Test func `An object that a restored etcd has again is not taken for deleted`() {
        var deletions = AcceptedDeletions()
        deletions.accepted("a", isKnown: true)
        #expect(deletions.contains("a"))
        deletions.forget("a")
        #expect(!deletions.contains("a"))
        deletions.accepted("a", isKnown: false)
        #expect(!deletions.contains("a"), "the watch was faster than the answer")
        deletions.accepted("a", isKnown: true)
        deletions.relisted()
        #expect(!deletions.contains("a"), "a list says how it is")
    }
}
