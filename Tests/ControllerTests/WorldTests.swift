import AgentAPI
import CRD
import Controller
import Foundation
import Kubernetes
import Testing

/// Who is woken by what happens. A key that is not returned is not planned again.
@Suite struct WorldTests {
    private let now = WallTime(seconds: 1_800_000_000)
    private let key = ObjectKey(namespace: "team", name: "qwen")

    /// It has its seeder, and nothing to do with any node but node-1.
    private func world() throws -> World {
        let text = #"""
            {"metadata":{"name":"qwen","namespace":"team","uid":"u-1","generation":1},"status":{"seeders":["node-1"]},
             "spec":{"source":{"uri":"oss://models/qwen/","region":"cn-a"},"placement":{"nodeSelector":{"pool":"a"}}}}
            """#
        let world = World(image: "i")
        _ = world.set(try JSONDecoder().decode(ModelCache.self, from: Data(text.utf8)), key: key)
        for (node, pool) in [("node-1", "a"), ("node-2", "b")] {
            _ = world.set(NodeView(name: node, labels: ["pool": pool]))
            _ = world.addAgent(node, drains: nil, now: now)
        }
        return world
    }

    private func report(_ node: String, _ instance: String = "i") -> AgentReport {
        AgentReport(
            node: node, version: "1", bootID: "b", instanceID: instance, time: 0, memory: .init(budgetBytes: 1, usedBytes: 0),
            caches: [])
    }

    @Test(arguments: [true, false]) func `a plan from before every agent was asked is made again after the last one`(answers: Bool) throws {
        let world = try world()
        _ = world.set(report("node-1"), node: "node-1", askedAt: now)
        #expect(world.observe(key, now: now)?.observed.agentsAreKnown == false)
        let woken =
            answers
            ? world.set(report("node-2"), node: "node-2", askedAt: now).urgent : world.setUnreachable("node-2", why: "refused", now: now)
        #expect(woken == [key])
        #expect(world.observe(key, now: now)?.observed.agentsAreKnown == true)
        // From then on an agent that it has nothing to do with is no news.
        #expect(world.set(report("node-2", "j"), node: "node-2", askedAt: now).urgent.isEmpty)
    }

    @Test func `of the uids that a pod names those of its own namespace count`() throws {
        let world = try world()
        let uids = (0..<1000).map { "other-\($0)" } + ["u-1"]
        #expect(world.known(uids, in: "team") == ["u-1"] && world.known(uids, in: "elsewhere").isEmpty)
        #expect(world.known(Array(repeating: "u-1", count: 100), in: "team").count == 8)
    }
}
