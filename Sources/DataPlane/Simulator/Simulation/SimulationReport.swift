public import SwarmPlan

/// What a simulation found.
public struct SimulationReport: Sendable {
    public let parameters: SimulationParameters
    public var models = 1
    /// Seconds from a node's start to its last block, over the wire time of the plain download of a node like it.
    public private(set) var slowdowns: [Double] = []
    public internal(set) var died = 0
    public internal(set) var unfinished = 0
    public internal(set) var storeBytes = 0.0
    public internal(set) var peerBytes = 0.0
    /// Sent for fetches that ended without their block.
    public internal(set) var wastedBytes = 0.0
    public internal(set) var rackBytes = 0.0
    public internal(set) var controlBytes = 0
    public internal(set) var controlMessages = 0
    public internal(set) var requestBytes = 0
    public internal(set) var shuns = 0
    public internal(set) var storeReads: [SwarmStoreReason: Int] = [:]
    public internal(set) var events = 0
    public internal(set) var plannerEvents = 0
    public internal(set) var dump: [String] = []
    /// When the store sent its last byte, in seconds.
    public internal(set) var storeEnd = 0.0
    public internal(set) var simulatedSeconds = 0.0

    init(_ parameters: SimulationParameters) { self.parameters = parameters }

    mutating func finish(seconds: Double, ownWireTime: Double) { slowdowns.append(seconds / ownWireTime) }

    public var average: Double { slowdowns.isEmpty ? .nan : slowdowns.reduce(0, +) / Double(slowdowns.count) }
    public var slowest: Double { slowdowns.max() ?? .nan }
    /// Bytes read from the store over the models' bytes.
    public var originRatio: Double { storeBytes / (parameters.modelBytes * Double(models)) }
    /// Control messages over the bytes that nodes received.
    public var controlShare: Double { Double(controlBytes) / max(1, storeBytes + peerBytes) }
    public var requestShare: Double { Double(requestBytes) / max(1, storeBytes + peerBytes) }
    /// No scheme that passes on whole blocks only can be faster: the store needs one wire time, and the last
    /// block then doubles its holders once a block time.
    public var storeAndForwardBound: Double {
        var hops = 0.0
        var holders = 1
        while holders < parameters.nodes {
            holders *= 2
            hops += 1
        }
        return max(1, parameters.link / parameters.storeRate) + hops / Double(parameters.blocks)
    }
}
