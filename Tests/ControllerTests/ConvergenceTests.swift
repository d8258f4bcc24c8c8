import Controller
import CRD
import Kubernetes
import Testing
import TestSupport

/// The operator may die after any of its writes: the next one ends in the same world, and makes nothing twice.
@Suite struct ConvergenceTests {
    static let names = ["node-1", "node-2", "node-3"]

    private static func tainted(_ node: String, _ random: inout SeededRandom) -> NodeView {
        let taints = [[], [Taint(key: "gpu", effect: "NoSchedule")], [Taint(key: "gpu", effect: "NoExecute")]]
        return NodeView(
            name: node, taints: taints.randomElement(using: &random) ?? [], isSchedulable: random.chance(2, of: 3))
    }

    private static func pod(on node: String, _ random: inout SeededRandom) -> WaitingPod {
        let uid = "pod-\(Int.random(in: 0..<3, using: &random))"
        return WaitingPod(namespace: "team", name: uid, uid: uid, node: node)
    }

    @Test func threeNodesBecomeReady() {
        var world = FakeWorld(nodes: Self.names)
        world.run { $0.isReady }
        #expect(world.isReady)
        #expect(world.status?.nodes?.summary == "3/3")
        #expect(world.status?.progress?.percent == 100)
        #expect(world.status?.phase == .ready)
        #expect(world.madeJobs.sorted() == Self.names)
        #expect(Self.names.allSatisfy { world.holds($0) })
    }

    @Test func nothingIsDoneWhenNothingChanges() {
        var world = FakeWorld(nodes: Self.names)
        world.run { $0.isReady }
        world.run(seconds: 5)
        let writes = world.statusWrites
        for _ in 0..<300 {
            world.tick()
            let plan = world.reconcile()
            #expect(plan.actions.isEmpty)
            #expect(plan.requeueAfter == nil)
        }
        #expect(world.statusWrites == writes)
    }

    @Test func aRestartOfTheOperatorWritesNothing() {
        var world = FakeWorld(nodes: Self.names)
        world.run { $0.isReady }
        world.run(seconds: 5)
        let writes = world.statusWrites
        world.crash()
        let plan = world.reconcile()
        #expect(plan.actions.isEmpty)
        #expect(world.statusWrites == writes)
    }

    @Test func aDeathAfterEachWriteEndsInTheSameWorld() {
        for limit in 0..<40 {
            var world = FakeWorld(nodes: Self.names)
            var writes = 0
            // Dies once, after its limit-th write.
            for _ in 0..<60 where writes <= limit {
                let before = world
                let plan = world.reconcile()
                if writes + plan.actions.count >= limit {
                    world = before
                    world.reconcile(actionLimit: limit - writes)
                    break
                }
                writes += plan.actions.count
                world.tick()
            }
            world.run { $0.isReady }
            #expect(world.isReady, "died after write \(limit)")
            #expect(world.madeJobs.sorted() == Self.names, "died after write \(limit)")
            #expect(world.jobs.count == 3)
        }
    }

    @Test func aDeathAfterEachWriteOfADeletionLeavesNothing() {
        for limit in 0..<12 {
            var world = FakeWorld(nodes: Self.names)
            world.run { $0.isReady }
            world.deletedAt = world.now
            world.reconcile(actionLimit: limit)
            world.run { $0.isGone }
            #expect(world.isGone, "died after write \(limit)")
            #expect(world.jobs.isEmpty && world.claim == nil && world.volume == nil)
            #expect(world.agents.values.allSatisfy { $0.caches.isEmpty })
        }
    }

    @Test func randomFaultsEndInTheWantedWorld() {
        for seed in 1...200 as ClosedRange<UInt64> {
            var random = SeededRandom(seed: seed)
            var world = FakeWorld(nodes: Self.names + ["node-4"]) {
                $0.parallelism = Int.random(in: 1...4, using: &random)
                $0.secretName = Bool.random(using: &random) ? "keys" : nil
            }
            for _ in 0..<40 {
                let node = "node-\(Int.random(in: 1...4, using: &random))"
                switch Int.random(in: 0..<16, using: &random) {
                case 0: world.crash()
                case 1: world.restartAgent(node)
                case 2: world.setReachable(node, false)
                case 3: world.setReachable(node, true)
                case 4: world.nodes[node] = nil
                case 5: if world.nodes[node] == nil { world.nodes[node] = NodeView(name: node) }
                case 6: if let job = world.job(on: node) { world.jobs[job.name] = nil }
                case 7: world.failing.formSymmetricDifference([node])
                case 8: world.reconcile(actionLimit: Int.random(in: 0..<4, using: &random))
                case 9: world.sourceFailure = Bool.random(using: &random) ? SourceFailure(.endpointUnreachable, "away") : nil
                case 10: world.claim = nil
                case 11: world.claim?.isDeleting = true
                case 12: world.suspended.formSymmetricDifference([node])
                case 13: if world.nodes[node] != nil { world.nodes[node] = Self.tainted(node, &random) }
                case 14: world.waitingPods = [Self.pod(on: node, &random), Self.pod(on: "node-1", &random)]
                default: world.reconcile()
                }
                world.tick()
            }
            // All is well again.
            world.failing = []
            world.sourceFailure = nil
            world.suspended = []
            world.waitingPods = []
            if world.claim?.isDeleting ?? false { world.claim = nil }
            for node in Self.names + ["node-4"] {
                world.nodes[node] = NodeView(name: node)
                world.setReachable(node, true)
            }
            world.generation += 1
            world.run(seconds: 800) { $0.isReady && $0.status?.observedGeneration == $0.generation }
            #expect(world.isReady, "seed \(seed): \(String(describing: world.status))")
            #expect(world.jobs.count <= 4, "seed \(seed)")
            #expect(world.status?.nodes?.ready == 4, "seed \(seed)")
            world.deletedAt = world.now
            world.run(seconds: 60) { $0.isGone }
            #expect(world.isGone && world.jobs.isEmpty && world.volume == nil, "seed \(seed)")
            #expect(world.agents.values.allSatisfy { $0.caches.isEmpty }, "seed \(seed)")
        }
    }
}
