/// What the copies are kept on, and for how long.
public struct Cache: Codable, Sendable, Equatable {
    public enum Medium: String, Codable, Sendable, CaseIterable {
        case memory = "Memory"
        case disk = "Disk"
    }

    /// Immutable: volume and claim name the medium's directory, and a volume's path cannot be changed.
    public var medium: Medium
    /// Copies that are neither a seeder's nor Eager go after so long without a reader; 0: with the ModelCache.
    public var idleSeconds: Int

    public static let defaultMedium = Medium.memory
    public static let defaultIdleSeconds = 0

    public init(medium: Medium = Cache.defaultMedium, idleSeconds: Int = Cache.defaultIdleSeconds) {
        self.medium = medium
        self.idleSeconds = idleSeconds
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case medium, idleSeconds
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        self.medium = try container.decode(.medium, or: Self.defaultMedium)
        self.idleSeconds = try container.decode(.idleSeconds, or: Self.defaultIdleSeconds)
    }
}
