package import AgentAPI
package import Foundation

/// A cache's definition as it is kept beside its volume: what a restarted agent takes the cache up by.
package struct StoredDefinition: Codable, Equatable, Sendable {
    private static let currentVersion = 1

    private var version: Int
    package var uid: String
    package var definition: CacheDefinition

    package init(uid: String, definition: CacheDefinition) {
        version = Self.currentVersion
        self.uid = uid
        self.definition = definition
    }

    package func encoded() throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(self)
    }

    /// Nil when it is damaged, of another release, or of another cache.
    package init?(_ data: Data, uid: String) {
        guard let stored = try? JSONDecoder().decode(StoredDefinition.self, from: data),
            stored.version == Self.currentVersion,
            stored.uid == uid
        else { return nil }
        self = stored
    }
}
