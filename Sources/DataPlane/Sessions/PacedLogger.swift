package import Logging
internal import Models
internal import Synchronization

/// Logs a few of many equal events (``EventPace``), each with the number of those that were left out before it.
///
/// - Parameter Event: what a client, or a lack that lasts, causes as often as it likes.
package final class PacedLogger<Event: Hashable & Sendable>: Sendable {
    private let logger: Logger
    private let pace = Mutex(EventPace<Event>(mostKeys: 1024))

    package init(_ logger: Logger) { self.logger = logger }

    package func log(
        _ event: Event, _ level: Logger.Level, _ message: Logger.Message, _ metadata: () -> Logger.Metadata
    ) {
        guard let leftOut = pace.withLock({ $0.admits(event) }) else { return }
        var metadata = metadata()
        if leftOut > 0 { metadata["leftOut"] = "\(leftOut)" }
        logger.log(level: level, message, metadata: metadata)
    }
}
