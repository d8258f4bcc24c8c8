import Foundation

/// A folder of its own below the system's temporary folder, removed when the value goes.
public final class TemporaryFolder: Sendable {
    /// Absolute, without a slash at the end.
    public let path: String

    public init(_ name: String = "modelcache-test") throws {
        path = FileManager.default.temporaryDirectory.path + "/\(name)-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// The absolute path of `name` in the folder.
    public func file(_ name: String) -> String { "\(path)/\(name)" }
}
