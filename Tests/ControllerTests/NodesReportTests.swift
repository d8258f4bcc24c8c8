import AgentAPI
import CRD
import Controller
import Testing

@Suite struct NodesReportTests {
    private func copy(
        _ name: String, cached: Int64 = 10, medium: CacheDefinition.Medium = .memory, pinned: Bool = false,
        users: Int = 0, lastUsed: Int64? = nil
    ) -> CacheReport {
        CacheReport(
            uid: "uid-\(name)", namespace: "models", name: name, source: CacheDefinition.Source(uri: "oss://m/x/"),
            medium: medium, state: .ready, bytesTotal: 100, bytesCached: cached, pinned: pinned, users: users,
            lastUsed: lastUsed)
    }

    @Test func `a node tells its bytes, and in which order copies go when capacity is needed`() {
        let agent = AgentView(
            node: "node-1", reportedAt: WallTime(seconds: 1_800_000_000),
            memory: Capacity(budgetBytes: 1_000, heldBytes: 300), disk: Capacity(budgetBytes: 5_000))
        let node = NodesReport.Node(
            agent,
            [
                copy("pinned", pinned: true), copy("read", users: 2), copy("old", lastUsed: 100),
                copy("new", lastUsed: 200), copy("never", lastUsed: 0), copy("empty", cached: 0, lastUsed: 0),
                copy("disk", cached: 70, medium: .disk, lastUsed: 300),
            ])
        #expect(node.memory == .init(budgetBytes: 1_000, usedBytes: 50, freeBytes: 700))
        #expect(node.disk == .init(budgetBytes: 5_000, usedBytes: 70, freeBytes: 5_000))
        #expect(node.models.map(\.name) == ["disk", "empty", "never", "new", "old", "pinned", "read"])
        #expect(node.models.map(\.evictionPlace) == [1, nil, 1, 3, 2, nil, nil])
    }

    @Test func `a copy tells the nodes that gave it bytes by their names, however their addresses are written`() {
        var copy = self.copy("qwen")
        copy.originBytes = 7
        copy.originBytesPerSecond = 3
        copy.peers = [
            PeerTraffic(address: "10.0.0.2:9418", receivedBytes: 5, bytesPerSecond: 2),
            PeerTraffic(address: "[fd00:0::7]:9418", receivedBytes: 4), PeerTraffic(address: "192.0.2.1:9418", receivedBytes: 3),
            PeerTraffic(address: "no address", receivedBytes: 2), PeerTraffic(address: "10.0.0.2:1", receivedBytes: 0),
        ]
        let names = PeerNames([
            AgentAddress(node: "node-2", host: "10.0.0.2", port: 9417), AgentAddress(node: "node-7", host: "fd00::7", port: 9417),
        ])
        let node = NodesReport.Node(AgentView(node: "node-1"), [copy], names)
        #expect(
            node.models[0].sources == [
                .init(bytes: 7, bytesPerSecond: 3), .init(node: "node-2", bytes: 5, bytesPerSecond: 2), .init(node: "node-7", bytes: 4),
                .init(node: "192.0.2.1:9418", bytes: 3), .init(node: "no address", bytes: 2),
            ])
        #expect(NodesReport.Node(AgentView(node: "node-1"), [self.copy("new")]).models[0].sources == [])
    }

    @Test func `a node whose agent has not answered yet tells no bytes, and why it is out of reach`() {
        let since = WallTime(seconds: 1_800_000_000)
        let unknown = NodesReport.Node(AgentView(node: "a", reach: .unknown(since: since)), [])
        #expect(unknown.agent == "Unknown" && unknown.memory == nil && unknown.message == nil)
        let silent = NodesReport.Node(AgentView(node: "a", reach: .unreachable(since: since, why: "no route")), [])
        #expect(silent.agent == "Unreachable" && silent.message == "no route")
    }
}
