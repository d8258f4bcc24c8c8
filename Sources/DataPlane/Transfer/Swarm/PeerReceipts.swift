/// Bytes that came to one model from each other node, and how fast they come: a pure value.
///
/// **Guarantees.** The sum over all nodes is that of all bytes that were told. At most ``most`` nodes have a number of
/// their own: beyond, the node with the fewest bytes gives its place to a new one, and its bytes count to
/// ``others``.
package struct PeerReceipts: Sendable {
    package static let most = 256

    private struct Entry: Sendable {
        var bytes: Int64 = 0
        var rate = TransferRate()
    }

    private var entries: [String: Entry] = [:]
    /// Bytes of nodes that gave their place to another.
    package private(set) var others: Int64 = 0

    package init() {}

    /// - Parameter address: where the node serves its peers.
    package mutating func received(_ bytes: Int64, from address: String, now: ContinuousClock.Instant) {
        if entries[address] == nil {
            giveUpOne()
            entries[address] = Entry()
            // Its rate counts from here.
            entries[address]?.rate.sample(bytes: 0, now: now)
        }
        entries[address]?.bytes += bytes
    }

    private mutating func giveUpOne() {
        guard entries.count >= Self.most,
            let least = entries.min(by: { ($0.value.bytes, $0.key) < ($1.value.bytes, $1.key) })
        else { return }
        others += least.value.bytes
        entries[least.key] = nil
    }

    /// A look at the fill, several times a second: rates are made of these.
    package mutating func look(now: ContinuousClock.Instant) {
        for (address, entry) in entries { entries[address]?.rate.sample(bytes: entry.bytes, now: now) }
    }

    package func bytes(from address: String) -> Int64 { entries[address]?.bytes ?? 0 }

    /// Nil: nothing has come lately.
    package func bytesPerSecond(from address: String, now: ContinuousClock.Instant) -> Double? {
        entries[address]?.rate.bytesPerSecond(now: now)
    }

    /// The nodes that gave the most, at most `count`.
    package func first(_ count: Int, now: ContinuousClock.Instant) -> [PeerReceipt] {
        entries.sorted { ($1.value.bytes, $0.key) < ($0.value.bytes, $1.key) }.prefix(count).map { address, entry in
            PeerReceipt(
                address: address, bytes: entry.bytes, bytesPerSecond: entry.rate.bytesPerSecond(now: now) ?? 0)
        }
    }
}

/// Bytes that one other node gave to a model.
public struct PeerReceipt: Sendable, Hashable {
    /// Where it serves its peers.
    public var address: String
    public var bytes: Int64
    /// 0 when nothing has come lately.
    public var bytesPerSecond: Double
}
