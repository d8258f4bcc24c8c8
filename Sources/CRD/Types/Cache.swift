/// The medium of the copies, and how long they stay.
public struct Cache: Codable, Sendable, Equatable {
    public enum Medium: String, Codable, Sendable, CaseIterable {
        case memory = "Memory"
        case disk = "Disk"
    }

    /// Immutable: volume and claim name the medium's directory, and a volume's path cannot change.
    public var medium: Medium
    /// Copies that are neither a seeder's nor Eager are evicted after this time without a reader; nil: with the
    /// ModelCache.
    public var idleSeconds: Int?

    public static let defaultMedium = Medium.memory

    public init(medium: Medium = Cache.defaultMedium, idleSeconds: Int? = nil) {
        self.medium = medium
        self.idleSeconds = idleSeconds
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case medium, idleSeconds
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        self.medium = try container.decode(.medium, or: Self.defaultMedium)
        self.idleSeconds = try container.decodeIfPresent(Int.self, forKey: .idleSeconds)
    }
}
