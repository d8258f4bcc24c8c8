import CRD
import Controller
import Foundation
import TestSupport
import Testing

/// A status is written as one object, which etcd takes up to 1.5 MiB, and rewritten with each change.
@Suite struct StatusSizeTests {
    private func bytes(_ status: ModelCacheStatus) throws -> Int { try JSONEncoder().encode(status).count }

    private func world(nodes count: Int, nameLength: Int) -> FakeWorld {
        let names = (0..<count).map { number in
            let digits = "\(number)"
            return String(repeating: "n", count: nameLength - digits.count) + digits
        }
        return FakeWorld(nodes: names) { $0.isEager = true }
    }

    @Test func `the status of a model on 5000 nodes has 16 KiB at most`() throws {
        var world = world(nodes: 5_000, nameLength: 30)
        world.run(seconds: 10) { $0.status?.nodes != nil }
        let status = try #require(world.status)
        #expect(status.nodes?.desired == 5_000)
        #expect(status.nodes?.details.count == NodesStatus.maximumDetails)
        let size = try bytes(status)
        #expect(size <= 16 << 10, "\(size) bytes")
    }

    @Test func `with the longest names and messages it has 192 KiB at most`() throws {
        var world = world(nodes: 200, nameLength: 253)
        for node in world.agents.keys { world.agents[node]?.budget = 1 }
        world.run(seconds: 10) { $0.status?.nodes != nil }
        var status = try #require(world.status)
        // The worst that agents can tell: each scalar has four bytes.
        let message = String(repeating: "\u{1F9E0}", count: 4_000)
        let names = world.nodes.keys.sorted()
        status.nodes?.details = NodesStatus.details(
            choosing: names.map { NodeDetail(name: $0, state: .failed, percent: 99, message: message) })
        status.seeders = Array(names.prefix(50))
        let size = try bytes(status)
        #expect(size <= 192 << 10, "\(size) bytes")
    }
}
