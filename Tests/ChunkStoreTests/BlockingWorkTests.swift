import ChunkStore
import ChunkStoreTestSupport
import Crypto
import Dispatch
import Foundation
import Synchronization
import Testing

private let owner = WorkOwner("m", isOnDisk: false)

/// Asks for work when nobody refers to it any more, as a file does that is closed by a thread for what blocks.
private final class LastReference: Sendable {
    private let work: BlockingWork
    private let closed: DispatchSemaphore
    init(_ work: BlockingWork, _ closed: DispatchSemaphore) {
        self.work = work
        self.closed = closed
    }
    deinit { work.submit(.uploads, for: owner) { [closed] in closed.signal() } }
}

@Suite(.serialized) struct BlockingWorkTests {
    @Test func `work that is let go of may ask for work`() {
        let work = BlockingWork()
        let (begun, gate, closed) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        let threads = BlockingWork.Lane.uploads.threads
        for _ in 0..<threads {
            work.submit(.uploads, for: owner) {
                begun.signal()
                gate.wait()
            }
        }
        for _ in 0..<threads { begun.wait() }
        for _ in 0..<100 {
            let held = LastReference(work, closed)
            work.submit(.uploads, for: owner) { withExtendedLifetime(held) {} }
        }
        for _ in 0..<threads { gate.signal() }
        for _ in 0..<100 { closed.wait() }
    }

    @Test func `work that waits for a thread is given up at once, and work that runs is not`() {
        let work = BlockingWork()
        let (begun, gate) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        let calls = Mutex<[String]>([])
        let stop = WorkStop()
        for _ in 0..<BlockingWork.Lane.completion.threads {
            work.submit(.completion, for: owner, until: stop) {
                begun.signal()
                gate.wait()
                calls.withLock { $0.append("ran") }
                begun.signal()
            } stopped: {
                calls.withLock { $0.append("a thread was there, yet it was given up") }
            }
        }
        for _ in 0..<BlockingWork.Lane.completion.threads { begun.wait() }
        work.submit(.completion, for: owner, until: stop) { calls.withLock { $0.append("ran though it was given up") } } stopped: {
            calls.withLock { $0.append("stopped") }
        }
        stop.stop()
        stop.stop()
        #expect(calls.withLock { $0 } == ["stopped"])
        for _ in 0..<BlockingWork.Lane.completion.threads { gate.signal() }
        for _ in 0..<BlockingWork.Lane.completion.threads { begun.wait() }
        // What comes after the stop is given up too.
        work.submit(.completion, for: owner, until: stop) { calls.withLock { $0.append("ran though it was given up") } } stopped: {
            calls.withLock { $0.append("stopped") }
        }
        work.submit(.completion, for: owner) { begun.signal() }
        begun.wait()
        #expect(calls.withLock { $0 } == ["stopped", "ran", "ran", "stopped"])
    }

    @Test func `models take turns at a thread, and work in slices lets the others have theirs`() async {
        let work = BlockingWork.shared
        let busy = await BusyThreads(.completion)
        defer { busy.release(BlockingWork.Lane.completion.threads - 1) }
        let order = Mutex<[String]>([])
        let done = DispatchSemaphore(value: 0)
        let large = WorkOwner("large", isOnDisk: false)
        for file in ["l", "L"] {
            let slices = Mutex(0)
            work.submitSlices(.completion, for: large, until: WorkStop()) {
                order.withLock { $0.append(file) }
                let isLast = slices.withLock { $0 += 1; return $0 == 3 }
                if isLast { done.signal() }
                return !isLast
            } stopped: {
                Issue.record("nobody stopped it")
            }
        }
        for file in ["1", "2"] {
            work.submit(.completion, for: WorkOwner("small", isOnDisk: false)) { order.withLock { $0.append(file) } }
        }
        busy.release(1)
        for _ in 0..<2 { done.wait() }
        #expect(order.withLock { $0 } == ["l", "1", "L", "2", "l", "L", "l", "L"])
    }

    @Test func `a stop between two slices is the last that is heard of the work`() {
        let work = BlockingWork.shared
        let stop = WorkStop()
        let calls = Mutex<[String]>([])
        let over = DispatchSemaphore(value: 0)
        work.submitSlices(.completion, for: owner, until: stop) {
            calls.withLock { $0.append("slice") }
            stop.stop()
            return true
        } stopped: {
            calls.withLock { $0.append("stopped") }
            over.signal()
        }
        over.wait()
        #expect(calls.withLock { $0 } == ["slice", "stopped"])
    }

    @Test func `a disk that hangs holds up no cache in memory`() {
        let work = BlockingWork()
        let gate = DispatchSemaphore(value: 0)
        for lane in BlockingWork.Lane.allCases {
            for _ in 0..<lane.threads + 3 {
                work.submit(lane, for: WorkOwner("disk", isOnDisk: true)) { gate.wait() }
            }
        }
        let done = DispatchSemaphore(value: 0)
        for lane in BlockingWork.Lane.allCases {
            work.submit(lane, for: WorkOwner("memory", isOnDisk: false)) { done.signal() }
        }
        for _ in BlockingWork.Lane.allCases { done.wait() }
        for lane in BlockingWork.Lane.allCases { for _ in 0..<lane.threads + 3 { gate.signal() } }
    }

    @Test func `a small file has its name before the digests of large ones are taken`() async throws {
        let scratch = Scratch()
        let root = try CacheDirectory(root: scratch.path, .models, medium: .init(preference: .directory))
        defer { root.close() }
        let pool = StagingPool(limitBytes: 4 << 20)
        let bytes = pattern(3 * Int(BlockingWork.sliceBytes) + 5)
        let digest = SHA256.hash(data: bytes).map { String(format: "%02x", $0) }.joined()
        func complete(_ prefix: String, _ keys: [String], _ content: [UInt8]) throws -> (CachedModel, [CachedFile]) {
            let model = try root.open(
                try Manifest(
                    identity: SourceIdentity(endpoint: "e", bucket: "b", prefix: prefix),
                    files: keys.map {
                        ManifestFile(
                            key: $0, size: UInt64(content.count), etag: "e",
                            checksums: content.count == bytes.count ? .init(sha256: digest) : .init(crc64: crc(content)))
                    }, chunkBytes: 2 << 20))
            for file in model.files { try fillAll(file, from: content, pool: pool) }
            return (model, model.files)
        }
        let (large, files) = try complete("large/", ["a", "b"], bytes)
        let (small, smallFiles) = try complete("small/", ["c"], Array(bytes[..<100]))
        let busy = await BusyThreads(.completion)
        defer { busy.release(BlockingWork.Lane.completion.threads - 1) }
        let order = Mutex<[String]>([])
        let done = DispatchSemaphore(value: 0)
        for (model, file) in files.map({ (large, $0) }) + [(small, smallFiles[0])] {
            let slices = Slices(file)
            BlockingWork.shared.submitSlices(.completion, for: model.work, until: WorkStop()) {
                guard let completion = try? slices.work.next() else { return true }
                #expect(completion == .published(.verified))
                order.withLock { $0.append(file.key) }
                done.signal()
                return false
            } stopped: {
                Issue.record("nobody stopped it")
            }
        }
        busy.release(1)
        for _ in 0..<3 { done.wait() }
        #expect(order.withLock { $0 } == ["c", "a", "b"])
    }

    /// `@unchecked Sendable`: one slice at a time.
    private final class Slices: @unchecked Sendable {
        var work: CompletionWork
        init(_ file: CachedFile) { work = CompletionWork(file, until: WorkStop()) }
    }
}
