internal import NIOHTTP1

/// The description that a node gives of itself in every request and response, besides its address.
struct PeerIntroduction: Sendable, Equatable {
    /// Random for each agent process: how a node recognises itself.
    let node: String
    /// Its ``SwarmConfiguration/zone``.
    let zone: String

    init(node: String, zone: String) {
        self.node = node
        self.zone = zone
    }

    /// nil: it does not introduce itself. A text that is no zone's name counts as no zone.
    init?(_ headers: HTTPHeaders) {
        guard let node = headers.first(name: Self.nodeHeader) else { return nil }
        let zone = headers.first(name: Self.zoneHeader) ?? ""
        self.init(node: node, zone: SwarmConfiguration.isZone(zone) ? zone : "")
    }

    var headers: [(String, String)] { [(Self.nodeHeader, node)] + (zone.isEmpty ? [] : [(Self.zoneHeader, zone)]) }

    private static let nodeHeader = "X-ModelCache-Node"
    private static let zoneHeader = "X-ModelCache-Zone"
}
