import ChunkStore
import Foundation
import TestSupport
import Testing

/// A real process that fills a cache and is killed with SIGKILL. It is this test program again, told by a variable of the
/// environment to run the one test that is the child.
@Suite(.serialized) struct KillTests {
    private static let variable = "MODELCACHE_TEST_KILLED_CHILD"
    private static let childRoot = ProcessInfo.processInfo.environment[variable]
    private static let bytes = pattern((40 << 20) + 5, seed: 21)

    private static func open(_ path: String) throws -> (CacheDirectory, CachedModel) {
        let disk = path.hasSuffix("-disk")
        let root = try CacheDirectory(root: path, .models, medium: .init(preference: disk ? .disk : .automatic))
        return (root, try root.open(try manifest([("d/x", bytes)])))
    }

    /// Two threads fill, publish, take back and fill again, for ever.
    @Test(.enabled(if: childRoot != nil)) func theChildFillsUntilItIsKilled() throws {
        // A child whose parent is gone must not stay.
        alarm(60)
        let (root, model) = try KillTests.open(try #require(KillTests.childRoot))
        defer { root.close() }
        let file = model.files[0]
        let pool = StagingPool(limitBytes: 4 << 20)
        while true {
            DispatchQueue.concurrentPerform(iterations: 2) { thread in
                do {
                    for chunk in file.missingChunks() where chunk % 2 == thread {
                        let writer = try file.writer(ofChunk: chunk, pool: pool)
                        let range = writer.range
                        for offset in stride(from: Int(range.lowerBound), to: Int(range.upperBound), by: 64 << 10) {
                            try KillTests.bytes[offset..<min(offset + (64 << 10), Int(range.upperBound))]
                                .withUnsafeBytes { try writer.append($0) }
                        }
                        _ = try writer.finish()
                    }
                } catch { Issue.record(error) }
            }
            #expect(try file.complete() == .published(.verified))
            file.invalidate(reason: "once more")
        }
    }

    @Test(.enabled(if: childRoot == nil), arguments: 0..<8)
    func whatAKilledAgentHadIsThereAndTrue(_ round: Int) async throws {
        var random = SeededRandom(seed: UInt64(round))
        let scratch = Scratch()
        let path = scratch.path + (round % 2 == 0 ? "" : "-disk")
        defer {
            for name in (try? FileManager.default.contentsOfDirectory(atPath: path + "/models")) ?? [] {
                umount2("\(path)/models/\(name)", Int32(MNT_DETACH))
            }
            try? FileManager.default.removeItem(atPath: path)
        }
        let child = Process()
        child.executableURL = URL(fileURLWithPath: try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
        child.arguments = ["--testing-library", "swift-testing", "--filter", "theChildFillsUntilItIsKilled"]
        child.environment = ProcessInfo.processInfo.environment.merging([KillTests.variable: path]) { $1 }
        child.standardOutput = FileHandle.nullDevice
        child.standardError = FileHandle.nullDevice
        try child.run()

        // The first rounds in the middle of the first fill, the others anywhere, publication and invalidation included.
        let presence = "\(path)/models/\(identity.directoryName)/.presence/d/x"
        let deadline = ContinuousClock.now + .seconds(120)
        var before = Set<Int>()
        var epoch = UInt32(0)
        while ContinuousClock.now < deadline {
            let (epochBefore, earlier) = (epoch, before)
            epoch = self.epoch(presence)
            before = chunks(presence)
            // An invalidation counts the epoch first and clears the bits then: bits that have grown within an epoch are its own.
            if epoch == epochBefore, before.count > round, before.isStrictSuperset(of: earlier) { break }
            usleep(500)
        }
        if round >= 4 { usleep(UInt32.random(in: 0..<300_000, using: &random)) }
        kill(child.processIdentifier, SIGKILL)
        child.waitUntilExit()
        try #require(child.terminationReason == .uncaughtSignal && !before.isEmpty, "the child did not run")

        let left = chunks(presence)
        // A child that had gone on to its next fill by then has rightly fewer.
        if self.epoch(presence) == epoch { #expect(left.isSuperset(of: before)) }
        let (root, model) = try KillTests.open(path)
        defer { root.close() }
        await model.checked()
        let file = model.files[0]
        #expect(try receivedAndRight(model, file, KillTests.bytes).isSuperset(of: left), "nothing that was shown is lost")
        for chunk in 0..<file.chunkCount { #expect(file.isVisible(chunk) == file.isReceived(chunk)) }
        #expect((file.state == .complete) == exists(model.directory + "/d/x"))
        if file.state == .complete { #expect(try read(model.directory + "/d/x") == KillTests.bytes) }
        let pool = StagingPool(limitBytes: 4 << 20)
        try fillAll(file, from: KillTests.bytes, pool: pool)
        #expect(try file.complete() == .published(.verified))
        #expect(try read(model.directory + "/d/x") == KillTests.bytes)
    }

    /// Greater after each invalidation (`mc_presence_header.epoch`).
    private func epoch(_ presence: String) -> UInt32 {
        guard let bytes = try? read(presence), bytes.count > 520 else { return 0 }
        return bytes[48..<52].reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }

    /// The `visible` bits, as a reader finds them.
    private func chunks(_ presence: String) -> Set<Int> {
        guard let bytes = try? read(presence), bytes.count > 520 else { return [] }
        return Set((0..<64).filter { bytes[512 + $0 / 8] >> UInt8($0 % 8) & 1 == 1 })
    }
}
