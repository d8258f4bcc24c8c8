internal import Logging
internal import Synchronization

/// Checks a model's unchecked chunks: those that readers wait for first, the others in file order, one at a time, on
/// the threads of ``BlockingWork``. Models take turns chunk by chunk.
final class ChunkChecker: Sendable {
    private struct State {
        var files: [CachedFile]
        /// Where the background has come to.
        var file = 0
        var chunk = 0
        var checkedBytes: UInt64 = 0
        var wrongChunks = 0
        var spoke = ContinuousClock.now
        var isStopped = false
        var waiters: [CheckedContinuation<Void, Never>] = []
    }
    private let state: Mutex<State>
    private let work: BlockingWork
    private let logger: Logger
    private let model: String
    private let totalBytes: UInt64

    private static let speakEvery = Duration.seconds(5)

    init(files: [CachedFile], work: BlockingWork, logger: Logger, model: String) {
        totalBytes = files.reduce(0) { $0 + $1.receivedBytes }
        state = Mutex(State(files: files))
        self.work = work
        self.logger = logger
        self.model = model
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
        for chunk in chunks where file.isUnchecked(chunk) && file.demandedChecks.set(chunk) {
            work.submit(.demanded) { file.check(chunk) }
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
        work.submit(.background) { [weak self] in
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
                "model": "\(model)", "checkedBytes": "\(bytes)", "totalBytes": "\(totalBytes)",
                "droppedChunks": "\(wrong)",
            ])
    }
}
