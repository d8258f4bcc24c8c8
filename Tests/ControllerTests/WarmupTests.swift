import AgentAPI
import Controller
import CRD
import Testing

@Suite struct WarmupTests {
    @Test func noMoreJobsRunThanParallelismAllows() {
        var world = FakeWorld(nodes: (1...9).map { "node-\($0)" }) { $0.parallelism = 2 }
        world.run { world in
            #expect(world.jobs.values.count { $0.isUnfinished } <= 2)
            return world.isReady
        }
        #expect(world.isReady)
    }

    @Test func seedersAreWarmedFirst() {
        var world = FakeWorld(nodes: (1...9).map { "node-\($0)" }) { $0.parallelism = 2; $0.seeders = 2 }
        world.run(seconds: 1)
        #expect(Set(world.madeJobs) == Set(world.status?.seeders ?? []))
    }

    @Test func onDemandWarmsTheSeedersAloneAndPreparesAll() {
        var world = FakeWorld(nodes: (1...5).map { "node-\($0)" }) { $0.isEager = false; $0.seeders = 2 }
        world.run { $0.isReady }
        #expect(world.isReady)
        #expect(world.madeJobs.count == 2)
        #expect(world.status?.nodes?.summary == "2/2")
        #expect(world.agents.values.allSatisfy { $0.caches.count == 1 })
        #expect(world.agents.values.count { $0.caches.values.contains { $0.pinned } } == 2)
    }

    @Test func claimAndVolumeComeBeforeTheFirstJob() {
        var world = FakeWorld(nodes: ["node-1"])
        var seen: [String] = []
        for _ in 0..<8 {
            world.reconcile()
            for action in world.actions {
                switch action {
                case .createVolume: seen.append("volume")
                case .createClaim: seen.append("claim")
                case .createJob: seen.append("job")
                default: break
                }
            }
        }
        #expect(seen == ["claim", "volume", "job"])
    }

    @Test func aNodeThatJoinsIsWarmed() {
        var world = FakeWorld(nodes: ["node-1"])
        world.run { $0.isReady }
        world.addNode("node-2")
        world.run { $0.isReady && $0.status?.nodes?.desired == 2 }
        #expect(world.holds("node-2"))
        #expect(world.madeJobs == ["node-1", "node-2"])
    }

    @Test func theJobOfANodeThatIsGoneIsDeleted() {
        var world = FakeWorld(nodes: ["node-1", "node-2"])
        world.run { $0.isReady }
        world.nodes["node-2"] = nil
        world.agents["node-2"] = nil
        world.run(seconds: 3)
        #expect(world.job(on: "node-2") == nil)
        #expect(world.isReady)
        #expect(world.status?.nodes?.summary == "1/1")
    }

    @Test func aCopyLostWithItsAgentIsWarmedAgain() {
        var world = FakeWorld(nodes: ["node-1", "node-2"])
        world.run { $0.isReady }
        world.restartAgent("node-2")
        world.tick()
        world.settle()
        #expect(!world.isReady)
        world.run { $0.isReady }
        #expect(world.isReady)
        #expect(world.madeJobs.count { $0 == "node-2" } == 2)
        #expect(world.madeJobs.count { $0 == "node-1" } == 1)
    }

    @Test func aFailedJobIsToldAndTriedAgainWhenTheSpecChanges() {
        var world = FakeWorld(nodes: ["node-1", "node-2"])
        world.failing = ["node-2"]
        world.run(seconds: 10)
        #expect(world.condition(.degraded)?.reason == "BackoffLimitExceeded")
        #expect(world.status?.phase == .degraded)
        #expect(world.status?.nodes?.failed == 1)
        #expect(world.madeJobs.count { $0 == "node-2" } == 1)
        world.failing = []
        world.generation += 1
        world.run { $0.isReady }
        #expect(world.isReady)
        #expect(world.condition(.degraded)?.status == .false)
    }

    @Test func aFailedJobIsTriedAgainAfterTenMinutesAndThenTwenty() {
        var world = FakeWorld(nodes: ["node-1"])
        world.failing = ["node-1"]
        world.run(seconds: 590)
        #expect(world.madeJobs.count == 1)
        world.run(seconds: 30)
        #expect(world.madeJobs.count == 2)
        world.run(seconds: 1180)
        #expect(world.madeJobs.count == 2)
        world.run(seconds: 40)
        #expect(world.madeJobs.count == 3)
    }

    @Test func aFailedJobIsTriedAgainWhenTheSecretChanges() {
        var world = FakeWorld(nodes: ["node-1"]) { $0.secretName = "keys" }
        world.failing = ["node-1"]
        world.run(seconds: 10)
        #expect(world.madeJobs.count == 1)
        world.failing = []
        world.secretVersion = "2"
        world.run(seconds: 70) { $0.isReady }
        #expect(world.isReady)
        #expect(world.madeJobs.count == 2)
    }

    @Test func aFailedJobIsTriedAgainWhenItsAgentIsAnother() {
        var world = FakeWorld(nodes: ["node-1"])
        world.failing = ["node-1"]
        world.run(seconds: 10)
        world.failing = []
        world.restartAgent("node-1")
        world.run { $0.isReady }
        #expect(world.isReady)
    }

    @Test func theAgentsOwnWordsReachTheCondition() {
        var world = FakeWorld(nodes: ["node-1"])
        world.failing = ["node-1"]
        world.run(seconds: 3)
        world.agents["node-1"]?.caches[FakeWorld.uid]?.error = CacheReport.Failure(code: "AccessDenied", message: "the key may not read it")
        world.run(seconds: 5)
        #expect(world.condition(.degraded)?.message.contains("the key may not read it") == true)
    }

    @Test func suspendEndsUnfinishedJobsAndKeepsCopies() {
        var world = FakeWorld(nodes: ["node-1", "node-2", "node-3"]) { $0.parallelism = 1 }
        world.run { $0.status?.nodes?.ready == 1 }
        world.spec.isSuspended = true
        world.generation += 1
        world.run(seconds: 10)
        #expect(world.jobs.values.allSatisfy { !$0.isUnfinished })
        #expect(world.condition(.progressing)?.reason == "Suspended")
        #expect(world.condition(.progressing)?.status == .false)
        #expect(world.status?.phase == .suspended)
        #expect(world.status?.nodes?.ready == 1)
        world.spec.isSuspended = false
        world.generation += 1
        world.run { $0.isReady }
        #expect(world.isReady)
    }

    @Test func aNodeWithoutRoomIsNamedAndTheOthersGoOn() {
        var world = FakeWorld(nodes: ["node-1", "node-2"])
        world.agents["node-2"]?.budget = 10
        world.run(seconds: 10)
        #expect(world.holds("node-1"))
        #expect(world.condition(.capacityExceeded)?.status == .true)
        #expect(world.condition(.capacityExceeded)?.message.contains("node-2 needs 1.0 kB and has 10 B free") == true)
        #expect(world.job(on: "node-2") == nil)
        world.agents["node-2"]?.budget = 1 << 40
        world.run(seconds: 120) { $0.isReady }
        #expect(world.isReady)
        #expect(world.condition(.capacityExceeded)?.status == .false)
    }

    @Test func missingAgentsAreNamedAndTheOthersGoOn() {
        var world = FakeWorld(nodes: ["node-1"])
        for name in ["node-5", "node-6", "node-7", "node-8"] { world.addNode(name, agent: false) }
        world.run(seconds: 10)
        #expect(world.holds("node-1"))
        #expect(world.condition(.progressing)?.reason == "WaitingForAgents")
        #expect(world.condition(.progressing)?.message.contains("node-5, node-6, node-7 and 1 more") == true)
    }

    @Test func anAgentOutOfReachCountsAfterAMinute() {
        var world = FakeWorld(nodes: ["node-1", "node-2"])
        world.run { $0.isReady }
        world.setReachable("node-2", false)
        world.run(seconds: 50)
        #expect(world.isReady)
        world.run(seconds: 20)
        #expect(!world.isReady)
        #expect(world.condition(.degraded)?.reason == "AgentUnreachable")
        world.setReachable("node-2", true)
        world.run(seconds: 3)
        #expect(world.isReady)
        #expect(world.madeJobs.count == 2)
    }

    @Test func noNodeThatMatchesIsSaid() {
        var world = FakeWorld(nodes: ["node-1"]) { $0.placement = PlacementRules(nodeSelector: ["gpu": "yes"]) }
        world.run(seconds: 5)
        #expect(world.condition(.progressing)?.reason == "NoMatchingNodes")
        #expect(world.jobs.isEmpty)
    }

    @Test func anotherDigestOnAReadyNodeIsAskedAboutOnceAndThenSettled() {
        var world = FakeWorld(nodes: ["node-1", "node-2"])
        world.run { $0.isReady }
        // The source was replaced; one node has fetched the new version already.
        world.digest = "sha256:bb"
        world.agents["node-1"]?.caches[FakeWorld.uid]?.digest = "sha256:bb"
        world.run { $0.isReady && $0.status?.source?.digest == "sha256:bb" }
        #expect(world.isReady)
        #expect(world.holds("node-2"))
        #expect(world.madeJobs.count { $0 == "node-1" } == 1)
        #expect(world.madeJobs.count { $0 == "node-2" } == 2)
    }

    @Test func anEvictionRequestedByAPersonIsCarriedOutOnceAndTheCopyComesBack() {
        var world = FakeWorld(nodes: ["node-1", "node-2"])
        world.run { $0.isReady }
        world.eviction = RequestedEviction(node: "node-1", text: "node-1@2026-01-01T00:00:00Z")
        world.settle()
        #expect(world.eviction == nil)
        #expect(!world.holds("node-1"))
        world.run { $0.isReady }
        #expect(world.madeJobs.count { $0 == "node-1" } == 2)
        #expect(world.madeJobs.count { $0 == "node-2" } == 1)
    }

    @Test func anEvictionOfEveryCopyWaitsUntilItIsKnownWhereTheyAre() {
        var world = FakeWorld(nodes: ["node-1", "node-2"])
        world.run { $0.isReady }
        world.agentsAreKnown = false
        // Longer than the mark of a request may be.
        world.eviction = RequestedEviction(node: nil, text: "*@" + String(repeating: "é", count: 5000))
        world.run(seconds: 5)
        #expect(world.eviction != nil && world.evictionBegun == nil && world.refreshed.isEmpty)
        world.agentsAreKnown = true
        world.run { $0.eviction == nil }
        #expect(world.refreshed == ["node-1", "node-2"])
        #expect(!world.events.contains { $0.reason == "EvictionInterrupted" })
    }

    @Test(arguments: 0..<4)
    func `An operator that ends during an eviction does not carry it out twice, and its successor says so`(after reconciles: Int) {
        var world = FakeWorld(nodes: ["node-1"])
        world.run { $0.isReady }
        world.run(seconds: 5)
        world.events = []
        world.eviction = RequestedEviction(node: "node-1", text: "node-1@2026-01-01T00:00:00Z")
        for _ in 0..<reconciles { world.reconcile() }
        world.crash()
        world.run { $0.eviction == nil && $0.isReady }
        #expect(world.eviction == nil && world.evictionBegun == nil && world.isReady)
        // Before it began, and after it ended, nothing is uncertain.
        let isInterrupted = reconciles == 1 || reconciles == 2
        #expect(world.events.contains { $0.reason == "EvictionInterrupted" } == isInterrupted)
        #expect(world.refreshed == (reconciles == 1 ? [] : ["node-1"]))
        // The same words again are another request.
        world.eviction = RequestedEviction(node: "node-1", text: "node-1@2026-01-01T00:00:00Z")
        world.run { $0.eviction == nil && $0.isReady }
        #expect(world.refreshed.count == (reconciles == 1 ? 1 : 2))
    }

    @Test func `the same words again are another request where the answer to the end of the first was lost`() {
        var world = FakeWorld(nodes: ["node-1"])
        world.run { $0.isReady }
        let request = RequestedEviction(node: "node-1", text: "node-1@2026-01-01T00:00:00Z")
        for count in 1...2 {
            world.eviction = request
            world.run { $0.eviction == nil && $0.isReady }
            #expect(world.refreshed.count == count)
            world.memory.refresh = Memory.Refresh(text: request.text)
            world.memory.refreshed("node-1", isDropped: true, request: request.text)
            world.run(seconds: 1)
        }
    }

    @Test func suspendedAndEvictedPromisesNoMemory() {
        var world = FakeWorld(nodes: ["node-1"])
        world.run { $0.isReady }
        world.spec.isSuspended = true
        world.generation += 1
        world.eviction = RequestedEviction(node: nil, text: "*@2026-01-01T00:00:00Z")
        world.run(seconds: 10)
        #expect(world.agents["node-1"]?.caches[FakeWorld.uid]?.pinned == false)
        #expect(world.agents["node-1"]?.caches[FakeWorld.uid]?.bytesCached == 0)
    }

    @Test func `where Jobs alone have credentials, one fills the node of a pod that waits, and goes on when the pod runs`() {
        let role = SourceRole(assumed: .init(serviceAccount: "warm", roleARN: "acs:ram::1:role/r", providerARN: "acs:ram::1:oidc-provider/p"))
        for (reads, secret) in [(role, nil), (nil, "keys"), (.ofNode, nil), (nil, nil)] as [(SourceRole?, String?)] {
            let byJobs = reads == role || secret != nil
            var world = FakeWorld(nodes: ["node-1", "node-2", "node-3"]) {
                $0.isEager = false
                $0.seeders = 0
                $0.source.role = reads
                $0.secretName = secret
            }
            world.run(seconds: 5)
            #expect(world.madeJobs.isEmpty)
            world.waitingPods = [WaitingPod(namespace: "team", name: "llama", uid: "p", node: "node-2")]
            world.run(seconds: 1)
            // Where agents have a role of their own, or nobody needs keys, the pod's own reads bring the model.
            #expect(world.madeJobs == (byJobs ? ["node-2"] : []))
            world.waitingPods = []
            world.run(seconds: 60)
            #expect(world.madeJobs.count == (byJobs ? 1 : 0))
            #expect((world.agents["node-2"]?.caches[FakeWorld.uid]?.state == .ready) == byJobs)
            #expect(world.agents["node-2"]?.caches[FakeWorld.uid]?.pinned != true)
            // A pod on a warm node needs none.
            world.waitingPods = [WaitingPod(namespace: "team", name: "again", uid: "q", node: "node-2")]
            world.run(seconds: 5)
            #expect(world.madeJobs.count == (byJobs ? 1 : 0))
        }
    }

    @Test func `a copy that a reader without keys waits for is filled by a Job, also when the last Job failed or ended`() {
        var world = FakeWorld(nodes: ["node-1"]) {
            $0.isEager = false
            $0.seeders = 0
            $0.secretName = "keys"
        }
        world.run(seconds: 5)
        world.agents["node-1"]?.caches[FakeWorld.uid]?.state = .filling
        world.agents["node-1"]?.caches[FakeWorld.uid]?.users = 1
        world.run(seconds: 10) { $0.holds("node-1") }
        #expect(world.holds("node-1") && world.madeJobs == ["node-1"])
        // A chunk is found damaged later.
        world.agents["node-1"]?.caches[FakeWorld.uid]?.state = .filling
        world.agents["node-1"]?.caches[FakeWorld.uid]?.users = 1
        world.run(seconds: 60) { $0.holds("node-1") }
        #expect(world.holds("node-1") && world.madeJobs == ["node-1", "node-1"])
    }

    @Test func `an operator that says more of the source than the one before tells the agents`() {
        var world = FakeWorld(nodes: ["node-1"]) { $0.secretName = "keys" }
        world.run { $0.isReady }
        let prepared = world.prepared.count
        world.crash()
        world.run(seconds: 5)
        #expect(world.prepared.count == prepared, "the agent has it all")
        world.crash()
        world.spec.source.needsKeys = true
        world.run(seconds: 5)
        #expect(world.prepared.count == prepared + 1)
        #expect(world.agents["node-1"]?.caches[FakeWorld.uid]?.source.needsKeys == true)
    }

    @Test func `another role is told to the agents`() {
        func role(_ arn: String) -> SourceRole { SourceRole(assumed: .init(serviceAccount: "warm", roleARN: arn, providerARN: "p")) }
        var world = FakeWorld(nodes: ["node-1"]) { $0.source.role = role("arn:a") }
        world.run { $0.isReady }
        world.spec.source.role = role("arn:b")
        world.generation += 1
        world.run(seconds: 5)
        #expect(world.agents["node-1"]?.caches[FakeWorld.uid]?.source.role == role("arn:b"))
    }
}
