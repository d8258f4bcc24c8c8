import AgentAPI
import Controller
import CRD
import Kubernetes
import Testing

/// A rolling update of the agents' DaemonSet.
@Suite struct RolloutTests {
    @Test func `A rolling update changes no Ready condition and raises no Warning`() {
        let names = (1...5).map { "node-\($0)" }
        var world = FakeWorld(nodes: names)
        world.run { $0.isReady }
        world.run(seconds: 5)
        let (writes, events) = (world.statusWrites, world.events.count)
        for node in names {
            world.stopAgentPod(node)
            for _ in 0..<45 {
                world.tick()
                world.settle()
                #expect(world.isReady)
            }
            world.startAgentPod(node)
            world.run(seconds: 5)
        }
        #expect(world.isReady && world.events.count == events)
        #expect(world.statusWrites == writes)
        #expect(world.madeJobs.count == names.count)
    }

    @Test func `A pod that takes its grace period to end changes no Ready condition`() {
        var world = FakeWorld(nodes: ["node-1", "node-2"])
        world.run { $0.isReady }
        world.run(seconds: 5)
        let writes = world.statusWrites
        world.drainAgentPod("node-2", grace: .seconds(300))
        for _ in 0..<290 {
            world.tick()
            world.settle()
            #expect(world.isReady)
        }
        world.stopAgentPod("node-2")
        for _ in 0..<50 {
            world.tick()
            world.settle()
            #expect(world.isReady)
        }
        world.startAgentPod("node-2")
        world.run(seconds: 5)
        #expect(world.isReady && world.statusWrites == writes && world.madeJobs.count == 2)
    }

    @Test func `A pod that does not end within its grace period counts as silent then`() {
        var world = FakeWorld(nodes: ["node-1", "node-2"])
        world.run { $0.isReady }
        world.drainAgentPod("node-2", grace: .seconds(100))
        world.run(seconds: 158)
        #expect(world.isReady)
        world.run(seconds: 5)
        #expect(world.condition(.ready)?.reason == "AgentUnreachable")
    }

    @Test func `A deletion waits for the agent that follows a pod which ends`() {
        var world = FakeWorld(nodes: ["node-1", "node-2"])
        world.run { $0.isReady }
        world.drainAgentPod("node-2", grace: .seconds(120))
        world.deletedAt = world.now
        world.run(seconds: 110)
        #expect(!world.isGone)
        world.stopAgentPod("node-2")
        world.run(seconds: 10)
        world.startAgentPod("node-2")
        world.run(seconds: 10) { $0.isGone }
        #expect(world.isGone && world.events.allSatisfy { $0.reason != "CopiesLeft" })
    }

    @Test(arguments: [(nil, nil, 30), (90, nil, 90), (90, 5, 5)] as [(Int64?, Int64?, Int64)])
    func `A pod that was asked to end has the grace period of its deletion`(spec: Int64?, deletion: Int64?, grace: Int64) throws {
        func pod(isEnding: Bool) throws -> AgentPod {
            let metadata = ObjectMeta(
                name: "agent", uid: "a", deletionTimestamp: isEnding ? WallTime.clock.timestamp : nil,
                deletionGracePeriodSeconds: isEnding ? deletion : nil)
            let running = PodSpec(containers: [], terminationGracePeriodSeconds: spec, nodeName: "node-1")
            return try #require(AgentPod(Pod(metadata: metadata, spec: running, status: PodStatus(phase: "Running", podIP: "10.0.0.1"))))
        }
        var directory = AgentDirectory()
        let found = directory.set(try pod(isEnding: false))
        #expect(found == .found(node: "node-1", address: "10.0.0.1", drains: nil))
        let ends = directory.set(try pod(isEnding: true))
        #expect(ends == .found(node: "node-1", address: "10.0.0.1", drains: .seconds(grace)))
    }

    @Test func `A node that stays without an agent's pod counts after the grace`() {
        var world = FakeWorld(nodes: ["node-1", "node-2"])
        world.run { $0.isReady }
        world.stopAgentPod("node-2")
        world.run(seconds: 58)
        #expect(world.isReady)
        world.run(seconds: 5)
        #expect(world.condition(.ready)?.reason == "WaitingForAgents")
    }

    @Test func `A node without an agent's pod that held the model is named when the ModelCache goes`() {
        var world = FakeWorld(nodes: ["node-1", "node-2"])
        world.run { $0.isReady }
        world.agents["node-2"] = nil
        world.crash()
        world.deletedAt = world.now
        world.run(seconds: 60) { $0.isGone }
        #expect(world.isGone)
        #expect(world.events.last?.reason == "CopiesLeft")
        #expect(world.events.last?.message.contains("node-2") == true)
    }

    @Test func `A pod that comes back within the grace removes its copy`() {
        var world = FakeWorld(nodes: ["node-1", "node-2"])
        world.run { $0.isReady }
        world.stopAgentPod("node-2")
        world.deletedAt = world.now
        world.run(seconds: 20)
        #expect(!world.isGone)
        world.startAgentPod("node-2")
        world.run(seconds: 10) { $0.isGone }
        #expect(world.isGone && world.events.allSatisfy { $0.reason != "CopiesLeft" })
        #expect(world.agents["node-2"]?.caches.isEmpty == true)
    }
}
