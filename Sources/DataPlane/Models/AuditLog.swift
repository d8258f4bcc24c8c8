package import Foundation
internal import Synchronization

/// One JSON line for each thing that happened to a model: `auditPath` of the configuration. No secrets, no keys of
/// callers.
///
/// Events: `open` (a model is new here), `filled` (complete and verified), `failed` (its fill ended with an error),
/// `unfinished` (its fill was stopped), `update` (objects came, went or changed at the source: `change` names them),
/// `evict`.
package final class AuditLog: Sendable {
    private let file: Mutex<FileHandle?>

    /// - Parameter file: appended to; nil: nothing is recorded.
    package init(_ file: FileHandle?) { self.file = Mutex(file) }

    package func record(event: String, model: String, source: String, bytes: UInt64, change: String? = nil) {
        file.withLock { file in
            guard let file else { return }
            let line = Line(
                time: Date.now.ISO8601Format(), event: event, model: model, source: source, bytes: bytes, change: change
            )
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
        let change: String?
    }
}
