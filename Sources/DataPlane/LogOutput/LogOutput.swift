// LogOutput: log lines of every program.
//
// - `LogOutput` sends the loggers of a process to one file. `LogFormat` writes an event as text or JSON.
// - `LineSink` is a file of lines, of the audit log too.
// Invariants:
// - An event is one line, whatever a store, a peer or a pod wrote into it.
// - A log that cannot be written ends no process.

internal import FoundationEssentials
internal import Glibc
public import Logging

/// Where the log lines of a process go.
public enum LogOutput {
    /// Sends every logger of the process to `descriptor`, one line an event. To be called once, first.
    ///
    /// - Parameter descriptor: of a file that was opened to append; nil: standard error. It stays open.
    public static func bootstrap(level: Logger.Level, format: LogFormat, to descriptor: Int32? = nil) {
        let sink = LineSink(descriptor ?? STDERR_FILENO)
        LoggingSystem.bootstrap { label in Handler(label: label, format: format, sink: sink, logLevel: level) }
    }

    private struct Handler: LogHandler {
        let label: String
        let format: LogFormat
        let sink: LineSink
        var logLevel: Logger.Level
        var metadata: Logger.Metadata = [:]

        init(label: String, format: LogFormat, sink: LineSink, logLevel: Logger.Level) {
            self.label = label
            self.format = format
            self.sink = sink
            self.logLevel = logLevel
        }

        subscript(metadataKey key: String) -> Logger.MetadataValue? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            var fields = metadata.merging(event.metadata ?? [:], uniquingKeysWith: { $1 })
                .map { (key: $0.key, value: "\($0.value)") }.sorted { $0.key < $1.key }
            if let error = event.error { fields.append(("error", "\(error)")) }
            sink.write(
                format.line(
                    time: .now, level: event.level, label: label, message: "\(event.message)", fields: fields))
        }
    }
}
