/// The nodes that keep copies.
public struct Placement: Codable, Sendable, Equatable {
    /// Labels that a node must have, all of them; empty: every node.
    public var nodeSelector: [String: String]
    public var affinity: Affinity?
    public var tolerations: [Toleration]
    /// The number of nodes that keep a pinned full copy.
    public var seeders: Int

    public static let defaultSeeders = 1

    public init(
        nodeSelector: [String: String] = [:], affinity: Affinity? = nil, tolerations: [Toleration] = [],
        seeders: Int = Placement.defaultSeeders
    ) {
        self.nodeSelector = nodeSelector
        self.affinity = affinity
        self.tolerations = tolerations
        self.seeders = seeders
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case nodeSelector, affinity, tolerations, seeders
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        self.nodeSelector = try container.decode(.nodeSelector, or: [:])
        self.affinity = try container.decodeIfPresent(Affinity.self, forKey: .affinity)
        self.tolerations = try container.decode(.tolerations, or: [])
        self.seeders = try container.decode(.seeders, or: Self.defaultSeeders)
    }
}
