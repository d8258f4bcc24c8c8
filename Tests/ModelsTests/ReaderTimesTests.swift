import AgentAPI
import Models
import TestSupport
import Testing
import Transfer

private let pod = CallerPod(name: "llama-0", uid: "u-1")
private let begin = ContinuousClock.now

private func at(_ seconds: Double) -> ContinuousClock.Instant { begin + .milliseconds(Int64(seconds * 1000)) }

private func supply(
    store: Int64 = 0, peers: Int64 = 0, copied: Int64 = 0, _ waits: [DemandWait: Duration] = [:]
) -> ReaderSupply {
    ReaderSupply(storeBytes: store, peerBytes: peers, copiedBytes: copied, waits: DemandWaits(waits))
}

private func progress(
    present: Int64 = 0, store: Int64 = 0, peers: Int64 = 0, copied: Int64 = 0, complete: Bool = false,
    _ waits: [DemandWait: Duration] = [:]
) -> ReaderProgress {
    ReaderProgress(
        totalBytes: 1000, presentBytes: present, isComplete: complete,
        supply: supply(store: store, peers: peers, copied: copied, waits))
}

@Suite struct ReaderTimesTests {
    var times = ReaderTimes(pod, ReaderArrival(milliseconds: 1_800_000_000_123, instant: begin))

    @Test mutating func `a start has its times, bytes and waits`() {
        times.isAdmitted(at(0.5))
        times.isAnswered(progress(present: 100, store: 50, peers: 7), at(2))
        times.waits(supply(store: 50, peers: 7), at(3))
        // Of another thread: the pod waits already.
        times.waits(supply(), at(4))
        times.isServed(at(5))
        times.waitsNoMore(supply(store: 400, peers: 57, [.store: .seconds(3), .memory: .seconds(1)]), at(7))
        times.completes(progress(present: 1000, store: 850, peers: 107, copied: 30, complete: true), at(9))
        times.completes(progress(present: 1000, store: 9999, complete: true), at(11))
        times.ends(at(60))
        let start = times.start(progress(present: 1000, store: 9999, complete: true), at(70))
        #expect(start.pod == "llama-0" && start.podUID == "u-1" && start.openedAt == 1_800_000_000_123)
        #expect(start.admittedMilliseconds == 500 && start.answeredMilliseconds == 2000 && start.firstByteMilliseconds == 5000)
        #expect(start.completeMilliseconds == 9000 && start.endedMilliseconds == 60_000 && start.observedMilliseconds == 70_000)
        #expect(start.totalBytes == 1000 && start.cacheBytes == 100 && start.storeBytes == 800 && start.peerBytes == 100)
        #expect(start.copiedBytes == 30)
        #expect(start.waitMilliseconds == ["keys": 500, "opening": 1500, "store": 3000, "memory": 1000])
    }

    @Test mutating func `a start that goes on counts until now`() {
        times.isAdmitted(at(0))
        #expect(times.start(nil, at(3)).waitMilliseconds == ["opening": 3000])
        times.isAnswered(progress(present: 100), at(4))
        times.waits(supply(), at(5))
        let start = times.start(progress(present: 400, peers: 300, [.peers: .seconds(2)]), at(7))
        #expect(start.waitMilliseconds == ["opening": 4000, "peers": 2000])
        #expect(start.firstByteMilliseconds == nil && start.completeMilliseconds == nil && start.peerBytes == 300)
        // The model is gone, and with it its counters.
        #expect(times.start(nil, at(8)).peerBytes == 0)
    }

    @Test mutating func `a model that is there keeps nobody waiting`() {
        times.isAdmitted(at(0))
        times.isAnswered(progress(present: 1000, store: 5, complete: true), at(0.1))
        let start = times.start(progress(present: 1000, store: 900, complete: true), at(50))
        #expect(start.firstByteMilliseconds == 100 && start.completeMilliseconds == 100)
        #expect(start.cacheBytes == 1000 && start.storeBytes == 0 && start.waitMilliseconds == ["opening": 100])
    }

    @Test mutating func `the cause of a wait between two looks is where bytes came from`() {
        times.isAdmitted(at(0))
        times.isAnswered(progress(), at(0))
        times.waits(supply(), at(1))
        times.waitsNoMore(supply(store: 10, peers: 90), at(1.03))
        times.waits(supply(store: 10, peers: 90), at(2))
        times.waitsNoMore(supply(store: 50, peers: 90), at(2.04))
        times.waits(supply(store: 50, peers: 90), at(2.5))
        times.waitsNoMore(supply(store: 60, peers: 95, copied: 11), at(2.55))
        #expect(times.start(nil, at(3)).waitMilliseconds == ["peers": 30, "store": 40, "copy": 50])
    }

    @Test mutating func `bytes and waits of a copy are told as those of a copy`() {
        times.isAdmitted(at(0))
        times.isAnswered(progress(present: 100), at(0))
        times.waits(supply(), at(1))
        times.waitsNoMore(supply(store: 100, copied: 500, [.copy: .seconds(3), .store: .seconds(1)]), at(5))
        times.completes(progress(present: 1000, store: 150, copied: 750, complete: true), at(6))
        let start = times.start(nil, at(7))
        #expect(start.cacheBytes + start.copiedBytes + start.storeBytes + start.peerBytes == start.totalBytes)
        #expect(start.waitMilliseconds == ["copy": 3000, "store": 1000])
    }
}

@Suite struct ReaderBookTests {
    private func arrival(_ number: Int) -> ReaderArrival { ReaderArrival(milliseconds: Int64(number), instant: begin) }

    @Test func `a pod that is refused and asks again has one start, from its first try`() {
        let book = ReaderBook()
        book.opens(pod, cache: "c", arrival(1)).refused()
        #expect(book.starts(ofCache: "c").first?.endedMilliseconds != nil)
        let again = book.opens(pod, cache: "c", arrival(2))
        #expect(book.starts(ofCache: "c").map(\.openedAt) == [1] && book.starts(ofCache: "c").first?.endedMilliseconds == nil)
        again.refused()
        #expect(book.starts(ofCache: "other").isEmpty)
    }

    @Test func `caches and pods are apart, in the order of their openings`() {
        let book = ReaderBook()
        for (number, cache) in [(3, "a"), (1, "a"), (2, "b")] {
            _ = book.opens(CallerPod(name: "p\(number)", uid: "u\(number)"), cache: cache, arrival(number))
        }
        #expect(book.starts(ofCache: "a").map(\.pod) == ["p1", "p3"] && book.starts(ofCache: "b").map(\.pod) == ["p2"])
    }

    @Test func `the book is bounded, and forgets first what is over`() {
        let book = ReaderBook()
        book.opens(CallerPod(name: "over", uid: "over"), cache: "c", arrival(0)).refused()
        for number in 1...ReaderBook.mostReaders {
            _ = book.opens(CallerPod(name: "p", uid: "u\(number)"), cache: "c", arrival(number))
        }
        let uids = book.starts(ofCache: "c").map(\.podUID)
        #expect(uids.count == ReaderBook.mostReaders && !uids.contains("over") && uids.first == "u1")
        _ = book.opens(CallerPod(name: "p", uid: "one-more"), cache: "c", arrival(9999))
        #expect(book.starts(ofCache: "c").count == ReaderBook.mostReaders)
    }
}
