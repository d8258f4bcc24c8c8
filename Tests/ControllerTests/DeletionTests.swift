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

    @Test func anAgentThatAnswersWithAnErrorIsNamedTriedAgainAndLeftBehindAfterTwoMinutes() {
        var world = ready(["node-1", "node-2"])
        world.agents["node-2"]?.refusal = "HTTP 500: cannot unmount"
        world.deletedAt = world.now
        world.run(seconds: 100)
        #expect(!world.isGone)
        #expect(world.condition(.ready)?.reason == "EvictionRefused")
        #expect(world.condition(.ready)?.message.contains("node-2: HTTP 500: cannot unmount") == true)
        // After 5, 15, 35 and 75 s.
        #expect(world.evictionsRefused == 5)
        #expect(world.events.isEmpty)
        world.run(seconds: 30) { $0.isGone }
        #expect(world.isGone && world.claim == nil && world.volume == nil)
        #expect(world.events.map(\.reason) == ["CopiesLeft"])
        #expect(world.events.first?.message.contains("node-2 (node-2: HTTP 500: cannot unmount)") == true)
        #expect(world.events.first?.message.contains("/run/modelcache/caches/\(FakeWorld.uid)") == true)
    }

    @Test func anAgentThatRecoversFromAnErrorEvictsAndNothingIsLeft() {
        var world = ready(["node-1"])
        world.agents["node-1"]?.refusal = "HTTP 500"
        world.deletedAt = world.now
        world.run(seconds: 20)
        world.agents["node-1"]?.refusal = nil
        world.run(seconds: 30) { $0.isGone }
        #expect(world.isGone && world.events.isEmpty)
        #expect(world.agents["node-1"]?.caches.isEmpty == true)
    }

    @Test func theGraceIsCountedFromWhenTheDeletionWasSeen() {
        var world = ready(["node-1", "node-2"])
        world.setReachable("node-2", false)
        // The API server's clock is an hour behind ours.
        world.deletedAt = world.now + .seconds(-3600)
        world.run(seconds: 28)
        #expect(!world.isGone)
        world.run(seconds: 5) { $0.isGone }
        #expect(world.isGone)
        #expect(world.events.map(\.reason) == ["CopiesLeft"])
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
