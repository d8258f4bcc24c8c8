/// How copies reach the nodes.
public struct Warmup: Codable, Sendable, Equatable {
    public enum Mode: String, Codable, Sendable, CaseIterable {
        /// All nodes that `placement` matches are warmed.
        case eager = "Eager"
        /// Only seeders are warmed; other nodes fill when a pod reads.
        case onDemand = "OnDemand"
    }

    /// Nil: ``ModelCacheSpec/effectiveMode``.
    public var mode: Mode?
    /// The number of nodes that warm at once.
    public var parallelism: Int
    /// Retries of a node's warm-up before the node counts as failed.
    public var backoffLimit: Int
    /// Seconds that one node's warm-up may take, retries included; nil: no limit.
    public var activeDeadlineSeconds: Int?
    /// The most bytes a second that a node receives; nil: no limit.
    public var maxBytesPerSecond: Quantity?
    /// Settings of the Jobs' pods; nil: as the operator makes them.
    public var podTemplate: PodTemplate?

    public static let defaultParallelism = 100
    public static let defaultBackoffLimit = 6

    public init(
        mode: Mode? = nil, parallelism: Int = Warmup.defaultParallelism,
        backoffLimit: Int = Warmup.defaultBackoffLimit, activeDeadlineSeconds: Int? = nil,
        maxBytesPerSecond: Quantity? = nil,
        podTemplate: PodTemplate? = nil
    ) {
        self.mode = mode
        self.parallelism = parallelism
        self.backoffLimit = backoffLimit
        self.activeDeadlineSeconds = activeDeadlineSeconds
        self.maxBytesPerSecond = maxBytesPerSecond
        self.podTemplate = podTemplate
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case mode, parallelism, backoffLimit, activeDeadlineSeconds, maxBytesPerSecond, podTemplate
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        self.mode = try container.decodeIfPresent(Mode.self, forKey: .mode)
        self.parallelism = try container.decode(.parallelism, or: Self.defaultParallelism)
        self.backoffLimit = try container.decode(.backoffLimit, or: Self.defaultBackoffLimit)
        self.activeDeadlineSeconds = try container.decodeIfPresent(Int.self, forKey: .activeDeadlineSeconds)
        self.maxBytesPerSecond = try container.decodeIfPresent(Quantity.self, forKey: .maxBytesPerSecond)
        self.podTemplate = try container.decodeIfPresent(PodTemplate.self, forKey: .podTemplate)
    }
}
