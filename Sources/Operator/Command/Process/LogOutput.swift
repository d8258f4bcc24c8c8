import Foundation
import Logging
import Synchronization

/// Log lines on standard error, one event a line.
enum LogOutput {
    enum Format: String {
        /// `2026-01-02T03:04:05.678Z info label: message key=value`
        case text
        /// `{"time":…,"level":…,"logger":…,"message":…,"key":"value"}`
        case json
    }

    /// To be called once, first.
    static func bootstrap(level: Logger.Level, format: Format) {
        LoggingSystem.bootstrap { label in Handler(label: label, format: format, logLevel: level) }
    }

    /// Two lines written at once must not mix.
    private static let sink = Mutex(FileHandle.standardError)

    fileprivate static func write(_ line: String) {
        sink.withLock { try? $0.write(contentsOf: Data((line + "\n").utf8)) }
    }

    private struct Handler: LogHandler {
        let label: String
        let format: Format
        var logLevel: Logger.Level
        var metadata: Logger.Metadata = [:]

        init(label: String, format: Format, logLevel: Logger.Level) {
            self.label = label
            self.format = format
            self.logLevel = logLevel
        }

        subscript(metadataKey key: String) -> Logger.MetadataValue? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            var fields = metadata.merging(event.metadata ?? [:], uniquingKeysWith: { $1 }).map {
                ($0.key, "\($0.value)")
            }.sorted { $0.0 < $1.0 }
            if let error = event.error { fields.append(("error", "\(error)")) }
            let time = Date.now.ISO8601Format(.iso8601(timeZone: .gmt, includingFractionalSeconds: true))
            LogOutput.write(
                LogOutput.line(
                    format, time: time, level: event.level, label: label, message: "\(event.message)", fields: fields))
        }
    }

    static func line(
        _ format: Format, time: String, level: Logger.Level, label: String, message: String, fields: [(String, String)]
    ) -> String {
        switch format {
        case .text:
            var line = "\(time) \(level) \(label): \(message.contains(where: \.isNewline) ? quoted(message) : message)"
            for (key, value) in fields {
                let isPlain = !value.isEmpty && !value.contains { $0 == " " || $0 == "\"" || $0 == "=" || $0.isNewline }
                line += " \(key)=\(isPlain ? value : quoted(value))"
            }
            return line
        case .json:
            let reserved = ["time": time, "level": level.rawValue, "logger": label, "message": message]
            var pairs = [("time", time), ("level", level.rawValue), ("logger", label), ("message", message)]
            for (key, value) in fields { pairs.append((reserved[key] == nil ? key : "\(key)_", value)) }
            return "{" + pairs.map { "\(quoted($0.0)):\(quoted($0.1))" }.joined(separator: ",") + "}"
        }
    }

    /// A JSON string (RFC 8259).
    private static func quoted(_ text: String) -> String {
        var out = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case "\r": out += "\\r"
            case "\t": out += "\\t"
            case _ where scalar.value < 0x20 || scalar.value == 0x7f:
                let hex = String(scalar.value, radix: 16)
                out += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out + "\""
    }
}
