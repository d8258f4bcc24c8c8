import AgentAPI
import Foundation
import Models
import NodePage
import StatusPage
import Testing

/// From the JSON of an agent, as the command gets it.
@Suite struct NodePageTests {
    private func status(_ models: String, _ more: String = "") throws -> AgentStatus {
        let text = #"""
            {"version":"1.2.3","node":"node-1","processID":7,"root":"/run/modelcache","medium":"memory","uptimeSeconds":75.2,
             "budgetBytes":4000000000,"cachedBytes":1250000000,"heldBytes":1000000000,"inFlightLimitBytes":1,"inFlightBytes":0,
             "sessions":2,"models":[\#(models)]\#(more)}
            """#
        return try JSONDecoder().decode(AgentStatus.self, from: Data(text.utf8))
    }

    private func model(_ changes: String = "") -> String {
        #"""
        {"id":"u-1","namespace":"team","name":"qwen","source":"oss://m/q/","endpoint":"e","directory":"d","phase":"filling","files":2,
         "completeFiles":1,"totalBytes":2500000000,"presentBytes":1249999999,"bytesPerSecond":10500000,"remainingSeconds":119.2,
         "originBytes":1000000000,"originBytesPerSecond":4000000,"peerBytes":250000000,"copiedBytes":0,"servedBytes":7000000,
         "wrongPeerBlocks":0,"requests":1,"retries":0,"throttled":0,"refilledFiles":0,"transfersInFlight":1,"users":1,"pinned":true,
         "idleSeconds":0\#(changes)}
        """#
    }

    @Test func `a model has the numbers of the status and their texts`() throws {
        let reading = NodePage.reading(try status(model(#","warnings":[{"object":"a","message":"not verified"}]"#)), starts: [:])
        guard case .seen(let models, _) = reading.models, let one = models.first else {
            Issue.record("no model")
            return
        }
        #expect(reading.subject == "node-1" && one.name == "team/qwen" && one.phase == "filling" && one.tone == .busy && one.pinned)
        // Below the last byte it is not 50 yet.
        #expect(one.percent == 49 && one.present?.text == "1.25 GB" && one.size == .init(2_500_000_000, "2.50 GB"))
        #expect(one.rate?.text == "10.5 MB/s" && one.remaining == .init(120, "2m0s") && one.readers == 1 && one.nodes == nil)
        #expect(one.fromStore.text == "1.00 GB" && one.fromNodes.text == "250 MB" && one.copied.value == 0)
        #expect(one.why == ["warning: a: not verified"])
    }

    @Test func `flows come from the store and from each peer, and go to others`() throws {
        let peers = #","peers":[{"address":"10.0.0.7:9418","receivedBytes":200000000,"bytesPerSecond":6500000},{"address":"10.0.0.8:9418","receivedBytes":50000000}]"#
        let reading = NodePage.reading(try status(model(peers)), starts: [:])
        guard case .seen(let flows, _) = reading.flows else {
            Issue.record("no flows")
            return
        }
        #expect(flows.map(\.from) == [.init(.store), .init(.node, "10.0.0.7:9418"), .init(.node, "10.0.0.8:9418"), .init(.node, "node-1")])
        #expect(flows.map(\.to) == [.init(.node, "node-1"), .init(.node, "node-1"), .init(.node, "node-1"), .init(.others, "other nodes")])
        #expect(flows.map(\.rate?.text) == ["4.00 MB/s", "6.50 MB/s", nil, nil] && flows.map(\.bytes.text) == ["1.00 GB", "200 MB", "50.0 MB", "7.00 MB"])
    }

    @Test func `a node has its cache, and what is free is what no eviction must free`() throws {
        let reading = NodePage.reading(try status(model()), starts: [:])
        guard case .seen(let nodes, _) = reading.nodes, let node = nodes.first else {
            Issue.record("no node")
            return
        }
        #expect(node.name == "node-1" && node.agent == "up 1m16s" && node.media.first?.free?.text == "3.00 GB")
        #expect(node.models == [.init(model: "team/qwen", state: "Filling", tone: .busy, percent: 49, pinned: true, readers: 1)])
    }

    private func start(_ changes: (inout ReaderStart) -> Void) throws -> PageData.Start {
        var start = ReaderStart(pod: "llama-0", podUID: "p", openedAt: 1_000, observedMilliseconds: 20_000)
        changes(&start)
        let reading = NodePage.reading(try status(model()), starts: ["u-1": [start]])
        guard case .seen(let starts, _) = reading.starts else { throw CancellationError() }
        return try #require(starts.first)
    }

    @Test func `phases of a start follow each other, whatever the agent knows of it`() throws {
        let over = try start {
            ($0.answeredMilliseconds, $0.firstByteMilliseconds, $0.completeMilliseconds) = (400, 1_400, 12_000)
            ($0.storeBytes, $0.waitMilliseconds) = (200_000_000, ["store": 9_000, "keys": 100, "memory": 0])
        }
        #expect(over.phases.map(\.name) == ["opening", "first byte", "reading"] && over.phases.map(\.time.value) == [400, 1_000, 10_600])
        #expect(over.total == .init(12_000, "12s") && !over.goesOn && over.model == "team/qwen" && over.node == "node-1")
        #expect(over.notes == ["200 MB from the store", "waited for store 9.0s, keys 0.1s"])
        let opening = try start { _ in }
        #expect(opening.phases.map(\.name) == ["opening"] && opening.phases[0].goesOn && opening.total.value == 20_000)
        let reading = try start { $0.answeredMilliseconds = 500 }
        #expect(reading.phases.map(\.time.value) == [500, 19_500] && reading.phases.map(\.goesOn) == [false, true])
        // It ended before anything came; and moments in the wrong order.
        let ended = try start { ($0.answeredMilliseconds, $0.endedMilliseconds) = (500, 700) }
        #expect(ended.phases.map(\.time.value) == [500, 200] && !ended.goesOn)
        let odd = try start { ($0.answeredMilliseconds, $0.firstByteMilliseconds, $0.completeMilliseconds) = (900, 300, 600) }
        #expect(odd.phases.allSatisfy { $0.time.value >= 0 } && odd.total.value == odd.phases.reduce(0) { $0 + $1.time.value })
    }

    @Test func `the newest starts are shown, and an agent that tells none says why`() throws {
        let starts = (0..<30).map { ReaderStart(pod: "p-\($0)", podUID: "\($0)", openedAt: $0, observedMilliseconds: 1) }
        let reading = NodePage.reading(try status(model()), starts: ["u-1": starts])
        guard case .seen(let shown, _) = reading.starts else {
            Issue.record("no starts")
            return
        }
        #expect(shown.map(\.pod) == (10..<30).reversed().map { "p-\($0)" })
        guard case .missing(let why) = NodePage.reading(try status(model()), starts: nil).starts else {
            Issue.record("starts without an agent that tells them")
            return
        }
        #expect(why.contains("earlier release"))
    }
}
