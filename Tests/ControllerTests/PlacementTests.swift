import Controller
import CRD
import Kubernetes
import Testing

@Suite struct PlacementTests {
    private func zone(_ node: String) -> String { String(node.prefix(1)) }
    private func candidates(_ names: [String]) -> [SeederChoice.Candidate] { names.map { .init(node: $0, zone: zone($0)) } }

    @Test func seedersSpreadOverZones() {
        let names = ["a1", "a2", "a3", "b1", "b2", "c1"]
        for run in 0..<50 {
            let chosen = SeederChoice.choose(3, uid: "\(run)", keeping: [], canStay: { _ in true }, zone: zone, candidates: candidates(names))
            #expect(Set(chosen.map(zone)) == ["a", "b", "c"])
        }
    }

    @Test func theChoiceIsTheSameWhateverTheOrder() {
        let names = (0..<20).map { "a\($0)" }
        let one = SeederChoice.choose(3, uid: "u", keeping: [], canStay: { _ in true }, zone: zone, candidates: candidates(names))
        let two = SeederChoice.choose(3, uid: "u", keeping: [], canStay: { _ in true }, zone: zone, candidates: candidates(names.reversed()))
        #expect(one == two)
    }

    @Test func theSeedersOfManyModelCachesAreDealtOut() {
        let names = (0..<10).map { "a\($0)" }
        var count: [String: Int] = [:]
        for run in 0..<1000 {
            for node in SeederChoice.choose(1, uid: "uid-\(run)", keeping: [], canStay: { _ in true }, zone: zone, candidates: candidates(names)) {
                count[node, default: 0] += 1
            }
        }
        #expect(count.values.allSatisfy { (60...140).contains($0) })
    }

    @Test func aSeederStaysWhileItCanAndIsReplacedWhenItCannot() {
        let names = ["a1", "a2", "b1", "b2"]
        let kept = SeederChoice.choose(2, uid: "u", keeping: ["a2", "b1"], canStay: { _ in true }, zone: zone, candidates: candidates(names))
        #expect(kept == ["a2", "b1"])
        let replaced = SeederChoice.choose(
            2, uid: "u", keeping: ["a2", "b1"], canStay: { $0 != "a2" }, zone: zone, candidates: candidates(["a1", "b1", "b2"]))
        #expect(replaced == ["b1", "a1"])
    }

    @Test func preferenceComesBeforeTheDraw() {
        var some = candidates((0..<20).map { "a\($0)" })
        some[7].preference = 10
        #expect(SeederChoice.choose(1, uid: "u", keeping: [], canStay: { _ in true }, zone: zone, candidates: some) == ["a7"])
    }

    @Test func aLostSeederIsReplacedAfterAMinute() {
        var world = FakeWorld(nodes: ["node-1", "node-2", "node-3"]) { $0.isEager = false; $0.seeders = 1 }
        world.run { $0.isReady }
        guard let seeder = world.status?.seeders.first else {
            Issue.record("no seeder")
            return
        }
        world.nodes[seeder] = NodeView(name: seeder, isReady: false, notReadySince: world.now)
        world.run(seconds: 50)
        #expect(world.status?.seeders == [seeder])
        world.run(seconds: 30) { $0.isReady && $0.status?.seeders != [seeder] }
        #expect(world.isReady)
        #expect(world.status?.seeders.count == 1)
        #expect(world.status?.seeders != [seeder])
    }

    @Test func taintsAndCordonsKeepNewWorkAwayAndOldCopiesStay() {
        var world = FakeWorld(nodes: ["node-1", "node-2"])
        world.run { $0.isReady }
        world.nodes["node-2"] = NodeView(name: "node-2", isSchedulable: false)
        world.addNode("node-3")
        world.nodes["node-3"] = NodeView(name: "node-3", taints: [Taint(key: "gpu", value: "a", effect: "NoSchedule")])
        world.run(seconds: 10)
        #expect(world.isReady)
        #expect(world.status?.nodes?.summary == "2/2")
        #expect(world.job(on: "node-3") == nil)
        world.spec.placement.tolerations = [Toleration(key: "gpu", operator: "Exists")]
        world.generation += 1
        world.run { $0.status?.nodes?.ready == 3 }
        #expect(world.holds("node-3"))
    }

    @Test func aNodeThatPlacementNoLongerNamesKeepsAnUnpinnedCopy() {
        var world = FakeWorld(nodes: [])
        world.addNode("node-1", labels: ["pool": "a"])
        world.addNode("node-2", labels: ["pool": "b"])
        world.run { $0.isReady }
        world.spec.placement.nodeSelector = ["pool": "a"]
        world.generation += 1
        world.run(seconds: 5)
        #expect(world.status?.nodes?.summary == "1/1")
        #expect(world.agents["node-2"]?.caches[FakeWorld.uid]?.pinned == false)
        #expect(world.holds("node-2"))
    }

    @Test func aHeartbeatLeavesTheViewOfANodeAsItWas() {
        func node(_ heartbeat: Int64) -> Node {
            Node(
                metadata: ObjectMeta(name: "node-1", resourceVersion: "\(heartbeat)", labels: ["a": "b"]),
                status: NodeStatus(conditions: [
                    Kubernetes.Condition(type: "Ready", status: "True", lastTransitionTime: Timestamp(secondsSinceEpoch: heartbeat))
                ]))
        }
        #expect(NodeView(node(1), now: WallTime(seconds: 1)) == NodeView(node(2), now: WallTime(seconds: 2)))
    }

    @Test func theExampleOfASeederSpreadIsRepeatable() {
        #expect(Names.job(cache: "qwen", uid: "u", node: "n") == Names.job(cache: "qwen", uid: "u", node: "n"))
        #expect(Names.job(cache: "qwen", uid: "u", node: "n") != Names.job(cache: "qwen", uid: "u", node: "m"))
        let long = String(repeating: "a", count: 39) + "." + String(repeating: "b", count: 30)
        #expect(Names.job(cache: long, uid: "u", node: "n").hasPrefix(String(repeating: "a", count: 39) + "-warm-"))
        #expect(Names.job(cache: long, uid: "u", node: "n").utf8.count <= 63)
    }
}
