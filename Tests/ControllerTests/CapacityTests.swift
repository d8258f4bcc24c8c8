import AgentAPI
import Controller
import CRD
import TestSupport
import Testing

@Suite struct CapacityTests {
    private func promise(_ size: Int64, pinned: Bool) -> Capacity.Promise { Capacity.Promise(sizeBytes: size, isPinned: pinned) }

    @Test(arguments: [true, false]) func `A definition must fit beside what no eviction frees, pinned or not`(pinned: Bool) {
        let capacity = Capacity(budgetBytes: 100, heldBytes: 60)
        #expect(capacity.shortfall(for: promise(40, pinned: pinned)) == nil)
        #expect(
            capacity.shortfall(for: promise(41, pinned: pinned)) == Capacity.Shortfall(neededBytes: 41, freeBytes: 40))
    }

    @Test func `A promise stays good though the budget shrinks, and a pin is a new promise`() {
        let capacity = Capacity(budgetBytes: 10)
        #expect(capacity.shortfall(for: promise(50, pinned: true), after: promise(50, pinned: true)) == nil)
        #expect(capacity.shortfall(for: promise(50, pinned: false), after: promise(50, pinned: true)) == nil)
        #expect(capacity.shortfall(for: promise(50, pinned: false), after: promise(50, pinned: false)) == nil)
        #expect(capacity.shortfall(for: promise(50, pinned: true), after: promise(50, pinned: false)) != nil)
        #expect(capacity.shortfall(for: promise(51, pinned: true), after: promise(50, pinned: true)) != nil)
    }

    @Test(arguments: [true, false])
    func `Nodes without capacity are asked for nothing that their agents would refuse`(isEager: Bool) {
        var world = FakeWorld(nodes: ["node-1", "node-2", "node-3", "node-4"]) { $0.isEager = isEager }
        for node in world.agents.keys { world.agents[node]?.budget = FakeWorld.size / 5 }
        world.run(seconds: 600)
        #expect(world.definitionsRefused == 0)
        #expect(world.condition(.capacityExceeded)?.status == .true)
        #expect(world.condition(.degraded)?.reason == "InsufficientCapacity")
        #expect(world.status?.phase == .degraded)
        let writes = world.statusWrites
        world.run(seconds: 600)
        #expect(world.statusWrites == writes)
    }

    /// The reports may show more than the agent can promise: another order came first.
    @Test func `Refusals of one node come ever more rarely and end when capacity comes`() {
        var world = FakeWorld(nodes: ["node-1"])
        world.agents["node-1"]?.hiddenHeldBytes = 1 << 40
        world.run(seconds: 3600)
        // After 5, 15, 35, 75, 155 and 315 s, then every 300 s.
        #expect((6...18).contains(world.definitionsRefused), "\(world.definitionsRefused) refusals in an hour")
        #expect(world.condition(.capacityExceeded)?.status == .true)
        world.agents["node-1"]?.hiddenHeldBytes = 0
        world.agents["node-1"]?.budget += 1 << 41
        world.run(seconds: 10) { $0.isReady }
        #expect(world.isReady, "more capacity ends the wait at once")
    }

    @Test func `A refusal is forgotten when the spec or the agent changes`() {
        let circumstances = AgentRefusal.Circumstances(
            generation: 1, sizeBytes: 10, callersDigest: nil, agentInstance: "a")
        let now = WallTime(seconds: 1_800_000_000)
        var refusal: AgentRefusal?
        for _ in 0..<20 {
            refusal = AgentRefusal(
                .other, after: refusal, isPinned: true, circumstances: circumstances, freeBytes: 5, message: "no", now: now)
        }
        #expect(refusal?.refusal.until == now + .seconds(300))
        #expect(refusal?.isInForce(circumstances, freeBytes: 500, now: now) == true)
        var edited = circumstances
        edited.generation = 2
        #expect(refusal?.isInForce(edited, freeBytes: 5, now: now) == false)
        var restarted = circumstances
        restarted.agentInstance = "b"
        #expect(refusal?.isInForce(restarted, freeBytes: 5, now: now) == false)
    }

    @Test func `A pod on a node without capacity is told once why it waits`() {
        var world = FakeWorld(nodes: ["node-1", "node-2"]) { $0.isEager = false }
        world.agents["node-2"]?.budget = 10
        world.run(seconds: 30) { $0.isReady }
        #expect(world.condition(.capacityExceeded)?.status == .false, "nobody wants the model there")
        world.waitingPods = [WaitingPod(namespace: "team", name: "llama", uid: "p", node: "node-2")]
        world.run(seconds: 60)
        #expect(world.condition(.capacityExceeded)?.status == .true)
        #expect(world.condition(.capacityExceeded)?.message.contains("node-2") == true)
        let told = world.events.filter { $0.pod != nil }
        #expect(told.map(\.reason) == ["InsufficientCapacity"])
        #expect(told.first?.message.contains("free 10 B, needed 1.0 kB") == true)
        #expect(world.definitionsRefused == 0)
        world.waitingPods = []
        world.run(seconds: 5)
        #expect(world.condition(.capacityExceeded)?.status == .false)
    }

    @Test func `A pod on a node that placement does not name, or without an agent, is told so`() {
        var world = FakeWorld(nodes: ["node-1"]) { $0.placement = PlacementRules(nodeSelector: ["pool": "a"]) }
        world.addNode("node-2", labels: ["pool": "a"], agent: false)
        world.waitingPods = [
            WaitingPod(namespace: "team", name: "llama-1", uid: "p1", node: "node-1"),
            WaitingPod(namespace: "team", name: "llama-2", uid: "p2", node: "node-2"),
        ]
        world.run(seconds: 60)
        #expect(world.events.filter { $0.pod != nil }.map(\.reason) == ["NodeNotSelected", "NoAgent"])
    }

    @Test func `A pod on a node that agents do not run on is told so once the node is not new any more`() {
        var world = FakeWorld(nodes: ["node-1"])
        world.run { $0.isReady }
        var pod = WaitingPod(namespace: "team", name: "llama-1", uid: "p1", node: "unlabelled")
        pod.boundAt = world.now
        world.waitingPods = [pod]
        world.run(seconds: 20)
        #expect(!world.events.contains { $0.pod != nil }, "the watch of nodes may be late")
        world.run(seconds: 20)
        let told = world.events.filter { $0.pod?.uid == "p1" }
        #expect(told.map(\.reason) == ["NoAgent"])
        #expect(told.first?.message.contains("--agent-node-selector") == true)
    }

    @Test func `A pod that was ready on a node that has left is told nothing`() {
        var world = FakeWorld(nodes: ["node-1"])
        world.run { $0.isReady }
        var pod = WaitingPod(namespace: "team", name: "llama-1", uid: "p1", node: "gone")
        pod.boundAt = world.now + .seconds(-3600)
        pod.isStart = false
        world.waitingPods = [pod]
        world.run(seconds: 60)
        #expect(!world.events.contains { $0.pod != nil })
    }

    @Test func `The phase never contradicts the conditions`() {
        for seed in SeededRandom.seeds(500) {
            var random = SeededRandom(seed: seed)
            var picture = Picture()
            picture.source = [.resolving, .resolved, .failed(SourceFailure(.accessDenied, "no"))].randomElement(using: &random)!
            picture.facts = random.chance(3, of: 4) ? ResolvedSource(totalBytes: 1, files: 1, digest: "x") : nil
            picture.candidates = 5
            for node in ["a", "b", "c", "d", "e"] where random.chance(3, of: 4) {
                picture.desired.append(node)
                switch Int.random(in: 0..<6, using: &random) {
                case 0, 1: picture.ready.append(node)
                case 2: picture.warming.append(node)
                case 3: picture.shortages.append(.init(node: node, needed: 2, free: 1))
                case 4: picture.unreachable.append(node)
                default: picture.failures.append(.init(node: node, reason: "ImagePullBackOff", message: "no"))
                }
            }
            let status = ModelCacheStatus(picture, before: nil, generation: 1, now: WallTime(seconds: 1))
            let said = "seed \(seed): \(status)"
            if status.phase == .degraded { #expect(status.condition(.degraded)?.status == .true, "\(said)") }
            if status.phase == .ready { #expect(status.condition(.ready)?.status == .true, "\(said)") }
            if status.phase == .warming { #expect(status.condition(.progressing)?.status == .true, "\(said)") }
            if status.condition(.ready)?.status == .true { #expect(status.phase == .ready, "\(said)") }
        }
    }
}
