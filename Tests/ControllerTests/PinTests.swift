import AgentAPI
import Controller
import CRD
import Testing

/// What `spec.source.digest` excludes is neither warmed nor ready, whoever leads.
@Suite struct PinTests {
    private func pinned(_ digest: String) -> FakeWorld {
        var world = FakeWorld(nodes: ["node-1"]) { $0.pinnedDigest = digest }
        world.run { $0.isReady }
        return world
    }

    @Test(arguments: [true, false])
    func `another leader makes no Job for a pinned source before it has listed it`(isTold: Bool) {
        var world = pinned("sha256:aa")
        world.digest = "sha256:bb"
        if isTold {
            // An agent that reports another digest has the source listed.
            world.agents["node-1"]?.caches[FakeWorld.uid]?.digest = "sha256:bb"
            world.run(seconds: 5)
            world.agents["node-1"]?.caches[FakeWorld.uid]?.digest = "sha256:aa"
            world.run(seconds: 5)
            #expect(world.condition(.sourceResolved)?.reason == "DigestMismatch")
        }
        let told = world.condition(.sourceResolved)
        world.crash()
        world.addNode("node-2")
        let plan = world.reconcile()
        #expect(!plan.actions.contains { if case .createJob = $0 { true } else { false } })
        #expect(!isTold || plan.picture?.source == told.map { .failed(SourceFailure(.digestMismatch, $0.message)) })
        world.run(seconds: 20)
        #expect(world.condition(.sourceResolved)?.reason == "DigestMismatch" && world.madeJobs == ["node-1"])
        world.digest = "sha256:aa"
        world.run(seconds: 70) { $0.isReady }
        #expect(world.isReady && world.madeJobs == ["node-1", "node-2"])
    }

    @Test func `another leader asks nothing and writes nothing while nothing is to be warmed`() {
        var world = pinned("sha256:aa")
        let (looks, writes) = (world.looks, world.statusWrites)
        world.crash()
        world.run(seconds: 5)
        #expect(world.isReady && world.looks == looks && world.statusWrites == writes)
    }

    @Test func `copies of a listing that the pin excludes are not ready, whoever leads`() {
        var world = FakeWorld(nodes: ["node-1"])
        world.run { $0.isReady }
        world.spec.pinnedDigest = "sha256:bb"
        world.generation += 1
        for _ in 0..<2 {
            world.run(seconds: 5)
            for type in [ConditionType.ready, .progressing, .sourceResolved] {
                #expect(world.condition(type)?.status == .false && world.condition(type)?.reason == "DigestMismatch")
            }
            #expect(world.status?.phase == .failed && world.status?.source?.digest == "sha256:aa")
            world.crash()
        }
        #expect(world.madeJobs.count == 1 && world.holds("node-1"), "what is cached stays")
        // Whatever else is wrong with the source: it cannot make them ready.
        world.sourceFailure = SourceFailure(.endpointUnreachable, "away")
        world.run(seconds: 70)
        #expect(world.condition(.ready)?.reason == "EndpointUnreachable" && world.status?.phase == .resolving)
        world.sourceFailure = nil
        world.digest = "sha256:bb"
        world.run(seconds: 140) { $0.isReady }
        #expect(world.isReady && world.madeJobs.count == 2 && world.status?.source?.digest == "sha256:bb")
    }

    @Test func `a pin that goes back to what nodes hold makes them ready at once`() {
        var world = pinned("sha256:aa")
        world.spec.pinnedDigest = "sha256:bb"
        world.generation += 1
        world.run(seconds: 5)
        #expect(!world.isReady)
        world.crash()
        world.spec.pinnedDigest = "sha256:aa"
        world.generation += 1
        world.run(seconds: 3)
        #expect(world.isReady && world.condition(.sourceResolved)?.status == .true)
    }

    @Test func `a failure of the source that the status tells stands until a listing ends it`() {
        var world = FakeWorld(nodes: ["node-1"])
        world.run { $0.isReady }
        world.sourceFailure = SourceFailure(.accessDenied, "the policy changed")
        world.spec.source.requesterPays = true
        world.generation += 1
        world.run(seconds: 5)
        let told = world.condition(.sourceResolved)
        #expect(told?.reason == "AccessDenied" && world.isReady)
        let looks = world.looks
        world.crash()
        #expect(world.reconcile().picture?.source == world.sourceFailure.map { .failed($0) })
        #expect(world.looks == looks + 1)
        world.crash()
        world.deletedAt = world.now
        #expect(world.reconcile().picture?.source == world.sourceFailure.map { .failed($0) }, "a deletion resolves nothing")
    }

    @Test func `agents are given the pin, and a refusal of theirs has the source listed`() {
        var world = pinned("sha256:aa")
        #expect(world.agents["node-1"]?.caches[FakeWorld.uid]?.source.digest == "sha256:aa")
        world.spec.pinnedDigest = nil
        world.generation += 1
        world.run(seconds: 3)
        #expect(world.isReady && world.agents["node-1"]?.caches[FakeWorld.uid]?.source.digest == nil)
        world.spec.pinnedDigest = "sha256:aa"
        world.generation += 1
        world.run(seconds: 3)
        // The source changes while a node joins: its Job fails at the agent.
        world.digest = "sha256:bb"
        world.failing = ["node-2"]
        world.addNode("node-2")
        world.run(seconds: 1)
        world.agents["node-2"]?.caches[FakeWorld.uid]?.error = CacheReport.Failure(code: "DigestMismatch", message: "another")
        world.run(seconds: 5)
        #expect(world.condition(.sourceResolved)?.reason == "DigestMismatch")
        let looks = world.looks
        world.run(seconds: 30)
        #expect(world.looks == looks, "once for each refusal")
    }
}
