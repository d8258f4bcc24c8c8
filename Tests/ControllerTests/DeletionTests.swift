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
        world.run(seconds: 590)
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

    /// Another holder keeps the deletion under way.
    private func deletionUnderWay(_ names: [String]) -> FakeWorld {
        var world = ready(names)
        world.run(seconds: 5)
        world.agents["node-1"]?.caches[FakeWorld.uid]?.users = 1
        return world
    }

    private func end(_ world: inout FakeWorld) {
        world.agents["node-1"]?.caches[FakeWorld.uid]?.users = 0
        world.run(seconds: 60) { $0.isGone }
    }

    @Test(arguments: [false, true])
    func `A copy out of reach is named though the operator restarts during the deletion`(isPartial: Bool) {
        var world = deletionUnderWay(["node-1", "node-2", "node-3"])
        if isPartial {
            world.agents["node-2"]?.caches[FakeWorld.uid]?.state = .failed
            world.agents["node-2"]?.caches[FakeWorld.uid]?.bytesCached = 1
            world.failing = ["node-2"]
        }
        world.run(seconds: 5)
        for node in ["node-2", "node-3"] {
            if node == "node-3" { world.agents[node]?.caches = [:] }
            world.settle()
            world.nodes[node] = NodeView(name: node, isReady: false, notReadySince: world.now)
            world.setReachable(node, false)
        }
        world.deletedAt = world.now
        world.run(seconds: 5)
        world.crash()
        world.run(seconds: 5)
        #expect(world.status?.copies == ["node-1", "node-2"])
        end(&world)
        #expect(world.isGone && world.events.map(\.reason) == ["CopiesLeft"])
        #expect(world.events.first?.message.contains("left on node-2 (node-2: the node is not ready)") == true)
    }

    @Test(arguments: [false, true])
    func `A node that leaves the cluster during the deletion is named`(restarts: Bool) {
        var world = deletionUnderWay(["node-1", "node-2"])
        world.deletedAt = world.now
        world.nodes["node-2"] = NodeView(name: "node-2", isReady: false, notReadySince: world.now)
        world.setReachable("node-2", false)
        world.run(seconds: 5)
        world.nodes["node-2"] = nil
        world.agents["node-2"] = nil
        if restarts { world.crash() }
        world.run(seconds: 5)
        #expect(!world.isGone)
        end(&world)
        #expect(world.events.last?.message.contains("left on node-2, which left the cluster") == true)
    }

    @Test(arguments: [false, true])
    func `A node that left the cluster before the deletion is named and holds nothing`(isHeldByAnother: Bool) {
        var world = isHeldByAnother ? deletionUnderWay(["node-1", "node-2"]) : ready(["node-1", "node-2"])
        world.nodes["node-2"] = nil
        world.agents["node-2"] = nil
        world.run(seconds: 5)
        #expect(world.status?.copies == ["node-1"] && world.status?.departed == DepartedNodes(names: ["node-2"]))
        world.crash()
        world.deletedAt = world.now
        world.run(seconds: 5) { $0.isGone }
        #expect(world.isGone != isHeldByAnother)
        if isHeldByAnother {
            #expect(world.condition(.ready)?.message.contains("node-2, which left the cluster") == true)
            end(&world)
        }
        #expect(world.isGone && world.events.map(\.reason) == ["CopiesLeft"])
        let told = world.events.first
        #expect(told?.message.contains("left on node-2, which left the cluster: they can only be removed") == true)
        #expect(told?.isWarning == false, "mostly the copy went with the node")
    }

    @Test func `A node that returns without its copy is named no more`() {
        var world = ready(["node-1", "node-2"])
        world.nodes["node-2"] = nil
        world.agents["node-2"] = nil
        world.run(seconds: 5)
        #expect(world.status?.copies == ["node-1"] && world.status?.departed == DepartedNodes(names: ["node-2"]))
        world.addNode("node-2", agent: false)
        world.run(seconds: 5)
        #expect(world.status?.copies == ["node-1", "node-2"], "nobody has looked yet")
        world.agents["node-2"] = FakeWorld.Agent(budget: 1)
        world.run(seconds: 5)
        #expect(world.status?.copies == ["node-1"] && world.status?.departed == nil)
    }

    @Test(arguments: [false, true])
    func `Of the nodes that left the cluster the last twenty are remembered, and the others counted`(restarts: Bool) {
        var world = ready(["node-1"])
        for number in 100..<130 {
            world.addNode("node-\(number)")
            world.run(seconds: 20) { $0.isReady }
            world.run(seconds: 5)
            world.nodes["node-\(number)"] = nil
            world.agents["node-\(number)"] = nil
            world.run(seconds: 5)
            if restarts { world.crash() }
        }
        let names = (110..<130).reversed().map { "node-\($0)" }
        #expect(world.status?.copies == ["node-1"])
        #expect(world.status?.departed == DepartedNodes(names: names, leftOut: 10))
        world.deletedAt = world.now
        world.run(seconds: 10) { $0.isGone }
        #expect(world.events.last?.message.hasSuffix("; 10 nodes left the cluster with a copy earlier") == true)
    }

    @Test(arguments: [false, true])
    func `However many nodes have a copy, one that leaves with its own is remembered`(restarts: Bool) {
        var world = ready((1...150).map { "node-\($0)" })
        world.run(seconds: 5)
        let (named, unnamed) = ("node-1", "node-99")
        #expect(world.status?.copies?.contains(named) == true && world.status?.copies?.contains(unnamed) == false)
        for node in [named, unnamed] {
            world.nodes[node] = nil
            world.agents[node] = nil
        }
        world.run(seconds: 5)
        #expect(world.status?.copies?.count == ModelCacheStatus.maximumCopies)
        #expect(world.status?.departed == DepartedNodes(names: [named, unnamed]))
        if restarts { world.crash() }
        world.deletedAt = world.now
        world.run(seconds: 60) { $0.isGone }
        #expect(world.events.last?.message.contains("left on node-1, node-99, which left the cluster") == true)
    }

    @Test func `What a release before this one wrote of nodes that left is taken over`() {
        var world = ready(["node-1"])
        world.run(seconds: 5)
        world.crash()
        world.status?.copies = ["node-1", "node-9", "node-8"]
        world.run(seconds: 5)
        #expect(world.status?.copies == ["node-1"])
        #expect(world.status?.departed == DepartedNodes(names: ["node-8", "node-9"]))
    }

    @Test func `Of more copies than the status names, those out of reach are named`() {
        var world = ready((1...150).map { "node-\($0)" })
        world.run(seconds: 5)
        #expect(world.status?.copies?.count == ModelCacheStatus.maximumCopies)
        let away = ["node-77", "node-99"]
        for node in away { world.stopAgentPod(node) }
        world.run(seconds: 65)
        #expect(away.allSatisfy { world.status?.copies?.contains($0) == true })
        world.crash()
        world.deletedAt = world.now
        world.run(seconds: 60) { $0.isGone }
        #expect(world.isGone && world.events.last?.message.contains("left on node-77, node-99 (") == true)
    }

    @Test func `A pod between two is waited for though the operator has restarted`() {
        var world = ready(["node-1", "node-2"])
        world.run(seconds: 5)
        world.stopAgentPod("node-2")
        world.crash()
        world.deletedAt = world.now
        world.run(seconds: 20)
        #expect(!world.isGone)
        world.startAgentPod("node-2")
        world.run(seconds: 10) { $0.isGone }
        #expect(world.isGone && world.events.isEmpty)
        #expect(world.agents["node-2"]?.caches.isEmpty == true)
    }

    @Test func `A stuck reader holds a ModelCache for ten minutes and no longer`() {
        var world = ready(["node-1", "node-2"])
        world.agents["node-2"]?.caches[FakeWorld.uid]?.users = 1
        world.deletedAt = world.now
        world.run(seconds: 610) { $0.isGone }
        #expect(world.isGone && world.claim == nil && world.volume == nil)
        #expect(world.events.map(\.reason) == ["CopiesLeft"])
        #expect(world.events.first?.message.contains("node-2: it is open in 1 reader") == true)
        #expect(world.agents["node-2"]?.caches.isEmpty == false, "the reader keeps its bytes")
    }

    @Test func `A person's force ends the wait for readers at once`() {
        var world = ready(["node-1"])
        world.agents["node-1"]?.caches[FakeWorld.uid]?.users = 1
        world.deletedAt = world.now
        world.run(seconds: 20)
        #expect(!world.isGone)
        world.forcesEviction = true
        world.run(seconds: 5) { $0.isGone }
        #expect(world.isGone && world.events.isEmpty)
        #expect(world.agents["node-1"]?.caches.isEmpty == true)
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

    @Test(arguments: [false, true])
    func `an agent that obeys no eviction holds a ModelCache for ten minutes at most`(isForced: Bool) {
        var world = ready(["node-1"])
        world.agents["node-1"]?.obeysEvictions = false
        world.deletedAt = world.now
        if isForced { world.forcesEviction = true }
        world.run(seconds: 590)
        #expect(!world.isGone)
        world.run(seconds: 20) { $0.isGone }
        #expect(world.isGone && world.events.map(\.reason) == ["CopiesLeft"])
        #expect(world.events.first?.message.contains("did not evict it in time") == true)
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
