internal import Foundation
internal import Synchronization

/// One JSON line for each thing that happened to a model: `auditPath` of the configuration. No secrets, no keys of callers.
///
/// Events: `open` (a model is new here), `filled` (whole and verified), `failed` (its fill ended with an error), `unfinished` (its
/// fill was stopped), `evict`.
package final class AuditLog: Sendable {
    private let file: Mutex<FileHandle?>

    /// - Parameter path: appended to, created with mode 0600; nil: nothing is recorded.
    /// - Throws: ``LogFileError`` when it cannot be opened.
    package init(path: String?) throws {
        file = Mutex(try path.map { try LogFile.open($0, setting: "auditPath") })
    }

    package func record(event: String, model: String, source: String, bytes: UInt64) {
        file.withLock { file in
            guard let file else { return }
            let line = Line(time: Date.now.ISO8601Format(), event: event, model: model, source: source, bytes: bytes)
            guard var data = try? JSONEncoder().encode(line) else { return }
            data.append(0x0a)
            try? file.write(contentsOf: data)
        }
    }

    private struct Line: Encodable {
        let time: String
        let event: String
        let model: String
        let source: String
        let bytes: UInt64
    }
}
