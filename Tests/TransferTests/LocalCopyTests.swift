import ChunkStore
import ChunkStoreTestSupport
import Dispatch
import Foundation
import Logging
import ObjectStore
import RangeTransfer
import Swarm
import Synchronization
import TestSupport
import Testing
import Transfer

/// Fills whose files lie in another cache of the node.
@Suite(.serialized) struct LocalCopyTests {
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    private let folder: TemporaryFolder
    private let pool = StagingPool(limitBytes: 16 << 20)
    private let files = ["a": 9_000_000, "b": 5 << 20, "c": 3]

    init() throws { folder = try TemporaryFolder() }

    /// A complete cache with the files' bytes.
    private func donor(
        _ name: String = "donor", files: [String: Int]? = nil, chunkBytes: UInt64 = 2 << 20,
        medium: MediumOptions.Preference = .directory
    ) async throws -> FakeCache {
        let cache = try FakeCache(
            folder: folder.file(name), files: files ?? self.files, prefix: "v1/", medium: medium, chunkBytes: chunkBytes)
        await ModelFill(
            model: cache.model, source: FakeSource(cache.contents), pool: pool, limits: FillLimits(maximumTransfers: 4), logger: logger
        ).run()
        try #require(cache.model.files.allSatisfy { $0.isVerified })
        return cache
    }

    private func cache(_ name: String = "cache", files: [String: Int]? = nil, chunkBytes: UInt64 = 2 << 20) throws -> FakeCache {
        try FakeCache(folder: folder.file(name), files: files ?? self.files, prefix: "v2/", chunkBytes: chunkBytes)
    }

    private func donors(_ cache: FakeCache, for own: FakeCache, keys: Set<String>) -> [UInt32: CachedFile] {
        let theirs = Dictionary(uniqueKeysWithValues: cache.model.files.map { ($0.key, $0) })
        return Dictionary(
            uniqueKeysWithValues: own.model.files.filter { keys.contains($0.key) }.compactMap { file in
                theirs[file.key].map { (file.fileIndex, $0) }
            })
    }

    private func fill(
        _ cache: FakeCache, _ source: FakeSource, donors: [UInt32: CachedFile], pace: CopyPace = CopyPace()
    ) -> ModelFill {
        ModelFill(
            model: cache.model, source: source, pool: pool, limits: FillLimits(maximumTransfers: 4), donors: donors, pace: pace,
            logger: logger)
    }

    /// Right, published, and nothing left behind.
    private func expectRight(_ cache: FakeCache, _ source: FakeSource) throws {
        for file in cache.model.files {
            #expect(file.state == .complete, "\(file.key): \(file.message)")
            let bytes = try Data(contentsOf: URL(filePath: "\(cache.model.directory)/\(file.key)"))
            #expect([UInt8](bytes) == cache.contents[file.key], "\(file.key)")
        }
        #expect(pool.usedBytes == 0 && source.inFlight == 0 && source.complaints.isEmpty, "\(source.complaints)")
    }

    @Test(arguments: [(2, 2), (2, 8), (8, 2)] as [(UInt64, UInt64)])
    func `equal files are copied and only the others are fetched, whatever the chunks`(theirs: UInt64, ours: UInt64) async throws {
        let donor = try await donor(chunkBytes: theirs << 20)
        let cache = try cache(chunkBytes: ours << 20)
        let source = FakeSource(cache.contents)
        let fill = fill(cache, source, donors: donors(donor, for: cache, keys: ["a", "c"]))
        await fill.run()
        try expectRight(cache, source)
        #expect(Set(source.requests.map(\.key)) == ["b"])
        #expect(fill.meter.copiedBytes == 9_000_003 && fill.meter.receivedBytes == 5 << 20)
    }

    @Test func `a chunk that is damaged in the other cache is fetched and never shown`() async throws {
        let donor = try await donor()
        let cache = try cache()
        let handle = try FileHandle(forUpdating: URL(filePath: "\(donor.model.directory)/a"))
        try handle.seek(toOffset: (2 << 20) + 5)
        try handle.write(contentsOf: [0xee])
        try handle.close()
        let source = FakeSource(cache.contents)
        let fill = fill(cache, source, donors: donors(donor, for: cache, keys: ["a", "b", "c"]))
        await fill.run()
        try expectRight(cache, source)
        #expect(source.requests.map { [$0.offset, $0.length] } == [[2 << 20, 2 << 20]])
        #expect(cache.model.files[0].epoch == 1 && fill.meter.refilledFiles == 0, "no reader saw a wrong byte")
    }

    @Test func `when the other cache is evicted in the middle the rest is fetched`() async throws {
        let donor = try await donor()
        let cache = try cache()
        let source = FakeSource(cache.contents)
        let fill = fill(cache, source, donors: donors(donor, for: cache, keys: ["a", "b", "c"]))
        let busy = await BusyThreads(.copies)
        let run = Task { await fill.run() }
        await fill.demand(file: 0, offset: 4 << 20, length: 1)
        let file = cache.model.files[0]
        try await eventually("a demand does not wait for other copies") { file.isVisible(2) }
        try donor.root.evict(donor.model)
        busy.release()
        await run.value
        try expectRight(cache, source)
        #expect(source.requests.allSatisfy { $0.key != "a" || $0.offset != 4 << 20 }, "what was copied is not fetched")
        #expect(fill.meter.copiedBytes >= 2 << 20 && fill.meter.receivedBytes == 9_000_003 + (5 << 20) - fill.meter.copiedBytes)
    }

    @Test func `units whose donor is forgotten before they begin are told as missing, and the copy ends`() async throws {
        let donor = try await donor()
        let cache = try cache()
        let copy = try #require(
            LocalCopy(
                cache.model.current, from: donors(donor, for: cache, keys: ["a", "b"]), pace: nil, blockBytes: nil,
                meter: FillMeter(), logger: logger, model: cache.model))
        let missing = Mutex<[Int: Set<Int>]>([:]), ended = Mutex<[Int]>([])
        let busy = await BusyThreads(.copies)
        copy.start { event in
            switch event {
            case .copied: Issue.record("there is nothing to copy from")
            case .missing(let file, let chunks, _): missing.withLock { $0[file, default: []].formUnion(chunks) }
            case .ended(let file): ended.withLock { $0.append(file) }
            }
        }
        copy.forgetDonors()
        busy.release()
        await copy.finished()
        let files = cache.model.current.files.enumerated().filter { ["a", "b"].contains($0.element.key) }
        #expect(missing.withLock { $0 } == Dictionary(uniqueKeysWithValues: files.map { ($0.offset, Set(0..<$0.element.chunkCount)) }))
        #expect(ended.withLock { $0.sorted() } == files.map(\.offset))
    }

    @Test func `a reader that waits for what cannot be copied gets it from the store before all else`() async throws {
        let donor = try await donor()
        let cache = try cache()
        let donors = donors(donor, for: cache, keys: ["a"])
        try donor.root.evict(donor.model)
        let source = FakeSource(cache.contents) { _, range in range.key == "a" ? .none : .hangs }
        let fill = fill(cache, source, donors: donors)
        let run = Task { await fill.run() }
        await fill.demand(file: 0, offset: 6 << 20, length: 1)
        let file = cache.model.files[0]
        try await eventually("the demanded chunk is there") { file.isVisible(3) }
        await fill.stop()
        await run.value
        #expect(pool.usedBytes == 0 && source.inFlight == 0)
    }

    @Test func `a stop ends the copy, and the next fill goes on`() async throws {
        let donor = try await donor()
        let cache = try cache()
        let source = FakeSource(cache.contents)
        let busy = await BusyThreads(.copies)
        let stopped = fill(cache, source, donors: donors(donor, for: cache, keys: ["a", "b", "c"]))
        let run = Task { await stopped.run() }
        await stopped.demand(file: 0, offset: 0, length: 1)
        try await eventually("the first chunk is copied") { cache.model.files[0].isReceived(0) }
        await stopped.stop()
        busy.release()
        await run.value
        #expect(stopped.failure == nil && cache.model.files[0].state == .filling)
        let next = fill(cache, source, donors: donors(donor, for: cache, keys: ["a", "b", "c"]))
        await next.run()
        try expectRight(cache, source)
        #expect(source.requests.isEmpty)
    }

    @Test func `a fill that is stopped before it runs ends`() async throws {
        let donor = try await donor()
        let cache = try cache()
        let fill = fill(cache, FakeSource(cache.contents), donors: donors(donor, for: cache, keys: ["a"]))
        await fill.stop()
        await fill.run()
        #expect(fill.failure == nil && cache.model.files[0].state == .filling)
    }

    @Test func `two caches are filled from one at the same time`() async throws {
        let donor = try await donor()
        let caches = try [cache("first"), cache("second")]
        let sources = caches.map { FakeSource($0.contents) }
        let fills = zip(caches, sources).map { fill($0, $1, donors: donors(donor, for: $0, keys: ["a", "b", "c"])) }
        await withTaskGroup(of: Void.self) { group in for fill in fills { group.addTask { await fill.run() } } }
        for (cache, source) in zip(caches, sources) {
            try expectRight(cache, source)
            #expect(source.requests.isEmpty)
        }
    }

    @Test func `files of a donor that brings nothing are fetched, and what was copied is not`() async throws {
        let donor = try await donor()
        let cache = try cache()
        let source = FakeSource(cache.contents)
        let busy = await BusyThreads(.copies)
        let file = cache.model.files[0]
        // A stalled disk of which only demands bring anything.
        let fill = fill(
            cache, source, donors: donors(donor, for: cache, keys: ["a", "b", "c"]), pace: CopyPace(patience: .milliseconds(200)))
        await fill.demand(file: 0, offset: 4 << 20, length: 1)
        let run = Task { await fill.run() }
        try await eventually("the demanded chunk is there") { file.isVisible(2) }
        await run.value
        busy.release()
        try expectRight(cache, source)
        #expect(fill.meter.copiedBytes + fill.meter.receivedBytes == 9_000_003 + (5 << 20), "nothing came twice")
    }

    @Test func `a reader's wait for a copy is told as that`() async throws {
        let donor = try await donor()
        let cache = try cache()
        let copies = await BusyThreads(.copies)
        let demands = await BusyThreads(.awaitedCopies)
        let fill = fill(
            cache, FakeSource(cache.contents), donors: donors(donor, for: cache, keys: ["a", "b", "c"]),
            pace: CopyPace(patience: .seconds(3600)))
        await fill.demand(file: 0, offset: 0, length: 1)
        let run = Task { await fill.run() }
        try await eventually("it is counted") { fill.meter.waits[.copy] > .zero }
        let waits = fill.meter.waits
        #expect(waits.total == waits[.copy])
        demands.release()
        copies.release()
        await run.value
    }

    @Test func `a store that is away fails what only it has, and what is copied is complete`() async throws {
        let donor = try await donor()
        let cache = try cache()
        let source = FakeSource(cache.contents) { _, _ in .fails(StoreError(.wrongSecret, detail: "refused", status: 403), after: 0) }
        let fill = fill(cache, source, donors: donors(donor, for: cache, keys: ["a", "c"]))
        await fill.run()
        #expect(cache.model.files.map(\.state) == [.complete, .failed, .complete])
    }

    // MARK: A disk that hangs

    /// A donor on a disk of which no read returns until ``frees()``.
    private final class HungDonor: Sendable {
        let cache: FakeCache
        private let gate = DispatchSemaphore(value: 0)
        private let begun = Mutex(0)

        /// Reads that have begun.
        var reads: Int { begun.withLock { $0 } }

        init(_ cache: FakeCache) {
            self.cache = cache
            for file in cache.model.files {
                file.onReadForCopy { [self] in
                    begun.withLock { $0 += 1 }
                    gate.wait()
                }
            }
        }

        /// The reads that hang bring wrong bytes; returns once what follows them is over.
        func frees() async throws {
            for file in cache.model.files {
                file.onReadForCopy(nil)
                let handle = try FileHandle(forUpdating: URL(filePath: "\(cache.model.directory)/\(file.key)"))
                try handle.write(contentsOf: [UInt8](repeating: 0xee, count: Int(file.size)))
                try handle.close()
            }
            for _ in 0..<reads { gate.signal() }
            for lane in [BlockingWork.Lane.copies, .awaitedCopies] { await BusyThreads(lane).release() }
        }
    }

    /// A fill that waits for a donor whose disk hangs, in every thread that copies.
    private func hangingFill(
        of cache: FakeCache, from donor: HungDonor, pace: CopyPace = CopyPace()
    ) async throws -> (fill: ModelFill, source: FakeSource, run: Task<Void, Never>) {
        let source = FakeSource(cache.contents)
        let fill = fill(cache, source, donors: donors(donor.cache, for: cache, keys: ["a", "b", "c"]), pace: pace)
        let run = Task { await fill.run() }
        await fill.demand(file: 0, offset: 4 << 20, length: 1)
        try await eventually("every thread of copies hangs") { donor.reads == BlockingWork.Lane.copies.threads + 1 }
        return (fill, source, run)
    }

    @Test func `a stop waits for no donor whose disk hangs, and other writers have its chunks`() async throws {
        let donor = HungDonor(try await donor(medium: .disk))
        let cache = try cache()
        let (stopped, source, run) = try await hangingFill(of: cache, from: donor)
        await stopped.stop()
        await run.value
        try await eventually("the next fill has all") {
            let next = fill(cache, source, donors: [:])
            await next.run()
            return cache.model.files.allSatisfy { $0.state == .complete }
        }
        try await donor.frees()
        try expectRight(cache, source)
        #expect(stopped.meter.copiedBytes == 0)
    }

    @Test func `an eviction waits for no donor whose disk hangs, and what comes from it later is written nowhere`() async throws {
        let donor = HungDonor(try await donor(medium: .disk))
        let cache = try cache()
        let (fill, swarm) = try await swarmFill(
            cache, FakeSource(cache.contents), donors: donors(donor.cache, for: cache, keys: ["a", "b"]))
        let run = Task { await fill.run() }
        try await eventually("every thread of copies hangs") { donor.reads == BlockingWork.Lane.copies.threads }
        await fill.close()
        await run.value
        try cache.root.evict(cache.model)
        let next = try cache.root.open(cache.model.manifest)
        try await donor.frees()
        #expect(next.files.allSatisfy { $0.receivedChunks == 0 && $0.state == .filling })
        await swarm.shutDown()
    }

    @Test func `a reader waits for a donor whose disk hangs for a few seconds, and then all of it is fetched`() async throws {
        let donor = HungDonor(try await donor(medium: .disk))
        let cache = try cache()
        let (fill, source, run) = try await hangingFill(of: cache, from: donor, pace: CopyPace(patience: .seconds(3600)))
        await run.value
        #expect(fill.meter.copiedBytes == 0)
        try await donor.frees()
        try expectRight(cache, source)
    }

    @Test func `a donor whose disk hangs is given up though the store has refused the other files`() async throws {
        let donor = HungDonor(try await donor(medium: .disk))
        let cache = try cache()
        let source = FakeSource(cache.contents) { _, _ in .fails(StoreError(.wrongSecret, detail: "no", status: 403), after: 0) }
        let fill = fill(cache, source, donors: donors(donor.cache, for: cache, keys: ["a", "c"]))
        let run = Task { await fill.run() }
        try await eventually("the fill is over") { cache.model.files.allSatisfy { $0.state == .failed } }
        await run.value
        try await donor.frees()
        #expect(pool.usedBytes == 0 && fill.meter.copiedBytes == 0)
    }

    @Test(arguments: [false, true])
    func `a fill does not wait for threads that hang on another's donor`(isRefused: Bool) async throws {
        let hung = HungDonor(try await donor(medium: .disk))
        let good = try await donor("good", medium: .disk)
        let (first, second) = try (cache(), cache("second"))
        let (_, firstSource, firstRun) = try await hangingFill(of: first, from: hung)
        let source = FakeSource(second.contents) { _, _ in
            isRefused ? .fails(StoreError(.noSuchKey, detail: "no"), after: 0) : .none
        }
        // With a probe that the store refuses, and without one.
        let fill = fill(
            second, source, donors: donors(good, for: second, keys: ["a", "b", "c"]),
            pace: CopyPace(patience: isRefused ? .milliseconds(200) : .seconds(3600)))
        let run = Task { await fill.run() }
        try await eventually("the second fill is over") { second.model.files.allSatisfy { $0.state != .filling } }
        await run.value
        await firstRun.value
        try await hung.frees()
        try expectRight(first, firstSource)
        if isRefused {
            #expect(fill.failure == .store(.noSuchKey))
        } else {
            try expectRight(second, source)
        }
    }

    /// A fill that left to the store what is slow to copy; the store has refused it. The donor's files go with the donor.
    private func refusedFill(
        of cache: FakeCache, _ kind: StoreError.Kind
    ) async throws -> (fill: ModelFill, donor: FakeCache, source: FakeSource, busy: BusyThreads, run: Task<Void, Never>) {
        let donor = try await donor()
        let source = FakeSource(cache.contents) { _, _ in .fails(StoreError(kind, detail: "no"), after: 0) }
        let busy = await BusyThreads(.copies)
        let fill = fill(
            cache, source, donors: donors(donor, for: cache, keys: ["a", "b", "c"]), pace: CopyPace(patience: .milliseconds(200)))
        let run = Task { await fill.run() }
        try await eventually("the store was asked") { source.requests.count > 0 && source.inFlight == 0 }
        return (fill, donor, source, busy, run)
    }

    @Test func `a reader that waits while the store did not give what a slow copy left to it is served first`() async throws {
        let cache = try cache()
        let (fill, donor, source, busy, run) = try await refusedFill(of: cache, .noSuchKey)
        defer { withExtendedLifetime(donor) {} }
        try await isServed(fill, cache, source)
        busy.release()
        await run.value
        try expectRight(cache, source)
    }

    /// A reader waits for a chunk that was left to the store, and has it while the other copies wait.
    private func isServed(_ fill: any Fill, _ cache: FakeCache, _ source: FakeSource) async throws {
        let request = try #require(source.requests.first)
        let index = try #require(cache.model.files.firstIndex { $0.key == request.key })
        await fill.demand(file: index, offset: request.offset, length: 1)
        let file = cache.model.files[index]
        try await eventually("the demanded chunk is there") { file.isVisible(Int(request.offset / file.chunkBytes)) }
    }

    @Test(arguments: [StoreError.Kind.noSuchKey, .wrongSecret])
    func `a store that does not give what a slow copy left to it fails no file that the donor has`(kind: StoreError.Kind) async throws {
        let cache = try cache()
        let (fill, donor, source, busy, run) = try await refusedFill(of: cache, kind)
        defer { withExtendedLifetime(donor) {} }
        #expect(cache.model.files.allSatisfy { $0.state != .failed })
        busy.release()
        await run.value
        try expectRight(cache, source)
        #expect(fill.failure == nil && fill.meter.copiedBytes == 9_000_003 + (5 << 20))
    }

    @Test func `a stop ends the copy of what the store did not give, and fails nothing`() async throws {
        let cache = try cache()
        let (fill, donor, _, busy, run) = try await refusedFill(of: cache, .wrongSecret)
        defer { withExtendedLifetime(donor) {} }
        await fill.stop()
        await run.value
        busy.release()
        #expect(cache.model.files.allSatisfy { $0.state == .filling })
    }

    // MARK: Together with other nodes

    private func swarmFill(
        _ cache: FakeCache, _ source: FakeSource, donors: [UInt32: CachedFile], pace: CopyPace = CopyPace(), logger: Logger? = nil
    ) async throws -> (SwarmFill, Swarm) {
        let logger = logger ?? self.logger
        let peers = folder.file("peers")
        try "".write(toFile: peers, atomically: true, encoding: .utf8)
        let swarm = try Swarm(
            SwarmConfiguration(peers: .file(peers), listen: PeerAddress(host: "127.0.0.1", port: 0)),
            secrets: { [Array("a secret of thirty-two bytes, at least".utf8)] }, logger: logger)
        try await swarm.start()
        let fill = SwarmFill(
            model: cache.model, source: source, swarm: swarm, peerEngine: try TransferEngine(TransferEngineConfiguration(threads: 1)),
            pool: pool, limits: FillLimits(maximumTransfers: 8), donors: donors, pace: pace, logger: logger)
        return (fill, swarm)
    }

    @Test func `a node of a swarm copies what it has and shares it`() async throws {
        let donor = try await donor()
        let cache = try cache()
        let source = FakeSource(cache.contents)
        let (fill, swarm) = try await swarmFill(cache, source, donors: donors(donor, for: cache, keys: ["a", "c"]))
        await fill.run()
        try expectRight(cache, source)
        #expect(Set(source.requests.map(\.key)) == ["b"])
        let report = await fill.report()
        #expect(report.heldBlocks == report.blocks && fill.meter.copiedBytes == 9_000_003)
        await fill.close()
        await swarm.shutDown()
    }

    @Test func `a node of a swarm fetches what a cache that is gone had, and a damaged chunk`() async throws {
        let donor = try await donor()
        let cache = try cache()
        let handle = try FileHandle(forUpdating: URL(filePath: "\(donor.model.directory)/a"))
        try handle.seek(toOffset: (2 << 20) + 5)
        try handle.write(contentsOf: [0xee])
        try handle.close()
        let source = FakeSource(cache.contents)
        let busy = await BusyThreads(.copies)
        let (fill, swarm) = try await swarmFill(cache, source, donors: donors(donor, for: cache, keys: ["a", "b", "c"]))
        let run = Task { await fill.run() }
        // The damaged one and a right one, for readers.
        await fill.demand(file: 0, offset: 2 << 20, length: 1)
        await fill.demand(file: 0, offset: 4 << 20, length: 1)
        let file = cache.model.files[0]
        try await eventually("both are visible") { file.isVisible(1) && file.isVisible(2) }
        try donor.root.evict(donor.model)
        busy.release()
        await run.value
        try expectRight(cache, source)
        #expect(file.epoch == 1 && source.requests.allSatisfy { $0.key != "a" || !(4 << 20..<6 << 20).contains($0.offset) })
        await fill.close()
        await swarm.shutDown()
    }

    @Test func `a node of a swarm fetches what a donor that brings nothing has`() async throws {
        let donor = try await donor()
        let cache = try cache()
        let source = FakeSource(cache.contents)
        let busy = await BusyThreads(.copies)
        let (fill, swarm) = try await swarmFill(
            cache, source, donors: donors(donor, for: cache, keys: ["a", "b", "c"]), pace: CopyPace(patience: .milliseconds(200)))
        await fill.run()
        busy.release()
        try expectRight(cache, source)
        #expect(fill.meter.copiedBytes == 0)
        await fill.close()
        await swarm.shutDown()
    }

    @Test(arguments: [StoreError.Kind.noSuchKey, .wrongSecret])
    func `in a swarm too a slow copy brings what the store did not give`(kind: StoreError.Kind) async throws {
        let donor = try await donor()
        let cache = try cache()
        let source = FakeSource(cache.contents) { _, _ in .fails(StoreError(kind, detail: "no"), after: 0) }
        let busy = await BusyThreads(.copies)
        let (fill, swarm) = try await swarmFill(
            cache, source, donors: donors(donor, for: cache, keys: ["a", "b", "c"]), pace: CopyPace(patience: .milliseconds(200)))
        let run = Task { await fill.run() }
        try await eventually("the store was asked") { source.requests.count > 0 && source.inFlight == 0 }
        #expect(cache.model.files.allSatisfy { $0.state != .failed })
        busy.release()
        await run.value
        try expectRight(cache, source)
        #expect(fill.failure == nil)
        await fill.close()
        await swarm.shutDown()
    }

    @Test func `in a swarm too a reader that waits for what the store did not give is served first`() async throws {
        let donor = try await donor()
        let cache = try cache()
        let source = FakeSource(cache.contents) { _, _ in .fails(StoreError(.wrongSecret, detail: "no"), after: 0) }
        let busy = await BusyThreads(.copies)
        let (fill, swarm) = try await swarmFill(
            cache, source, donors: donors(donor, for: cache, keys: ["a", "b", "c"]), pace: CopyPace(patience: .milliseconds(200)))
        let run = Task { await fill.run() }
        try await eventually("the store was asked") { source.requests.count > 0 && source.inFlight == 0 }
        try await isServed(fill, cache, source)
        busy.release()
        await run.value
        try expectRight(cache, source)
        await fill.close()
        await swarm.shutDown()
    }

    @Test func `in a swarm a store that refuses what a slow copy left to it fails no file of which nothing was left`() async throws {
        let files = ["a": 12 << 20, "b": 12 << 20, "c": 12 << 20]
        let donor = try await donor(files: files)
        let cache = try cache(files: files)
        let source = FakeSource(cache.contents) { _, _ in .fails(StoreError(.wrongSecret, detail: "no"), after: 0) }
        let busy = await BusyThreads(.copies)
        let copies = Copies()
        let (fill, swarm) = try await swarmFill(
            cache, source, donors: donors(donor, for: cache, keys: ["a", "b", "c"]), pace: CopyPace(patience: .milliseconds(200)),
            logger: Logger(label: "test") { _ in copies })
        let run = Task { await fill.run() }
        try await eventually("the copy of the rest begins") { copies.begun == 2 }
        busy.release()
        await run.value
        try expectRight(cache, source)
        #expect(Set(source.requests.map(\.key)).isSubset(of: ["b", "c"]) && fill.failure == nil)
        await fill.close()
        await swarm.shutDown()
    }

    /// Counts the copies that have begun, as the log tells them.
    private final class Copies: LogHandler, Sendable {
        private let count = Atomic<Int>(0)
        var begun: Int { count.load(ordering: .relaxed) }

        var metadata: Logger.Metadata { get { [:] } set {} }
        var logLevel: Logger.Level { get { .info } set {} }
        subscript(metadataKey key: String) -> Logger.Metadata.Value? { get { nil } set {} }

        func log(event: LogEvent) {
            if "\(event.message)".hasPrefix("files are copied") { count.wrappingAdd(1, ordering: .relaxed) }
        }
    }

    @Test func `in a swarm a reader's wait for a copy is told as that`() async throws {
        let donor = try await donor()
        let cache = try cache()
        let copies = await BusyThreads(.copies)
        let demands = await BusyThreads(.awaitedCopies)
        let (fill, swarm) = try await swarmFill(
            cache, FakeSource(cache.contents), donors: donors(donor, for: cache, keys: ["a", "b", "c"]),
            pace: CopyPace(patience: .seconds(3600)))
        let run = Task { await fill.run() }
        await fill.demand(file: 0, offset: 4 << 20, length: 1)
        try await eventually("it is counted") { fill.meter.waits[.copy] > .zero }
        let waits = fill.meter.waits
        #expect(waits.total == waits[.copy])
        demands.release()
        copies.release()
        await run.value
        await fill.close()
        await swarm.shutDown()
    }
}
