/// How copies get to the nodes.
public struct Warmup: Codable, Sendable, Equatable {
    public enum Mode: String, Codable, Sendable, CaseIterable {
        /// Every node that `placement` matches is warmed.
        case eager = "Eager"
        /// Seeders alone are; other nodes fill when a pod reads.
        case onDemand = "OnDemand"
    }

    public var mode: Mode
    /// How many nodes warm at once.
    public var parallelism: Int
    /// How often a node's warm-up is tried again before the node counts as failed.
    public var backoffLimit: Int
    /// How long one node's warm-up may take, tries included; nil: as long as it needs.
    public var activeDeadlineSeconds: Int?
    /// Bytes a second a node; nil: no limit.
    public var bandwidthLimit: Quantity?

    public static let defaultMode = Mode.eager
    public static let defaultParallelism = 100
    public static let defaultBackoffLimit = 6

    public init(
        mode: Mode = Warmup.defaultMode, parallelism: Int = Warmup.defaultParallelism,
        backoffLimit: Int = Warmup.defaultBackoffLimit, activeDeadlineSeconds: Int? = nil, bandwidthLimit: Quantity? = nil
    ) {
        self.mode = mode
        self.parallelism = parallelism
        self.backoffLimit = backoffLimit
        self.activeDeadlineSeconds = activeDeadlineSeconds
        self.bandwidthLimit = bandwidthLimit
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case mode, parallelism, backoffLimit, activeDeadlineSeconds, bandwidthLimit
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        self.mode = try container.decode(.mode, or: Self.defaultMode)
        self.parallelism = try container.decode(.parallelism, or: Self.defaultParallelism)
        self.backoffLimit = try container.decode(.backoffLimit, or: Self.defaultBackoffLimit)
        self.activeDeadlineSeconds = try container.decodeIfPresent(Int.self, forKey: .activeDeadlineSeconds)
        self.bandwidthLimit = try container.decodeIfPresent(Quantity.self, forKey: .bandwidthLimit)
    }
}
