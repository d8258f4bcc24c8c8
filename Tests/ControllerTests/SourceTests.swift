import AgentAPI
import Controller
import CRD
import Kubernetes
import Testing

@Suite struct SourceTests {
    @Test func theFinalizerComesFirst() {
        var world = FakeWorld(nodes: ["node-1"])
        #expect(world.reconcile().actions == [.addFinalizer])
    }

    @Test(arguments: SourceFailure.Reason.allCases.filter { !$0.isOfSpec })
    func eachFailureHasItsReasonAndIsTriedAgainMoreAndMoreSlowly(reason: SourceFailure.Reason) {
        var world = FakeWorld(nodes: ["node-1"])
        world.sourceFailure = SourceFailure(reason, "what and how to mend it")
        world.run(seconds: 4)
        #expect(world.condition(.sourceResolved)?.status == .false)
        #expect(world.condition(.sourceResolved)?.reason == reason.rawValue)
        #expect(world.condition(.sourceResolved)?.message == "what and how to mend it")
        #expect(world.condition(.ready)?.reason == reason.rawValue)
        #expect(world.resolution.failures == 1)
        world.run(seconds: 120)
        #expect((4...7).contains(world.resolution.failures))
        #expect(world.jobs.isEmpty)
        world.sourceFailure = nil
        world.run(seconds: 70) { $0.isReady }
        #expect(world.isReady)
    }

    @Test func anInvalidSpecIsToldAndNothingIsMade() {
        var world = FakeWorld(nodes: ["node-1"])
        world.invalid = "spec.source.uri (\"ftp://x\") has no known scheme: write oss://bucket/prefix/"
        world.run(seconds: 5)
        #expect(world.condition(.sourceResolved)?.reason == "InvalidSpec")
        #expect(world.condition(.sourceResolved)?.message.contains("ftp://x") == true)
        #expect(world.status?.phase == .failed)
        #expect(world.status?.observedGeneration == 1)
        #expect(world.volume == nil && world.jobs.isEmpty)
    }

    @Test func aChangedSourceIsRefusedAndTheOldOneIsServed() {
        var world = FakeWorld(nodes: ["node-1"])
        world.run { $0.isReady }
        let before = world.spec
        world.spec = CacheSpec(source: CacheDefinition.Source(uri: "oss://models/other/", endpoint: "http://store:80"))
        world.generation += 1
        world.run(seconds: 5)
        #expect(world.condition(.sourceResolved)?.reason == "SourceImmutable")
        #expect(world.holds("node-1"))
        #expect(world.madeJobs.count == 1)
        #expect(world.status?.source?.digest == "sha256:aa")
        world.spec = before
        world.generation += 1
        world.run { $0.isReady }
        #expect(world.isReady)
        #expect(world.madeJobs.count == 1)
    }

    @Test func theRegionOfTheNodesFillsInAMissingEndpoint() {
        var world = FakeWorld(nodes: [])
        world.spec = CacheSpec(source: CacheDefinition.Source(uri: "oss://models/qwen/"))
        world.addNode("node-1", labels: [NodeView.regionLabel: "cn-beijing"])
        world.run { $0.isReady }
        let source = world.agents["node-1"]?.caches[FakeWorld.uid]?.source
        #expect(source?.endpoint == "https://oss-cn-beijing-internal.aliyuncs.com")
    }

    @Test func nodesOfSeveralRegionsLeaveTheSourceOpen() {
        var world = FakeWorld(nodes: [])
        world.spec = CacheSpec(source: CacheDefinition.Source(uri: "oss://models/qwen/"))
        world.addNode("node-1", labels: [NodeView.regionLabel: "cn-beijing"])
        world.addNode("node-2", labels: [NodeView.regionLabel: "cn-shanghai"])
        world.run(seconds: 3)
        #expect(world.condition(.sourceResolved)?.reason == "InvalidSpec")
        #expect(world.condition(.sourceResolved)?.message.contains("cn-beijing, cn-shanghai") == true)
    }

    @Test func aRegionThatWasTakenFromTheNodesIsKept() {
        var world = FakeWorld(nodes: [])
        world.spec = CacheSpec(source: CacheDefinition.Source(uri: "oss://models/qwen/"))
        world.run(seconds: 3)
        #expect(world.condition(.sourceResolved)?.status == .unknown)
        #expect(world.condition(.ready)?.reason == "NoMatchingNodes" && world.status?.phase == .pending)
        #expect(world.status?.source == nil)
        world.addNode("node-1", labels: [NodeView.regionLabel: "cn-beijing"])
        world.run { $0.isReady }
        #expect(world.status?.source?.region == "cn-beijing")
        // Others join, the first one goes, the operator starts anew: the source stays where it is.
        world.addNode("node-2", labels: [NodeView.regionLabel: "cn-shanghai"])
        world.run { $0.isReady && $0.holds("node-2") }
        world.nodes["node-1"] = nil
        world.agents["node-1"] = nil
        world.crash()
        world.run(seconds: 5)
        #expect(world.isReady)
        #expect(world.agents["node-2"]?.caches[FakeWorld.uid]?.source.endpoint == "https://oss-cn-beijing-internal.aliyuncs.com")
        world.nodes["node-2"] = nil
        world.agents["node-2"] = nil
        world.run(seconds: 3)
        #expect(world.condition(.ready)?.reason == "NoMatchingNodes")
        #expect(world.condition(.sourceResolved)?.status == .true)
        #expect(world.status?.source?.region == "cn-beijing")
    }

    @Test func aChangedMediumIsRefusedAndTheOldOneIsServed() {
        var world = FakeWorld(nodes: ["node-1"])
        world.run { $0.isReady }
        #expect(world.status?.medium == .memory)
        world.spec.medium = .disk
        world.generation += 1
        world.run(seconds: 5)
        #expect(world.condition(.sourceResolved)?.reason == "MediumImmutable")
        #expect(world.condition(.ready)?.message.contains("make a new ModelCache for the other medium") == true)
        #expect(world.status?.phase == .failed && world.status?.medium == .memory)
        #expect(world.agents["node-1"]?.caches[FakeWorld.uid]?.medium == .memory)
        #expect(world.holds("node-1") && world.volume != nil && world.madeJobs.count == 1)
        world.spec.medium = .memory
        world.generation += 1
        world.run { $0.isReady }
        #expect(world.isReady && world.madeJobs.count == 1)
    }

    @Test func aStoreThatIsAwayLaterDoesNotTakeReadyBack() {
        var world = FakeWorld(nodes: ["node-1"])
        world.run { $0.isReady }
        world.sourceFailure = SourceFailure(.endpointUnreachable, "away")
        world.agents["node-1"]?.caches[FakeWorld.uid]?.digest = "sha256:cc"
        world.run(seconds: 5)
        world.agents["node-1"]?.caches[FakeWorld.uid]?.digest = "sha256:aa"
        world.run(seconds: 5)
        #expect(world.condition(.sourceResolved)?.reason == "EndpointUnreachable")
        #expect(world.isReady)
    }

    @Test func aResolverTellsARefusedConnection() async throws {
        let resolver = try SourceResolver(allowsLoopback: true) { _ in nil }
        let source = CacheDefinition.Source(uri: "oss://models/qwen/", endpoint: "http://127.0.0.1:1")
        guard case .failed(let failure) = try await resolver.resolve(.init(namespace: "a", source: source, secretName: nil)) else {
            Issue.record("resolved")
            return
        }
        #expect(failure.reason == .endpointUnreachable)
        let missing = try await resolver.resolve(.init(namespace: "a", source: source, secretName: "keys"))
        guard case .failed(let failure) = missing else {
            Issue.record("resolved")
            return
        }
        #expect(failure.reason == .secretNotFound)
        #expect(failure.message.contains("keys"))
    }

    /// A name passes validation whatever it resolves to.
    @Test func aResolverConnectsToNoAddressOfItsOwnMachine() async throws {
        let resolver = try SourceResolver { _ in nil }
        let source = CacheDefinition.Source(uri: "oss://models/qwen/", endpoint: "http://localhost:1")
        guard case .failed(let failure) = try await resolver.resolve(.init(namespace: "a", source: source, secretName: nil)) else {
            Issue.record("resolved")
            return
        }
        #expect(failure.reason == .invalidSpec)
        #expect(failure.message.contains("which is this machine itself"))
    }

    @Test(arguments: [
        ([:], "it is empty"), (["akId": "x"], "akSecret"), (["OSS_ACCESS_KEY_ID": "x\n", "OSS_ACCESS_KEY_SECRET": "geheim"], "line break"),
        (["user": "geheim"], "it has user"),
    ] as [([String: String], String)])
    func aSecretThatIsNoUseIsExplainedWithoutItsValues(data: [String: String], words: String) async throws {
        let resolver = try SourceResolver { key in
            Secret(metadata: ObjectMeta(name: key.name, namespace: key.namespace), data: data.mapValues { Base64Data(text: $0) })
        }
        let source = CacheDefinition.Source(uri: "oss://models/qwen/", endpoint: "http://127.0.0.1:1")
        guard case .failed(let failure) = try await resolver.resolve(.init(namespace: "a", source: source, secretName: "keys")) else {
            Issue.record("resolved")
            return
        }
        #expect(failure.reason == .secretInvalid)
        #expect(failure.message.contains(words))
        #expect(!failure.message.contains("geheim"))
    }
}
