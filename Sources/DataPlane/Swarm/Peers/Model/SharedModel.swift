public import ChunkStore
internal import Synchronization

/// One model as this node shares it: which blocks are here, with their digests, and which are arriving.
///
/// Written by the fill, read by the server; any thread may call anything.
public final class SharedModel: Sendable {
    public enum BlockState: Sendable {
        case absent
        case arriving(Arrival)
        case held
    }

    public let layout: BlockLayout
    public let identity: SwarmIdentity
    /// The files that are shared; a later set of the model is shared by another value.
    public let set: FileSet
    var files: [CachedFile] { self.set.files }
    /// The owner of what is asked of `BlockingWork` for it.
    let work: WorkOwner
    /// Whether a read of the files may wait for a disk.
    var isOnDisk: Bool { work.isOnDisk }

    private struct State {
        /// CRC-64 of held blocks.
        var digests: [UInt64?]
        var held = 0
        var arriving: [Int: Arrival] = [:]
    }
    private let state: Mutex<State>
    private let served = Atomic<Int64>(0)
    private let told = Atomic<Int64>(0)
    private let pacer = UploadPacer()

    public init(_ model: CachedModel) {
        let set = model.current
        self.set = set
        work = model.work
        layout = BlockLayout(set.manifest)
        identity = SwarmIdentity(generation: set.manifest.generation.bytes, model: model.id)
        state = Mutex(State(digests: Array(repeating: nil, count: layout.count)))
    }

    /// Body bytes sent to peers.
    public var servedBytes: Int64 { served.load(ordering: .relaxed) }
    func didServe(_ bytes: Int) { served.wrappingAdd(Int64(bytes), ordering: .relaxed) }
    /// Bytes of the messages sent to peers about who holds what.
    public var controlBytes: Int64 { told.load(ordering: .relaxed) }
    func didTell(_ bytes: Int) { told.wrappingAdd(Int64(bytes), ordering: .relaxed) }

    /// Most bytes a second to all peers together; nil: no limit.
    public func limitUploads(bytesPerSecond: Int64?) { pacer.set(bytesPerSecond: bytesPerSecond) }
    /// Nanoseconds to wait before so many bytes may leave.
    func reserveUpload(bytes: Int) -> Int64 { pacer.reserve(bytes: bytes) }
    var paces: Bool { pacer.isCapped }

    // MARK: Blocks

    public var heldCount: Int { state.withLock { $0.held } }

    public func blockState(_ block: Int) -> BlockState {
        state.withLock { state in
            if state.digests[block] != nil { return .held }
            return state.arriving[block].map { .arriving($0) } ?? .absent
        }
    }

    public func digest(of block: Int) -> UInt64? { state.withLock { $0.digests[block] } }

    /// As ranges, ascending.
    public var heldRanges: [Range<Int>] {
        state.withLock { state in
            var ranges: [Range<Int>] = []
            for (block, digest) in state.digests.enumerated() where digest != nil {
                if let last = ranges.last, last.upperBound == block {
                    ranges[ranges.count - 1] = last.lowerBound..<block + 1
                } else {
                    ranges.append(block..<block + 1)
                }
            }
            return ranges
        }
    }

    /// The block is in the file and was found right.
    public func hold(_ block: Int, digest: UInt64) {
        state.withLock { state in
            if state.digests[block] == nil { state.held += 1 }
            state.digests[block] = digest
            state.arriving[block] = nil
        }
    }

    public func begin(_ block: Int, _ arrival: Arrival) { state.withLock { $0.arriving[block] = arrival } }

    /// A transfer ended without its block.
    public func end(_ block: Int, _ arrival: Arrival) {
        arrival.fail()
        state.withLock { if $0.arriving[block] === arrival { $0.arriving[block] = nil } }
    }

    /// The blocks' bytes turned out wrong, or are gone.
    public func lose(_ blocks: Range<Int>) {
        state.withLock { state in
            for block in blocks where state.digests[block] != nil {
                state.digests[block] = nil
                state.held -= 1
            }
        }
    }
}
