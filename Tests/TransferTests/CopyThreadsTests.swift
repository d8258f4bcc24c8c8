import ChunkStore
import Testing
import Transfer

@Suite struct CopyThreadsTests {
    private let kind = CopyThreads.Kind(.copies, isOnDisk: true)

    @Test func `threads hang when none of a kind has gone on for a while, and nobody else's are counted`() throws {
        let threads = CopyThreads()
        let turns = (0..<BlockingWork.Lane.copies.threads).map { _ in CopyTurn() }
        let start = ContinuousClock.now
        #expect(!threads.standStill(kind, now: start))
        for turn in turns { threads.began(turn, kind) }
        threads.began(CopyTurn(), CopyThreads.Kind(.copies, isOnDisk: false))
        #expect(!threads.standStill(kind, now: start + .seconds(10)), "nobody has looked at them before")
        #expect(!threads.standStill(kind, now: start + .seconds(14)))
        #expect(threads.standStill(kind, now: start + .seconds(15)))
        // Its copy was given up, and its thread has not come back.
        _ = turns[0].giveUp()
        #expect(threads.standStill(kind, now: start + .seconds(16)))
        #expect(!threads.standStill(CopyThreads.Kind(.copies, isOnDisk: false), now: start + .seconds(60)))
        #expect(!threads.standStill(CopyThreads.Kind(.awaitedCopies, isOnDisk: true), now: start + .seconds(60)))
        let begins = turns[1].begins([], readsAside: true)
        let hasGoneOn = try turns[1].writes {}
        #expect(begins && hasGoneOn && !threads.standStill(kind, now: start + .seconds(17)))
        #expect(threads.standStill(kind, now: start + .seconds(22)))
        threads.ended(turns[0])
        #expect(!threads.standStill(kind, now: start + .seconds(23)))
    }

    @Test func `a copy that is given up while it writes reads nothing more`() throws {
        let turn = CopyTurn()
        let begins = turn.begins([], readsAside: true)
        let goesOn = try turn.writes {}
        #expect(begins && goesOn)
        let goesOnGivenUp = try turn.writes {
            let isOver = turn.giveUp()
            #expect(!isOver, "it ends by itself")
        }
        #expect(!goesOnGivenUp && !turn.ends())
    }
}
