/// Bytes that another node gave to one cache.
public struct PeerTraffic: Codable, Hashable, Sendable {
    /// A report names the nodes that gave the most, at most so many for a cache.
    public static let most = 32

    /// Where it serves its peers, such as `10.0.0.7:9418`.
    public var address: String
    /// Since this agent has the cache open, without repeated ones.
    public var receivedBytes: Int64
    /// 0 when nothing has come lately.
    public var bytesPerSecond: Int64

    public init(address: String, receivedBytes: Int64, bytesPerSecond: Int64 = 0) {
        self.address = address
        self.receivedBytes = receivedBytes
        self.bytesPerSecond = bytesPerSecond
    }

    /// Reads an entry of an earlier or later release: only the address must be there.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        address = try container.decode(String.self, forKey: .address)
        receivedBytes = container.toleratedBytes(.receivedBytes) ?? 0
        bytesPerSecond = container.toleratedBytes(.bytesPerSecond) ?? 0
    }
}
