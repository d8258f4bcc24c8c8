import ChunkStore
import Checksum
import Foundation
import ObjectStore
import RangeTransfer
import Synchronization
import Transfer

/// A store in memory that runs each transfer on a task of its own, and refuses what the engine never does or never
/// allows: two transfers of one byte at a time, an empty range, a transfer that ends twice.
final class FakeSource: RangeSource, Sendable {
    enum Fault: Sendable {
        case none
        /// Fails after so many bytes.
        case fails(StoreError, after: Int)
        /// Brings nothing until it is cancelled.
        case hangs
    }

    final class Transfer: RunningTransfer, Sendable {
        let flags = Mutex((isCancelled: false, hasEnded: false))
        let isPaused = Mutex(false)
        func cancel() { flags.withLock { $0.isCancelled = true } }
        func pause() { isPaused.withLock { $0 = true } }
        func resume() { isPaused.withLock { $0 = false } }
    }

    private struct State {
        var requests: [ObjectRange] = []
        var active: [String: [Range<UInt64>]] = [:]
        var complaints: [String] = []
        var mostAtOnce = 0
        var inFlight = 0
        var transfers: [Transfer] = []
    }

    let name = "http://fake"
    private let contents: [String: [UInt8]]
    private let fault: @Sendable (_ request: Int, ObjectRange) -> Fault
    /// Time that a piece of 256 KiB takes.
    private let pieceTime: Duration
    private let state = Mutex(State())

    init(
        _ contents: [String: [UInt8]], pieceTime: Duration = .zero,
        fault: @escaping @Sendable (_ request: Int, ObjectRange) -> Fault = { _, _ in .none }
    ) {
        self.contents = contents
        self.pieceTime = pieceTime
        self.fault = fault
    }

    var requests: [ObjectRange] { state.withLock { $0.requests } }
    var complaints: [String] { state.withLock { $0.complaints } }
    var inFlight: Int { state.withLock { $0.inFlight } }
    var mostAtOnce: Int { state.withLock { $0.mostAtOnce } }
    /// Transfers under way that were told to rest.
    var paused: Int {
        state.withLock { state in
            state.transfers.count { $0.isPaused.withLock { $0 } && !$0.flags.withLock { $0.hasEnded } }
        }
    }

    func get(
        _ range: ObjectRange, into sink: any RangeSink, completion: @escaping @Sendable (Result<Void, StoreError>) -> Void
    ) -> any RunningTransfer {
        let bytes = range.offset..<range.offset + range.length
        let transfer = Transfer()
        let number = state.withLock { state in
            if state.active[range.key, default: []].contains(where: { $0.overlaps(bytes) }) {
                state.complaints.append("a second transfer of \(range.key) \(bytes)")
            }
            if range.length == 0 { state.complaints.append("an empty range of \(range.key)") }
            state.active[range.key, default: []].append(bytes)
            state.requests.append(range)
            state.transfers.append(transfer)
            state.inFlight += 1
            state.mostAtOnce = max(state.mostAtOnce, state.inFlight)
            return state.requests.count
        }
        let fault = fault(number, range)
        Task.detached {
            let result = await self.run(range, sink, transfer, fault)
            self.state.withLock { state in
                state.active[range.key]?.removeAll { $0 == bytes }
                state.inFlight -= 1
                if transfer.flags.withLock({ flags in defer { flags.hasEnded = true }; return flags.hasEnded }) {
                    state.complaints.append("a transfer ended twice")
                }
            }
            completion(result)
        }
        return transfer
    }

    private func run(_ range: ObjectRange, _ sink: any RangeSink, _ transfer: Transfer, _ fault: Fault) async -> Result<Void, StoreError> {
        guard let content = contents[range.key] else { return .failure(StoreError(.noSuchKey, detail: "\(range.key) is not there")) }
        var sent = 0
        while sent < Int(range.length) {
            let (isCancelled, _) = transfer.flags.withLock { $0 }
            if isCancelled { return .failure(StoreError(.cancelled, detail: "cancelled")) }
            if case .fails(let error, let after) = fault, sent >= after { return .failure(error) }
            if case .hangs = fault {
                try? await Task.sleep(for: .milliseconds(1))
                continue
            }
            if transfer.isPaused.withLock({ $0 }) {
                try? await Task.sleep(for: .milliseconds(1))
                continue
            }
            if pieceTime > .zero { try? await Task.sleep(for: pieceTime) }
            var count = min(256 << 10, Int(range.length) - sent)
            if case .fails(_, let after) = fault { count = min(count, max(1, after - sent)) }
            let piece = content[Int(range.offset) + sent..<Int(range.offset) + sent + count]
            do {
                try piece.withUnsafeBytes { try sink.receive($0) }
            } catch {
                return .failure(StoreError(.sink, detail: "\(error)"))
            }
            sent += count
        }
        return .success(())
    }
}

/// A cache with one model, in a folder of its own.
struct FakeCache {
    let root: CacheDirectory
    let model: CachedModel
    let contents: [String: [UInt8]]

    private static func bytes(_ count: Int, seed: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: seed), count: count)
        // Every 512 bytes another pattern, so that a block at a wrong place is seen.
        for index in stride(from: 0, to: count, by: 512) { bytes[index] = UInt8(truncatingIfNeeded: index >> 9) }
        return bytes
    }

    /// - Parameter beginnings: the first bytes of some files, in place of a pattern's.
    init(
        folder: String, files: [String: Int], prefix: String = "m/", wrongCRC: String? = nil, beginnings: [String: [UInt8]] = [:],
        medium: MediumOptions.Preference = .directory, chunkBytes: UInt64 = 2 << 20
    ) throws {
        root = try CacheDirectory(root: folder, .models, medium: .init(preference: medium))
        var contents: [String: [UInt8]] = [:]
        for (key, size) in files { contents[key] = Self.bytes(size, seed: key.utf8.count) }
        for (key, bytes) in beginnings { contents[key]?.replaceSubrange(..<bytes.count, with: bytes) }
        self.contents = contents
        let entries = contents.sorted { $0.key < $1.key }.map { key, bytes in
            ManifestFile(
                key: key, size: UInt64(bytes.count), etag: "e",
                checksums: .init(crc64: key == wrongCRC ? 1 : mc_crc64(0, bytes, bytes.count)))
        }
        let identity = SourceIdentity(endpoint: "http://fake", bucket: "b", prefix: prefix)
        model = try root.open(try Manifest(identity: identity, files: entries, chunkBytes: chunkBytes))
    }
}
