internal import Transfer

/// Counts of the fills of one model since it was opened, and of its part in the swarm.
struct FillCounters: Sendable {
    var bytes: Int64 = 0
    var peerBytes: Int64 = 0
    var copiedBytes: Int64 = 0
    var servedBytes: Int64 = 0
    var controlBytes: Int64 = 0
    var wrongPeerBlocks: Int64 = 0
    var requests: Int64 = 0
    var retries: Int64 = 0
    var throttled: Int64 = 0
    var refilled: Int64 = 0
    var waits = DemandWaits()

    mutating func add(_ meter: FillMeter) {
        bytes += meter.receivedBytes
        peerBytes += meter.peerBytes
        copiedBytes += meter.copiedBytes
        wrongPeerBlocks += meter.wrongPeerBlocks
        requests += meter.requests
        retries += meter.retries
        throttled += meter.throttled
        refilled += meter.refilledFiles
        waits = waits + meter.waits
    }

    mutating func add(_ node: SwarmFill) {
        servedBytes += node.servedBytes
        controlBytes += node.controlBytes
    }
}
