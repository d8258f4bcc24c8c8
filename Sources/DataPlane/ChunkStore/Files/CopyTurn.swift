internal import Synchronization

/// One copy of some chunks from a file of another cache, which may be given up while it waits for that cache's disk.
///
/// A read of a disk that hangs cannot be ended. So what such a read brings goes into a buffer of its own, and the cache
/// that is filled is written to only while the copy has not been given up. Any thread may call anything.
public final class CopyTurn: Sendable {
    private enum Phase {
        case waiting
        /// Of the donor.
        case reading
        case writing
        case over
    }
    private struct State {
        var phase = Phase.waiting
        /// A read writes nothing to the file.
        var readsAside = false
        var isGivenUp = false
        var assemblies: [ChunkAssembly] = []
        var steps = 0
    }
    private let state = Mutex(State())

    public init() {}

    /// Grows while the copy goes on: at least once for each 2 MiB.
    public var steps: Int { state.withLock { $0.steps } }

    /// Gives the copy up: from now on nothing of it is written, and other writers may have its chunks. Never blocks.
    ///
    /// - Returns: false: it writes just now, or cannot be given up, and ends soon by itself; or it has ended.
    public func giveUp() -> Bool {
        let assemblies: [ChunkAssembly]? = state.withLock { state in
            state.isGivenUp = true
            switch state.phase {
            case .waiting: state.phase = .over
            case .reading where state.readsAside: state.phase = .over
            case .reading, .writing, .over: return nil
            }
            defer { state.assemblies = [] }
            return state.assemblies
        }
        guard let assemblies else { return false }
        for assembly in assemblies { assembly.abort() }
        return true
    }

    // MARK: The copy

    /// - Parameter readsAside: no byte of the donor is read into the file itself.
    /// - Returns: false: it was given up.
    package func begins(_ assemblies: [ChunkAssembly], readsAside: Bool) -> Bool {
        state.withLock { state in
            guard !state.isGivenUp else { return false }
            precondition(state.phase == .waiting, "a turn is for one copy")
            state.phase = .reading
            state.readsAside = readsAside
            state.assemblies = assemblies
            return true
        }
    }

    /// Writes to the file. Returns false where the copy was given up: before it, and nothing is written, or meanwhile.
    /// Then nothing more of the donor is to be read, for nobody gives up that read.
    package func writes(_ body: () throws(ChunkStoreError) -> Void) throws(ChunkStoreError) -> Bool {
        let begins = state.withLock { state in
            guard !state.isGivenUp else { return false }
            precondition(state.phase == .reading, "bytes are read before they are written")
            state.phase = .writing
            return true
        }
        guard begins else { return false }
        defer {
            state.withLock { state in
                state.phase = .reading
                state.steps += 1
            }
        }
        try body()
        return state.withLock { !$0.isGivenUp }
    }

    /// All bytes are there: the chunks may be received. Returns false where the copy was given up.
    package func ends() -> Bool {
        state.withLock { state in
            guard !state.isGivenUp else { return false }
            precondition(state.phase == .reading, "a copy ends once, after its last write")
            state.phase = .over
            state.assemblies = []
            return true
        }
    }
}
