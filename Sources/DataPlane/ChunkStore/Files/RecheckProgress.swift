internal import Logging

/// Tells the log how far the check after an unclean boot has come: hundreds of gigabytes take minutes, in which the agent
/// does not answer.
struct RecheckProgress {
    private let logger: Logger
    private let model: String
    private let totalBytes: UInt64
    private var checkedBytes: UInt64 = 0
    private var droppedChunks = 0
    private var spoke = ContinuousClock.now

    /// `totalBytes`: of all received chunks.
    init(logger: Logger, model: String, totalBytes: UInt64) {
        self.logger = logger
        self.model = model
        self.totalBytes = totalBytes
        say("checking the model's chunks: the machine went down before they were synced")
    }

    mutating func checked(bytes: UInt64, good: Bool) {
        checkedBytes += bytes
        if !good { droppedChunks += 1 }
        if ContinuousClock.now - spoke >= .seconds(5) {
            spoke = .now
            say("checking the model's chunks")
        }
    }

    func finish() { say("model checked") }

    private func say(_ message: Logger.Message) {
        logger.info(
            message,
            metadata: [
                "model": "\(model)", "checkedBytes": "\(checkedBytes)", "totalBytes": "\(totalBytes)",
                "droppedChunks": "\(droppedChunks)",
            ])
    }
}
