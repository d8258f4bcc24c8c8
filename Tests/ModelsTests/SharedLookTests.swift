import Dispatch
import Models
import Synchronization
import TestSupport
import Testing

/// A disk that answers one look for each ``answer()``, with the number of the look.
private final class SlowDisk: Sendable {
    private let look = SharedLook<Int>()
    private let disk = DiskQueue()
    private let gate = DispatchSemaphore(value: 0)
    private let counts = Mutex((asked: 0, looks: 0))

    var asked: Int { counts.withLock { $0.asked } }
    var looks: Int { counts.withLock { $0.looks } }
    func answer() { gate.signal() }

    func value() async -> Int {
        counts.withLock { $0.asked += 1 }
        return await look.value(disk) { [self] in
            let number = counts.withLock { counts in
                counts.looks += 1
                return counts.looks
            }
            gate.wait()
            return number
        }
    }
}

@Suite struct SharedLookTests {
    @Test func `while a disk hangs, all who ask wait for one look more, which begins after their question`() async throws {
        let disk = SlowDisk()
        let first = Task { await disk.value() }
        try await eventually("the first look is under way") { disk.looks == 1 }
        let others = (0..<50).map { _ in Task { await disk.value() } }
        try await eventually("all have asked") { disk.asked == 51 }
        #expect(disk.looks == 1)
        disk.answer()
        #expect(await first.value == 1)
        try await eventually("the second look is under way") { disk.looks >= 2 }
        for _ in 0..<50 { disk.answer() }
        for other in others { #expect(await other.value >= 2) }
        #expect(await disk.value() > 2, "a later question is another look")
    }
}
