internal import Logging

/// Tells the log and those who listen which chunks were found wrong.
final class LossReport: Sendable {
    private let logger: Logger
    private let model: String
    private let streams = Broadcast<LostChunk>(buffering: .unbounded)

    init(logger: Logger, model: String) {
        self.logger = logger
        self.model = model
    }

    func tell(_ loss: LostChunk) {
        logger.error(
            "a chunk of the cache was damaged and is fetched again",
            metadata: [
                "model": "\(model)", "file": "\(loss.key)", "chunk": "\(loss.chunk)", "reason": "\(loss.reason)",
            ])
        streams.send(loss)
    }

    /// Holds at most one element for each chunk that is lost while nobody looks.
    func stream() -> AsyncStream<LostChunk> { streams.stream() }

    func finish() { streams.finish() }
}
