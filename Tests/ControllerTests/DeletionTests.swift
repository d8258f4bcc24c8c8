import Controller
import CRD
import Testing

@Suite struct DeletionTests {
    private func ready(_ names: [String]) -> FakeWorld {
        var world = FakeWorld(nodes: names)
        world.run { $0.isReady }
        return world
    }

    @Test func everythingGoesAndTheFinalizerLast() {
        var world = ready(["node-1", "node-2"])
        world.deletedAt = world.now
        world.run { $0.isGone }
        #expect(world.isGone)
        #expect(world.jobs.isEmpty && world.claim == nil && world.volume == nil)
        #expect(world.agents.values.allSatisfy { $0.caches.isEmpty })
        #expect(world.actions.last == .removeFinalizer)
    }

    @Test func aModelInUseWaitsAndSaysWho() {
        var world = ready(["node-1", "node-2"])
        world.agents["node-2"]?.caches[FakeWorld.uid]?.users = 2
        world.deletedAt = world.now
        world.run(seconds: 60)
        #expect(!world.isGone)
        #expect(world.status?.phase == .terminating)
        #expect(world.condition(.ready)?.reason == "InUse")
        #expect(world.condition(.ready)?.message.contains("node-2 (2 readers)") == true)
        #expect(world.agents["node-1"]?.caches.isEmpty == true)
        #expect(world.agents["node-2"]?.caches.isEmpty == false)
        world.agents["node-2"]?.caches[FakeWorld.uid]?.users = 0
        world.run(seconds: 5) { $0.isGone }
        #expect(world.isGone)
    }

    @Test func nodesThatAreGoneOrNotReadyAreNotWaitedFor() {
        var world = ready(["node-1", "node-2", "node-3"])
        world.nodes["node-2"] = nil
        world.setReachable("node-2", false)
        world.nodes["node-3"] = NodeView(name: "node-3", isReady: false, notReadySince: world.now)
        world.setReachable("node-3", false)
        world.deletedAt = world.now
        world.run(seconds: 3) { $0.isGone }
        #expect(world.isGone)
    }

    @Test func anAgentThatIsSilentOnAHealthyNodeIsWaitedForHalfAMinute() {
        var world = ready(["node-1", "node-2"])
        world.setReachable("node-2", false)
        world.deletedAt = world.now
        world.run(seconds: 28)
        #expect(!world.isGone)
        #expect(world.condition(.ready)?.message.contains("node-2") == true)
        world.run(seconds: 5) { $0.isGone }
        #expect(world.isGone)
    }

    @Test(arguments: 0..<12) func deletionAtAnyMomentLeavesNothing(steps: Int) {
        var world = FakeWorld(nodes: ["node-1", "node-2"])
        for step in 0..<steps {
            world.reconcile()
            if step % 2 == 1 { world.tick() }
        }
        world.deletedAt = world.now
        if !world.hasFinalizer { return }
        world.run { $0.isGone }
        #expect(world.isGone && world.jobs.isEmpty && world.claim == nil && world.volume == nil)
        #expect(world.agents.values.allSatisfy { $0.caches.isEmpty })
    }

    @Test func anObjectWithoutOurFinalizerIsLeftAlone() {
        var world = FakeWorld(nodes: ["node-1"])
        world.deletedAt = world.now
        let plan = world.reconcile()
        #expect(plan.actions.isEmpty && plan.picture == nil)
    }

    @Test func anInvalidSpecIsNoHindrance() {
        var world = ready(["node-1"])
        world.invalid = "broken"
        world.deletedAt = world.now
        world.run { $0.isGone }
        #expect(world.isGone)
    }
}
