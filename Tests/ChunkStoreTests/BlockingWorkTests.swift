import ChunkStore
import Dispatch
import Synchronization
import Testing

/// Asks for work when nobody refers to it any more, as a file does that is closed by a thread for what blocks.
private final class LastReference: Sendable {
    private let closed: DispatchSemaphore
    init(_ closed: DispatchSemaphore) { self.closed = closed }
    deinit { BlockingWork.shared.submit(.uploads) { [closed] in closed.signal() } }
}

@Suite struct BlockingWorkTests {
    @Test func `work that is let go of may ask for work`() {
        let work = BlockingWork.shared
        let (begun, gate, closed) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        let threads = BlockingWork.Lane.uploads.threads
        for _ in 0..<threads {
            work.submit(.uploads) {
                begun.signal()
                gate.wait()
            }
        }
        for _ in 0..<threads { begun.wait() }
        for _ in 0..<100 {
            let held = LastReference(closed)
            work.submit(.uploads) { withExtendedLifetime(held) {} }
        }
        for _ in 0..<threads { gate.signal() }
        for _ in 0..<100 { closed.wait() }
    }

    @Test func `work that waits for a thread is given up at once, and work that runs is not`() {
        let work = BlockingWork.shared
        let (begun, gate) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        let calls = Mutex<[String]>([])
        let stop = WorkStop()
        for _ in 0..<BlockingWork.Lane.completion.threads {
            work.submit(.completion, until: stop) {
                begun.signal()
                gate.wait()
                calls.withLock { $0.append("ran") }
                begun.signal()
            } stopped: {
                calls.withLock { $0.append("a thread was there, yet it was given up") }
            }
        }
        for _ in 0..<BlockingWork.Lane.completion.threads { begun.wait() }
        work.submit(.completion, until: stop) { calls.withLock { $0.append("ran though it was given up") } } stopped: {
            calls.withLock { $0.append("stopped") }
        }
        stop.stop()
        stop.stop()
        #expect(calls.withLock { $0 } == ["stopped"])
        for _ in 0..<BlockingWork.Lane.completion.threads { gate.signal() }
        for _ in 0..<BlockingWork.Lane.completion.threads { begun.wait() }
        // What comes after the stop is given up too.
        work.submit(.completion, until: stop) { calls.withLock { $0.append("ran though it was given up") } } stopped: {
            calls.withLock { $0.append("stopped") }
        }
        work.submit(.completion) { begun.signal() }
        begun.wait()
        #expect(calls.withLock { $0 } == ["stopped", "ran", "ran", "stopped"])
    }
}
