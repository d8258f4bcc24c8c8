/// The versions of the HTTP messages between operator and agents that a release understands.
///
/// A version grows when a field or word changes its meaning, or one that was optional must be there. A new optional
/// field, word or path makes no new version: the other side passes over it. A release understands its own version and
/// those of the release before and the release after (docs/upgrade.md).
public struct APIVersions: Codable, Hashable, Sendable, CustomStringConvertible {
    public var oldest: Int
    public var newest: Int

    public init(oldest: Int, newest: Int) {
        self.oldest = oldest
        self.newest = newest
    }

    /// Of this release.
    public static let own = APIVersions(oldest: 1, newest: 1)
    /// Of an agent that names none.
    public static let first = APIVersions(oldest: 1, newest: 1)

    /// Whether there is a version that both sides understand.
    public func overlaps(_ other: APIVersions) -> Bool { oldest <= other.newest && other.oldest <= newest }

    public var description: String { oldest == newest ? "version \(newest)" : "versions \(oldest) to \(newest)" }
}
