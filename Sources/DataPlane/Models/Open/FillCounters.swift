internal import AgentAPI
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
    /// Bytes by the peer's address.
    var peers: [String: Int64] = [:]

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
        for receipt in node.receivedFromPeers(Self.mostPeers) {
            peers[receipt.address, default: 0] += receipt.bytes
        }
        guard peers.count > Self.mostPeers else { return }
        let kept = peers.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.prefix(Self.mostPeers)
        peers = Dictionary(uniqueKeysWithValues: kept.map { ($0.key, $0.value) })
    }

    private static let mostPeers = 256

    /// - Parameter rates: by address.
    func traffic(_ rates: [String: Double]) -> [PeerTraffic]? {
        let named = peers.map { address, bytes in
            PeerTraffic(address: address, receivedBytes: bytes, bytesPerSecond: Int64(rates[address] ?? 0))
        }
        let most = named.sorted { ($1.receivedBytes, $0.address) < ($0.receivedBytes, $1.address) }
            .prefix(PeerTraffic.most)
        return most.isEmpty ? nil : Array(most)
    }
}
