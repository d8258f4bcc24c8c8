internal import Logging
internal import Synchronization

/// Checks a model's unchecked chunks: those that readers wait for first, the others in file order, one at a time, on
/// the threads of ``BlockingWork``. Models take turns chunk by chunk, and so do the readers of one model.
final class ChunkChecker: Sendable {
    private struct State {
        var files: [CachedFile]
        /// The same, by ``CachedFile/fileIndex``.
        var byIndex: [UInt32: CachedFile]
        /// Where the background has come to.
        var file = 0
        var chunk = 0
        var checkedBytes: UInt64 = 0
        var wrongChunks = 0
        var spoke = ContinuousClock.now
        var isStopped = false
        var demands = DemandedChecks()
        /// A check for a reader is queued or runs.
        var servesReader = false
        var waiters: [CheckedContinuation<Void, Never>] = []
    }
    private let state: Mutex<State>
    private let work: BlockingWork
    private let owner: WorkOwner
    private let logger: Logger
    private let totalBytes: UInt64

    private static let speakEvery = Duration.seconds(5)

    init(files: [CachedFile], work: BlockingWork, for owner: WorkOwner, logger: Logger) {
        totalBytes = files.reduce(0) { $0 + $1.receivedBytes }
        let byIndex = Dictionary(uniqueKeysWithValues: files.map { ($0.fileIndex, $0) })
        state = Mutex(State(files: files, byIndex: byIndex))
        self.work = work
        self.owner = owner
        self.logger = logger
    }

    func start() {
        guard totalBytes > 0 else { return finish() }
        say("checking the chunks that an earlier agent received")
        step()
    }

    /// No further chunk is begun.
    func stop() {
        state.withLock { $0.isStopped = true }
        finish()
    }

    /// Readers wait for these chunks.
    func demand(_ file: CachedFile, _ chunks: Range<Int>) {
        let unchecked = chunks.filter { file.isUnchecked($0) }
        guard let first = unchecked.first, let last = unchecked.last else { return }
        for chunk in unchecked { _ = file.demandedChecks.set(chunk) }
        let begins = state.withLock { state in
            guard state.byIndex[file.fileIndex] === file else { return false }
            state.demands.demanded(file: file.fileIndex, chunks: first..<last + 1)
            guard !state.servesReader else { return false }
            state.servesReader = true
            return true
        }
        if begins { serveReader() }
    }

    /// One chunk in a turn: readers of other models have theirs between.
    private func serveReader() {
        work.submit(.demanded, for: owner) { [weak self] in
            guard let self, let (file, chunk) = self.nextDemanded() else { return }
            file.check(chunk)
            self.serveReader()
        }
    }

    private func nextDemanded() -> (CachedFile, Int)? {
        state.withLock { state in
            let files = state.byIndex
            if let next = state.demands.next(isUnchecked: { files[$0]?.isUnchecked($1) == true }),
                let file = files[next.file]
            {
                return (file, next.chunk)
            }
            state.servesReader = false
            return nil
        }
    }

    /// Until every chunk was checked, or ``stop()``.
    func finished() async {
        await withCheckedContinuation { continuation in
            let isDone = state.withLock { state in
                if state.files.isEmpty { return true }
                state.waiters.append(continuation)
                return false
            }
            if isDone { continuation.resume() }
        }
    }

    private func step() {
        work.submit(.background, for: owner) { [weak self] in
            guard let self, let (file, chunk) = self.next() else { return }
            let range = file.range(ofChunk: chunk)
            self.checked(UInt64(range.count), isRight: file.check(chunk) != .wrong)
            self.step()
        }
    }

    private func next() -> (CachedFile, Int)? {
        let found: (CachedFile, Int)? = state.withLock { state in
            guard !state.isStopped else { return nil }
            while state.file < state.files.count {
                let file = state.files[state.file]
                while state.chunk < file.chunkCount {
                    defer { state.chunk += 1 }
                    if file.isUnchecked(state.chunk) { return (file, state.chunk) }
                }
                state.file += 1
                state.chunk = 0
            }
            return nil
        }
        if found == nil, !state.withLock({ $0.isStopped }) {
            say("model checked")
            finish()
        }
        return found
    }

    private func finish() {
        let waiters = state.withLock { state in
            state.files = []
            state.byIndex = [:]
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume() }
    }

    private func checked(_ bytes: UInt64, isRight: Bool) {
        let speaks = state.withLock { state in
            state.checkedBytes += bytes
            if !isRight { state.wrongChunks += 1 }
            guard state.spoke.duration(to: .now) >= Self.speakEvery else { return false }
            state.spoke = .now
            return true
        }
        if speaks { say("checking the model's chunks") }
    }

    private func say(_ message: Logger.Message) {
        let (bytes, wrong) = state.withLock { ($0.checkedBytes, $0.wrongChunks) }
        logger.info(
            message,
            metadata: [
                "model": "\(owner.name)", "checkedBytes": "\(bytes)", "totalBytes": "\(totalBytes)",
                "droppedChunks": "\(wrong)",
            ])
    }
}
