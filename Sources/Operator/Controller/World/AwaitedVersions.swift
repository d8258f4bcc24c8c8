/// The objects that this operator has written and whose write the watch has not told yet.
///
/// Until then the watch tells of states before the write, which must not take the place of the server's answer.
/// Versions are only compared for equality: after a restore of etcd a smaller number may be the newer one. A new list
/// ends the wait for all objects of its kind, since it says how they are now.
package struct AwaitedVersions: Sendable {
    private var awaited: [String: (version: String, since: WallTime)] = [:]

    /// A watch that lost the write must not keep an object as it is for ever.
    static let patience: Duration = .seconds(30)

    package init() {}

    /// The server answered a write of the object `key` with this version.
    package mutating func wrote(_ version: String, of key: String, now: WallTime) {
        awaited[key] = version.isEmpty ? nil : (version, now)
    }

    /// Whether what the watch tells of the object is at least as new as the last write.
    package mutating func admits(_ version: String, of key: String, now: WallTime) -> Bool {
        guard let last = awaited[key], last.version != version, now - last.since < Self.patience else {
            awaited[key] = nil
            return true
        }
        return false
    }

    /// The object is gone.
    package mutating func forget(_ key: String) { awaited[key] = nil }

    /// A list tells how all objects are.
    package mutating func relisted() { awaited = [:] }
}
