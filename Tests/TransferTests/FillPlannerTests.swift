import Testing
import Transfer
import TestSupport

@Suite struct FillPlannerTests {
    let now = ContinuousClock.now

    func drain(_ planner: inout FillPlanner, at time: ContinuousClock.Instant? = nil) -> [ChunkAddress] {
        var order: [ChunkAddress] = []
        while let next = planner.next(now: time ?? now) { order.append(next) }
        return order
    }

    func address(_ file: Int, _ chunk: Int) -> ChunkAddress { ChunkAddress(file: file, chunk: chunk) }

    @Test func prefetchTakesHeadsThenTailsThenFileOrder() {
        var planner = FillPlanner(chunkCounts: [4, 0, 1, 3])
        #expect(drain(&planner) == [
            address(0, 0), address(2, 0), address(3, 0), address(0, 3), address(3, 2),
            address(0, 1), address(0, 2), address(3, 1),
        ])
    }

    @Test func aDemandOvertakesPrefetchAndTheChunksAfterItFollow() {
        var planner = FillPlanner(chunkCounts: [20], readAheadChunks: 2)
        _ = planner.next(now: now)
        planner.demand(file: 0, chunks: 10..<11)
        #expect((0..<4).compactMap { _ in planner.next(now: now) } == [address(0, 10), address(0, 11), address(0, 12), address(0, 19)])
    }

    @Test func withoutPrefetchOnlyDemandsAndTheirReadAheadAreFetched() {
        var planner = FillPlanner(chunkCounts: [20], prefetches: false, readAheadChunks: 1)
        #expect(planner.next(now: now) == nil)
        planner.demand(file: 0, chunks: 5..<6)
        #expect(drain(&planner) == [address(0, 5), address(0, 6)])
    }

    @Test func aDemandOutsideTheModelIsIgnored() {
        var planner = FillPlanner(chunkCounts: [2], prefetches: false)
        planner.demand(file: 7, chunks: 0..<1)
        planner.demand(file: 0, chunks: 5..<9)
        planner.demand(file: -1, chunks: 0..<1)
        #expect(planner.next(now: now) == nil)
    }

    @Test func aChunkInFlightIsNotHandedOutAgain() {
        var planner = FillPlanner(chunkCounts: [1])
        #expect(planner.next(now: now) == address(0, 0))
        planner.demand(file: 0, chunks: 0..<1)
        #expect(planner.next(now: now) == nil)
    }

    @Test func aFailedChunkComesBackAfterItsBackOffEvenWhenDemanded() {
        var planner = FillPlanner(chunkCounts: [1])
        _ = planner.next(now: now)
        planner.failed(address(0, 0), retryAt: now + .seconds(1))
        planner.demand(file: 0, chunks: 0..<1)
        #expect(planner.next(now: now + .milliseconds(999)) == nil)
        #expect(planner.next(now: now + .seconds(1)) == address(0, 0))
    }

    @Test func theLastChunkOfAFileIsReportedOnce() {
        var planner = FillPlanner(chunkCounts: [2, 1])
        #expect(planner.arrived(address(0, 0)) == false)
        #expect(planner.arrived(address(0, 1)) == true)
        #expect(planner.arrived(address(0, 1)) == false)
        #expect(planner.isComplete == false)
        #expect(planner.arrived(address(1, 0)) == true)
        #expect(planner.isComplete)
    }

    @Test func aResetFileIsFetchedWhollyAgain() {
        var planner = FillPlanner(chunkCounts: [3])
        for chunk in drain(&planner) { planner.arrived(chunk) }
        planner.reset(file: 0)
        #expect(planner.missingChunks(ofFile: 0) == 3)
        #expect(Set(drain(&planner)) == [address(0, 0), address(0, 1), address(0, 2)])
    }

    @Test func `a lost chunk is fetched again, and only one that was present is lost`() {
        var planner = FillPlanner(chunkCounts: [3])
        for chunk in drain(&planner) { planner.arrived(chunk) }
        planner.lost(address(0, 1))
        planner.lost(address(0, 1))
        #expect(planner.missingChunks(ofFile: 0) == 1 && planner.missing == 1 && !planner.isComplete)
        #expect(drain(&planner) == [address(0, 1)])
        planner.lost(address(0, 1))
        #expect(planner.missing == 1, "in flight: nothing of it is there to lose")
    }

    @Test func anAbandonedFileIsLeftAlone() {
        var planner = FillPlanner(chunkCounts: [3, 2])
        planner.abandon(file: 0)
        planner.demand(file: 0, chunks: 0..<3)
        #expect(drain(&planner).allSatisfy { $0.file == 1 })
    }

    @Test func whatIsPresentIsNeverFetched() {
        var planner = FillPlanner(chunkCounts: [4, 4]) { ($0.file + $0.chunk) % 2 == 0 }
        #expect(planner.missingChunks(ofFile: 0) == 2)
        #expect(Set(drain(&planner)) == [address(0, 1), address(0, 3), address(1, 0), address(1, 2)])
    }

    @Test func aRunTakesWhatFollowsAndHeadsAndTailsGoAlone() {
        var planner = FillPlanner(chunkCounts: [10])
        planner.demand(file: 0, chunks: 6..<7)
        #expect(planner.next(now: now, upTo: 3) == ChunkRun(file: 0, chunks: 6..<9))
        #expect(planner.next(now: now, upTo: 4) == ChunkRun(file: 0, chunks: 9..<10))
        #expect(planner.next(now: now, upTo: 4) == ChunkRun(file: 0, chunks: 0..<1))
        #expect(planner.next(now: now, upTo: 4) == ChunkRun(file: 0, chunks: 1..<5))
        #expect(planner.next(now: now, upTo: 4) == ChunkRun(file: 0, chunks: 5..<6))
        #expect(planner.next(now: now, upTo: 4) == nil)
    }

    @Test func withoutPrefetchARunGoesNoFurtherThanTheDemands() {
        var planner = FillPlanner(chunkCounts: [20], prefetches: false, readAheadChunks: 0)
        planner.demand(file: 0, chunks: 5..<8)
        #expect(planner.next(now: now, upTo: 9) == ChunkRun(file: 0, chunks: 5..<8))
        #expect(planner.next(now: now, upTo: 9) == nil)
    }

    @Test func `a file that a program reads comes before files that nobody has opened`() {
        var planner = FillPlanner(chunkCounts: [5, 5], readAheadChunks: 0)
        for _ in 0..<4 { _ = planner.next(now: now) }
        planner.demand(file: 1, chunks: 2..<3)
        #expect(drain(&planner) == [address(1, 2), address(1, 1), address(1, 3), address(0, 1), address(0, 2), address(0, 3)])
    }

    @Test func `a prediction comes after demands, before prefetch, and becomes a demand`() {
        var planner = FillPlanner(chunkCounts: [20], readAheadChunks: 0)
        #expect(planner.predict(file: 0, chunks: 10..<12) == 2)
        #expect(planner.predict(file: 0, chunks: 10..<12) == 0)
        planner.predict(file: 0, chunks: 15..<16)
        planner.demand(file: 0, chunks: 5..<6)
        #expect(planner.demand(file: 0, chunks: 15..<16) == 0, "it was asked for")
        #expect(planner.demand(file: 0, chunks: 18..<19) == 1)
        let ready = planner.ready(now: now)
        #expect(ready.demands == 3 && ready.predictions == 2 && ready.others == 15)
        #expect(planner.next(now: now, upTo: 1, least: .demand) == ChunkRun(file: 0, chunks: 5..<6))
        #expect(planner.next(now: now, upTo: 1, least: .demand) == ChunkRun(file: 0, chunks: 15..<16))
        #expect(planner.next(now: now, upTo: 1, least: .demand) == ChunkRun(file: 0, chunks: 18..<19))
        #expect(planner.demand(file: 0, chunks: 18..<20) == 1, "what is on its way is no reason to hold others")
        #expect(planner.next(now: now, upTo: 1, least: .demand) == ChunkRun(file: 0, chunks: 19..<20))
        #expect(planner.next(now: now, upTo: 9, least: .demand) == nil)
        #expect(planner.next(now: now, upTo: 9, least: .prediction) == ChunkRun(file: 0, chunks: 10..<12), "no further than predicted")
        #expect(planner.lastWanted(in: ChunkRun(file: 0, chunks: 8..<13)) == 11)
        #expect(planner.next(now: now, upTo: 9, least: .prediction) == nil)
        #expect(planner.next(now: now) == address(0, 0))
    }

    @Test func `beside a demanded expert nothing is fetched ahead`() {
        var planner = FillPlanner(chunkCounts: [12], readAheadChunks: 4)
        planner.learn((0..<12).map { $0 < 4 ? .everyToken : .expert }, file: 0)
        planner.demand(file: 0, chunks: 7..<8)
        #expect(planner.next(now: now, upTo: 9) == ChunkRun(file: 0, chunks: 7..<8))
        #expect(planner.next(now: now, upTo: 9) == ChunkRun(file: 0, chunks: 0..<1))
        #expect(planner.next(now: now, upTo: 9) == ChunkRun(file: 0, chunks: 11..<12))
        #expect(planner.next(now: now, upTo: 9) == ChunkRun(file: 0, chunks: 1..<4), "a run has one use")
        #expect(planner.next(now: now, upTo: 9) == ChunkRun(file: 0, chunks: 4..<7))
    }

    @Test func `a read-ahead that began before the layout was known ends at the experts`() {
        var planner = FillPlanner(chunkCounts: [12], readAheadChunks: 6)
        for _ in 0..<2 { _ = planner.next(now: now) }
        planner.demand(file: 0, chunks: 0..<1)
        planner.learn((0..<12).map { $0 < 3 || $0 == 9 ? .everyToken : .expert }, file: 0)
        #expect(drain(&planner).prefix(4) == [address(0, 1), address(0, 2), address(0, 9), address(0, 3)])
    }

    @Test func aRunEndsWithItsFile() {
        var planner = FillPlanner(chunkCounts: [3, 3])
        for _ in 0..<4 { _ = planner.next(now: now) }
        #expect(planner.next(now: now, upTo: 9) == ChunkRun(file: 0, chunks: 1..<2))
    }

    @Test func runsAreShortUntilTheRateIsKnownAndAtTheEnd() {
        let length = RunLength()
        func chunks(_ rate: Double?, missing: Int = 10_000, transfers: Int = 4, isLimited: Bool = false) -> Int {
            length.chunks(chunkBytes: 4 << 20, medianBytesPerSecond: rate, missingChunks: missing, transfers: transfers, isLimited: isLimited)
        }
        #expect(chunks(nil) == 1)
        #expect(length.chunks(chunkBytes: 2 << 20, medianBytesPerSecond: nil, missingChunks: 99, transfers: 4, isLimited: false) == 2)
        #expect(chunks(1e6) == 1)
        #expect(chunks(1e12) == 8)
        #expect(chunks(64 * 1_048_576) == 4)
        #expect(chunks(1e12, missing: 20) == 2)
        #expect(chunks(1e12, missing: 3) == 1)
        #expect(chunks(1e12, isLimited: true) == 1)
        #expect(chunks(1e12, missing: 0, transfers: 0) == 1)
    }

    /// Beside a model that is too simple to be wrong: a set of missing chunks and a set of those in flight.
    @Test(arguments: SeededRandom.seeds(4)) func randomEventsNeverLoseOrDoubleAChunk(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let counts = (0..<4).map { _ in Int.random(in: 0...9, using: &random) }
        var planner = FillPlanner(chunkCounts: counts, readAheadChunks: 3)
        var missing = Set(counts.indices.flatMap { file in (0..<counts[file]).map { ChunkAddress(file: file, chunk: $0) } })
        var inFlight: Set<ChunkAddress> = []
        var time = now
        for _ in 0..<2_000 {
            time += .milliseconds(Int.random(in: 0...20, using: &random))
            switch Int.random(in: 0...5, using: &random) {
            case 0, 1:
                guard let run = planner.next(now: time, upTo: Int.random(in: 1...4, using: &random)) else { continue }
                for next in run.addresses {
                    #expect(missing.contains(next) && !inFlight.contains(next), "seed \(seed)")
                    inFlight.insert(next)
                }
            case 2:
                guard let chunk = inFlight.sorted().first else { continue }
                inFlight.remove(chunk)
                missing.remove(chunk)
                let last = planner.arrived(chunk)
                #expect(last == !missing.contains { $0.file == chunk.file }, "seed \(seed)")
            case 3:
                guard let chunk = inFlight.sorted().last else { continue }
                inFlight.remove(chunk)
                planner.failed(chunk, retryAt: time + .milliseconds(Int.random(in: 0...30, using: &random)))
            case 4:
                let start = Int.random(in: 0...9, using: &random)
                planner.demand(file: Int.random(in: -1...4, using: &random), chunks: start..<(start + 2))
            default:
                let file = Int.random(in: 0..<4, using: &random)
                guard !inFlight.contains(where: { $0.file == file }), Int.random(in: 0...20, using: &random) == 0 else { continue }
                planner.reset(file: file)
                for chunk in 0..<counts[file] { missing.insert(ChunkAddress(file: file, chunk: chunk)) }
            }
        }
        for chunk in inFlight {
            planner.arrived(chunk)
            missing.remove(chunk)
        }
        for chunk in drain(&planner, at: time + .seconds(60)) {
            #expect(missing.remove(chunk) != nil, "seed \(seed)")
            planner.arrived(chunk)
        }
        #expect(missing.isEmpty && planner.missing == 0, "seed \(seed)")
        #expect(planner.isComplete, "seed \(seed)")
    }
}
