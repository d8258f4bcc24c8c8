public import SwarmPlan

/// The results of a simulation.
public struct SimulationReport: Sendable {
    public let parameters: SimulationParameters
    public var models = 1
    /// Seconds from a node's start to its last block, over the wire time of the plain download of a node like it.
    public private(set) var slowdowns: [Double] = []
    /// The time that no swarm can go below (see docs/swarm.md), for each of these nodes, in the same unit.
    public private(set) var bounds: [Double] = []
    /// The time of each of these nodes if all downloaded from the store, in the same unit.
    public private(set) var directs: [Double] = []
    public internal(set) var died = 0
    public internal(set) var unfinished = 0
    public internal(set) var storeBytes = 0.0
    public internal(set) var peerBytes = 0.0
    /// Bytes sent for fetches that ended without their block.
    public internal(set) var wastedBytes = 0.0
    public internal(set) var rackBytes = 0.0
    public internal(set) var controlBytes = 0
    public internal(set) var controlMessages = 0
    public internal(set) var requestBytes = 0
    public internal(set) var bans = 0
    public internal(set) var storeReads: [SwarmStoreReason: Int] = [:]
    public internal(set) var events = 0
    public internal(set) var plannerEvents = 0
    public internal(set) var dump: [String] = []
    /// When the store sent its last byte, in seconds.
    public internal(set) var storeEnd = 0.0
    public internal(set) var simulatedSeconds = 0.0

    init(_ parameters: SimulationParameters) { self.parameters = parameters }

    mutating func finish(seconds: Double, wire: Double, unavoidable: Double, direct: Double) {
        slowdowns.append(seconds / wire)
        bounds.append(unavoidable / wire)
        directs.append(direct / wire)
        if seconds > direct * 1.01 + Self.grace { slowerThanDirect += 1 }
    }

    /// Seconds that a node may lose to as many direct downloads: it first asks its neighbours what they hold.
    private static let grace = 2.0

    /// Nodes that ended later than with as many direct downloads. Must be 0.
    public private(set) var slowerThanDirect = 0

    public var average: Double { Self.mean(slowdowns) }
    public var slowest: Double { slowdowns.max() ?? .nan }
    public var averageBound: Double { Self.mean(bounds) }
    public var slowestBound: Double { bounds.max() ?? .nan }
    public var averageDirect: Double { Self.mean(directs) }
    public var slowestDirect: Double { directs.max() ?? .nan }
    /// The average beyond the unavoidable, and the worst node beyond its own.
    public var averageExcess: Double { average / averageBound }
    public var worstExcess: Double { zip(slowdowns, bounds).map { $0 / $1 }.max() ?? .nan }

    private static func mean(_ values: [Double]) -> Double {
        values.isEmpty ? .nan : values.reduce(0, +) / Double(values.count)
    }

    /// Bytes read from the store over the models' bytes.
    public var originRatio: Double { storeBytes / (parameters.modelBytes * Double(models)) }
    /// Control messages over the bytes that nodes received.
    public var controlShare: Double { Double(controlBytes) / max(1, storeBytes + peerBytes) }
    public var requestShare: Double { Double(requestBytes) / max(1, storeBytes + peerBytes) }
}
