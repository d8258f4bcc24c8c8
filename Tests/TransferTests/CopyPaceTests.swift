import Testing
import Transfer

/// A fill with a copy of a given rate beside a store of a given rate, looked at twenty times a second.
private struct World {
    let copyRate: Double
    let storeRate: Double
    var copyBytes: Double
    var fetchBytes: Double
    var copied = 0.0
    var fetched = 0.0
    var given: UInt64 = 0
    var mostAtHand = 0.0
    var pace = CopyPace()
    var seconds = 0.0
    private let begin = ContinuousClock.now

    /// In millions of bytes, and millions of bytes a second.
    init(copy: Double, at copyRate: Double, fetch: Double = 0, at storeRate: Double) {
        (copyBytes, self.copyRate, fetchBytes, self.storeRate) = (copy * 1e6, copyRate * 1e6, fetch * 1e6, storeRate * 1e6)
    }

    var isOver: Bool { copyBytes <= 0 && fetchBytes <= 0 }

    mutating func step() {
        let bytes = pace.bytesToFetch(
            .init(
                copiedBytes: Int64(copied), fetchedBytes: Int64(fetched), copyBytes: UInt64(copyBytes), fetchBytes: UInt64(fetchBytes)),
            now: begin + .milliseconds(Int64(seconds * 1000)))
        given += bytes
        copyBytes -= Double(bytes)
        fetchBytes += Double(bytes)
        if bytes > 0 { mostAtHand = max(mostAtHand, fetchBytes) }
        let (copies, fetches) = (min(copyBytes, copyRate * 0.05), min(fetchBytes, storeRate * 0.05))
        copyBytes -= copies
        copied += copies
        fetchBytes -= fetches
        fetched += fetches
        seconds += 0.05
    }

    mutating func run(atMost limit: Double = 10_000) { while !isOver, seconds < limit { step() } }
}

@Suite struct CopyPaceTests {
    @Test func `a donor that is slower than the store has its file fetched from the other end`() {
        // A disk of 100 MB/s beside a link of 1 GB/s: 1000 s alone, 91 s together.
        var world = World(copy: 100_000, at: 100, at: 1000)
        world.run()
        #expect(world.seconds < 100, "\(world.seconds)")
        #expect(world.mostAtHand < 1.3e9, "what is given away is soon fetched")
    }

    @Test func `a rate that other files of the model have shown is known from the beginning`() {
        var world = World(copy: 10_000, at: 100, fetch: 10_000, at: 1000)
        world.run(atMost: 8.5)
        #expect(world.given == 0, "the link is busy with what only the store has")
        world.run()
        #expect(world.seconds < 22, "\(world.seconds)")
    }

    @Test func `a copy that is as fast as the store costs the store nothing`() {
        for storeRate in [50.0, 400] {
            var world = World(copy: 20_000, at: 500, fetch: 3_000, at: storeRate)
            world.run()
            #expect(world.given == 0)
        }
    }

    @Test func `where nothing was fetched yet a long copy gives little to learn the store's rate, and a short one nothing`() {
        var long = World(copy: 100_000, at: 2000, at: 10)
        long.run()
        #expect(long.given < 2 * CopyPace.leastProbe && long.seconds < 51, "\(long.given) \(long.seconds)")
        var short = World(copy: 20_000, at: 2000, at: 10_000)
        short.run()
        #expect(short.given == 0)
    }

    @Test func `a donor that brings nothing has all of its file fetched, and a store that brings nothing gets no more`() {
        var stuck = World(copy: 5_000, at: 0, at: 200)
        stuck.run(atMost: 60)
        #expect(stuck.isOver && stuck.copied == 0)
        var away = World(copy: 100_000, at: 500, at: 0)
        away.run(atMost: 300)
        #expect(away.given == CopyPace.leastProbe && away.copyBytes <= 0)
    }

    @Test func `nothing is given away in the first seconds`() {
        var world = World(copy: 100_000, at: 1, at: 1000)
        world.run(atMost: 4.9)
        #expect(world.given == 0)
    }
}
