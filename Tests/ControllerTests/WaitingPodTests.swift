import AgentAPI
import Controller
import CRD
import Kubernetes
import Testing

/// Pods that wait for the model on their nodes.
@Suite struct WaitingPodTests {
    private static let role = SourceRole(assumed: .init(serviceAccount: "warm", roleARN: "acs:ram::1:role/r", providerARN: "p"))

    private static func pod(_ uid: String, on node: String, namespace: String = "team") -> WaitingPod {
        WaitingPod(namespace: namespace, name: "llama-\(uid)", uid: uid, node: node)
    }

    /// One node that takes everything, one with a taint, one that is cordoned.
    private static func world(_ configure: (inout CacheSpec) -> Void) -> FakeWorld {
        var world = FakeWorld(nodes: ["node-1", "node-2", "node-3"], configure: configure)
        world.nodes["node-2"] = NodeView(name: "node-2", taints: [Taint(key: "gpu", value: "a", effect: "NoSchedule")])
        world.nodes["node-3"] = NodeView(name: "node-3", isSchedulable: false)
        return world
    }

    @Test(arguments: [true, false])
    func `A pod on a tainted or cordoned node gets its model by a Job that tolerates the node`(isEager: Bool) {
        var world = Self.world { $0.isEager = isEager; $0.secretName = "keys" }
        world.run { $0.isReady }
        #expect(world.madeJobs == ["node-1"])
        #expect(world.agents["node-2"]?.caches.isEmpty == true && world.agents["node-3"]?.caches.isEmpty == true)
        world.waitingPods = [Self.pod("p", on: "node-2"), Self.pod("q", on: "node-3")]
        world.run { $0.holds("node-2") && $0.holds("node-3") }
        #expect(world.holds("node-2") && world.holds("node-3"))
        #expect(world.lastJobs["node-1"]?.tolerations == [])
        let own = Kubernetes.Toleration(key: "gpu", operator: "Equal", value: "a", effect: "NoSchedule")
        #expect(world.lastJobs["node-2"]?.tolerations == [own])
        let cordon = Kubernetes.Toleration(key: "node.kubernetes.io/unschedulable", operator: "Exists", effect: "NoSchedule")
        #expect(world.lastJobs["node-3"]?.tolerations == [cordon])
        let template = WarmupTemplate(
            owner: world.owner, spec: world.spec, source: world.spec.source, image: "i")
        let manifest = world.lastJobs["node-2"].map { template.manifest($0) }
        #expect(manifest?.spec?.template.spec?.tolerations == [own])
        // They are no nodes of the ModelCache's for that.
        world.waitingPods = []
        world.run(seconds: 10)
        #expect(world.isReady && world.status?.nodes?.summary == "1/1")
        for node in ["node-2", "node-3"] {
            #expect(world.agents[node]?.caches[FakeWorld.uid]?.pinned == false && world.holds(node))
        }
        #expect(world.madeJobs.count == 3 && !world.events.contains { $0.pod != nil })
    }

    @Test(arguments: [true, false])
    func `A pod that reads by itself finds the directory on a tainted node`(isEager: Bool) {
        var world = Self.world { $0.isEager = isEager }
        world.run { $0.isReady }
        world.waitingPods = [Self.pod("p", on: "node-2")]
        world.run(seconds: 5)
        #expect(world.agents["node-2"]?.caches[FakeWorld.uid]?.pinned == false)
        #expect(world.madeJobs == ["node-1"] && world.isReady)
        // It runs by now; its agent is told of other token keys as everybody's.
        world.waitingPods = []
        let prepared = world.prepared.count
        world.spec.maxBytesPerSecond = 1000
        world.generation += 1
        world.run(seconds: 5)
        #expect(world.prepared.dropFirst(prepared).contains("node-2"))
    }

    @Test func `A seeder's node with a new taint loses the seat, and its pod gets the model still`() {
        var world = FakeWorld(nodes: ["node-1", "node-2"]) { $0.isEager = false; $0.secretName = "keys" }
        world.run { $0.isReady }
        guard let seeder = world.status?.seeders.first else {
            Issue.record("no seeder")
            return
        }
        world.restartAgent(seeder)
        world.nodes[seeder] = NodeView(name: seeder, taints: [Taint(key: "gpu", effect: "NoExecute")])
        world.waitingPods = [Self.pod("p", on: seeder)]
        world.run { $0.holds(seeder) && $0.isReady }
        #expect(world.holds(seeder) && world.status?.seeders != [seeder] && world.status?.seeders.count == 1)
        #expect(world.agents[seeder]?.caches[FakeWorld.uid]?.pinned == false)
    }

    @Test func `A pod of another namespace asks for no Job and is told nothing`() {
        var world = FakeWorld(nodes: ["node-1"]) { $0.isEager = false; $0.seeders = 0; $0.secretName = "keys" }
        world.addNode("node-2", agent: false)
        world.waitingPods = [
            Self.pod("p", on: "node-1", namespace: "other"), Self.pod("q", on: "node-2", namespace: "other"),
        ]
        world.run(seconds: 60)
        #expect(world.madeJobs.isEmpty && world.events.filter { $0.pod != nil }.isEmpty)
    }

    @Test func `Nodes where pods wait go before the roll-out and have places of their own`() {
        var world = FakeWorld(nodes: (1...9).map { "node-\($0)" }) { $0.parallelism = 2; $0.secretName = "keys" }
        for node in world.nodes.keys { world.stuck[node] = .running }
        world.run(seconds: 2)
        let rollOut = Set(world.madeJobs)
        #expect(rollOut.count == 2)
        let others = world.nodes.keys.filter { !rollOut.contains($0) }.sorted()
        world.waitingPods = [Self.pod("p", on: others[5]), Self.pod("q", on: others[6])]
        world.run(seconds: 2)
        #expect(Set(world.madeJobs.dropFirst(2)) == [others[5], others[6]])
        // No more than as many again.
        world.waitingPods.append(Self.pod("r", on: others[4]))
        world.run(seconds: 5)
        #expect(world.madeJobs.count == 4)
        world.stuck = [:]
        world.run(seconds: 10) { $0.madeJobs.count > 4 }
        #expect(world.madeJobs.dropFirst(4).first == others[4])
    }

    @Test func `A pod that came after a Job failed gets another within a minute, and no more than one a minute`() {
        var world = FakeWorld(nodes: ["node-1"]) { $0.isEager = false; $0.seeders = 0; $0.secretName = "keys" }
        world.run(seconds: 5)
        world.failing = ["node-1"]
        world.waitingPods = [Self.pod("p", on: "node-1")]
        world.run(seconds: 300)
        #expect(world.madeJobs.count == 1)
        world.waitingPods = [Self.pod("q", on: "node-1")]
        world.run(seconds: 2)
        #expect(world.madeJobs.count == 2)
        world.waitingPods = [Self.pod("r", on: "node-1")]
        world.run(seconds: 50)
        #expect(world.madeJobs.count == 2)
        world.failing = []
        world.run(seconds: 20) { $0.holds("node-1") }
        #expect(world.holds("node-1") && world.madeJobs.count == 3)
    }

    @Test func `The back-off of a failed Job outlives the pod, and an operator`() {
        var world = FakeWorld(nodes: ["node-1"]) { $0.isEager = false; $0.seeders = 0; $0.secretName = "keys" }
        world.run(seconds: 5)
        world.failing = ["node-1"]
        var pod = Self.pod("p", on: "node-1")
        pod.boundAt = world.now + .seconds(-100)
        world.waitingPods = [pod]
        world.run(seconds: 300)
        world.crash()
        world.run(seconds: 100)
        #expect(world.madeJobs.count == 1, "another operator knows the pod for an old one")
        world.waitingPods = []
        world.run(seconds: 5)
        pod.uid = "q"
        pod.boundAt = world.now
        world.waitingPods = [pod]
        world.run(seconds: 2)
        #expect(world.madeJobs.count == 2 && world.lastJobs["node-1"]?.attempt.retries == 1)
        world.waitingPods = []
        world.nodes["node-1"] = NodeView(name: "node-1", labels: ["pool": "b"])
        world.spec.placement.nodeSelector = ["pool": "a"]
        world.generation += 1
        world.run(seconds: 5)
        #expect(world.jobs.isEmpty)
    }

    @Test func `A Job for the pods of a tainted node stays one when the agent there starts anew`() {
        var world = Self.world { $0.isEager = true; $0.secretName = "keys" }
        world.run { $0.isReady }
        world.stuck["node-2"] = .running
        world.waitingPods = [Self.pod("p", on: "node-2")]
        world.run(seconds: 5)
        #expect(world.job(on: "node-2")?.isForPods == true)
        world.restartAgent("node-2")
        world.run(seconds: 5)
        #expect(world.agents["node-2"]?.caches[FakeWorld.uid]?.pinned == false)
    }

    @Test func `A pod that came after a Job did not start gets another within a minute`() {
        var world = FakeWorld(nodes: ["node-1"]) { $0.isEager = false; $0.seeders = 0; $0.source.role = Self.role }
        world.stuck["node-1"] = .stuck(reason: "Unschedulable", message: "too many pods")
        world.waitingPods = [Self.pod("p", on: "node-1")]
        world.run(seconds: 500)
        #expect(world.madeJobs.count == 1 && world.status?.nodes?.failed == 1)
        world.stuck = [:]
        world.waitingPods = [Self.pod("q", on: "node-1")]
        world.run(seconds: 10) { $0.holds("node-1") }
        #expect(world.holds("node-1"))
    }

    @Test func `A pod whose Job does not fit its node is told so once, with the way around it`() {
        for isSecret in [true, false] {
            var world = FakeWorld(nodes: ["node-1"]) {
                $0.isEager = false
                $0.seeders = 0
                if isSecret { $0.secretName = "keys" } else { $0.source.role = Self.role }
            }
            world.stuck["node-1"] = .stuck(reason: "Unschedulable", message: "0/1 nodes are available: 1 Too many pods.")
            world.waitingPods = [Self.pod("p", on: "node-1")]
            world.run(seconds: 290)
            #expect(!world.events.contains { $0.pod != nil })
            world.run(seconds: 100)
            let told = world.events.filter { $0.pod?.uid == "p" }
            #expect(told.map(\.reason) == ["WarmupFailed"])
            #expect(told.first?.message.contains("Unschedulable: 0/1 nodes are available: 1 Too many pods") == true)
            // Of a role a pod has no part.
            #expect(told.first?.message.contains("direct-credentials") == isSecret)
        }
    }

    private static let refusal = CacheReport.Failure(
        code: "AccessDenied", message: "STS refuses RAM role acs:ram::1:role/r (EntityNotExist.Role); let warm assume it")

    /// The agent's word on the Job's token.
    private static func refuse(_ world: inout FakeWorld, _ failure: CacheReport.Failure?) {
        world.agents["node-1"]?.caches[FakeWorld.uid]?.state = failure == nil ? .prepared : .failed
        world.agents["node-1"]?.caches[FakeWorld.uid]?.error = failure
    }

    @Test func `A pod whose Job is refused for its role is told while the Job tries again`() {
        var world = FakeWorld(nodes: ["node-1"]) { $0.isEager = false; $0.seeders = 0; $0.source.role = Self.role }
        world.stuck["node-1"] = .running
        world.waitingPods = [Self.pod("p", on: "node-1")]
        world.run(seconds: 5)
        #expect(!world.events.contains { $0.pod != nil })
        Self.refuse(&world, CacheReport.Failure(code: "EndpointUnreachable", message: "the store does not answer"))
        world.run(seconds: 5)
        #expect(!world.events.contains { $0.pod != nil }, "time may cure it")
        Self.refuse(&world, Self.refusal)
        world.run(seconds: 5)
        #expect(!world.events.contains { $0.pod != nil }, "it may be of the Job before")
        world.run(seconds: 60)
        let told = world.events.filter { $0.pod?.uid == "p" }
        #expect(told.map(\.reason) == ["WarmupRefused"])
        #expect(told.first?.message.contains("acs:ram::1:role/r (EntityNotExist.Role); let warm assume it") == true)
        let ready = world.condition(.ready)
        #expect(ready?.reason == "Warming" && ready?.message.contains("node-1: AccessDenied: STS refuses RAM role") == true)
        Self.refuse(&world, nil)
        world.stuck = [:]
        world.run { $0.holds("node-1") }
        #expect(world.holds("node-1") && world.madeJobs.count == 1)
        #expect(world.condition(.ready)?.message.contains("STS") == false)
    }

    @Test func `The refusal of the Job before is not told of the next one, unless it stands for a minute`() {
        var world = FakeWorld(nodes: ["node-1"]) { $0.isEager = false; $0.seeders = 0; $0.source.role = Self.role }
        world.run(seconds: 5)
        world.stuck["node-1"] = .running
        Self.refuse(&world, Self.refusal)
        world.waitingPods = [Self.pod("p", on: "node-1")]
        world.run(seconds: 30)
        #expect(world.madeJobs.count == 1 && !world.events.contains { $0.pod != nil })
        #expect(world.condition(.ready)?.message.contains("STS") == false)
        world.run(seconds: 35)
        #expect(world.events.filter { $0.pod != nil }.map(\.reason) == ["WarmupRefused"])
    }

    @Test func `A refusal that capacity or the source may cure is not told while the Job tries`() {
        for code in ["InsufficientCapacity", "SourceEmpty", "ContentMismatch"] {
            var world = FakeWorld(nodes: ["node-1"]) { $0.isEager = false; $0.seeders = 0; $0.source.role = Self.role }
            world.run(seconds: 5)
            world.stuck["node-1"] = .running
            world.waitingPods = [Self.pod("p", on: "node-1")]
            Self.refuse(&world, CacheReport.Failure(code: code, message: "not now"))
            world.run(seconds: 90)
            #expect(!world.events.contains { $0.reason == "WarmupRefused" }, "\(code)")
        }
    }

    @Test func `A pod for which no Job is made is told why`() {
        func events(_ configure: (inout FakeWorld) -> Void) -> [PlannedEvent] {
            var world = FakeWorld(nodes: ["node-1"]) { $0.isEager = false; $0.seeders = 0; $0.source.role = Self.role }
            world.run(seconds: 5)
            configure(&world)
            world.waitingPods = [Self.pod("p", on: "node-1")]
            world.run(seconds: 30)
            #expect(world.madeJobs.isEmpty)
            return world.events.filter { $0.pod?.uid == "p" }
        }
        let refused = events { world in
            world.sourceFailure = SourceFailure(.accessDenied, "STS refuses RAM role acs:ram::1:role/r")
            world.crash()
            world.generation += 1
            world.run(seconds: 3)
        }
        #expect(refused.map(\.reason) == ["WarmupRefused"])
        #expect(refused.first?.message.contains("AccessDenied: STS refuses RAM role acs:ram::1:role/r") == true)
        let suspended = events { $0.spec.isSuspended = true }
        #expect(suspended.map(\.reason) == ["WarmupRefused"] && suspended.first?.message.contains("spec.suspend") == true)
    }
}
