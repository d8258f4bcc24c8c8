internal import NIOHTTP1

/// The description that a node gives of itself in every request and response, besides its address.
package struct PeerIntroduction: Sendable, Equatable {
    /// Random for each agent process: how a node recognises itself.
    package let node: String
    /// Its ``SwarmConfiguration/zone``.
    package let zone: String
    /// It understands a message that hands turns at the store over. Older agents close the connection at one.
    package let takesTurns: Bool

    init(node: String, zone: String, takesTurns: Bool = true) {
        self.node = node
        self.zone = zone
        self.takesTurns = takesTurns
    }

    /// nil: it does not introduce itself. A text that is no zone's name counts as no zone.
    init?(_ headers: HTTPHeaders) { self.init(reading: { headers.first(name: $0) }) }

    /// ``init(_:)`` of headers by their names.
    package init?(reading header: (String) -> String?) {
        guard let node = header(Self.nodeHeader) else { return nil }
        let zone = header(Self.zoneHeader) ?? ""
        self.init(
            node: node, zone: SwarmConfiguration.isZone(zone) ? zone : "", takesTurns: header(Self.turnsHeader) != nil)
    }

    package var headers: [(String, String)] {
        [(Self.nodeHeader, node)] + (zone.isEmpty ? [] : [(Self.zoneHeader, zone)])
            + (takesTurns ? [(Self.turnsHeader, "taken")] : [])
    }

    private static let nodeHeader = "X-ModelCache-Node"
    private static let zoneHeader = "X-ModelCache-Zone"
    private static let turnsHeader = "X-ModelCache-Turns"
}
