internal import Foundation
internal import Glibc
internal import Logging
internal import Synchronization
internal import TextCoding

/// Opens log files and writes log lines: logfmt, one event a line, to standard error or a file.
package enum LogFile {
    /// Creates missing folders, appends, mode 0600.
    ///
    /// - Throws: ``SettingError`` that names the setting.
    static func open(_ path: String, setting: String) throws -> FileHandle {
        let folder = (path as NSString).deletingLastPathComponent
        if !folder.isEmpty {
            try? FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        }
        let descriptor = Glibc.open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw SettingError(
                field: setting, value: path, problem: "cannot be written (\(String(cString: strerror(errno))))",
                remedy: "name a file in a folder that may be written, or remove the setting")
        }
        return FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
    }

    /// Sends every logger of the process to `path` or, when nil, standard error. To be called once, first.
    ///
    /// - Parameter level: 0 debug, 1 info, 2 warning, 3 error, 4 critical: the connector's numbers.
    package static func bootstrap(level: Int, path: String?) throws {
        let sink = LineSink(try path.map { try open($0, setting: "logPath") } ?? .standardError)
        let levels: [Logger.Level] = [.debug, .info, .warning, .error, .critical]
        let chosen = levels[min(max(0, level), levels.count - 1)]
        LoggingSystem.bootstrap { label in LineLogHandler(label: label, sink: sink, logLevel: chosen) }
    }
}

private final class LineSink: Sendable {
    private let file: Mutex<FileHandle>
    init(_ file: FileHandle) { self.file = Mutex(file) }
    func write(_ line: String) { file.withLock { try? $0.write(contentsOf: Data(line.utf8)) } }
}

private struct LineLogHandler: LogHandler {
    let label: String
    let sink: LineSink
    var logLevel: Logger.Level
    var metadata: Logger.Metadata = [:]

    init(label: String, sink: LineSink, logLevel: Logger.Level) {
        self.label = label
        self.sink = sink
        self.logLevel = logLevel
    }

    subscript(metadataKey key: String) -> Logger.MetadataValue? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var line =
            "\(Date.now.ISO8601Format(.iso8601(timeZone: .gmt, includingFractionalSeconds: true))) \(event.level) \(label): \(event.message)"
        for (key, value) in metadata.merging(event.metadata ?? [:], uniquingKeysWith: { $1 }).sorted(by: {
            $0.key < $1.key
        }) {
            let text = "\(value)"
            line +=
                text.contains(where: { $0 == " " || $0 == "\"" || $0.isNewline })
                ? " \(key)=\"\(text.replacing("\"", with: "'").replacing("\n", with: " "))\"" : " \(key)=\(text)"
        }
        sink.write(line + "\n")
    }
}
