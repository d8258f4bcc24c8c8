import Controller
import CRD
import Testing

/// Claims and volumes that somebody deletes.
@Suite struct ClaimTests {
    @Test func `A deleted claim that pods hold is told, and the warm-up goes on when it is made anew`() {
        var world = FakeWorld(nodes: ["node-1"])
        world.run { $0.isReady }
        world.addNode("node-2")
        world.claim?.isDeleting = true
        world.run(seconds: 5)
        #expect(world.condition(.degraded)?.status == .false, "mostly it is gone in a moment")
        world.run(seconds: 10)
        #expect(world.condition(.degraded)?.reason == "ClaimTerminating")
        #expect(world.condition(.ready)?.reason == "ClaimTerminating" && world.condition(.progressing)?.status == .false)
        #expect(world.condition(.ready)?.message.contains(world.claim?.name ?? "no claim") == true)
        #expect(world.job(on: "node-2") == nil)
        world.claim = nil
        world.run { $0.isReady }
        #expect(world.isReady && world.holds("node-2") && world.condition(.degraded)?.status == .false)
    }

    @Test func `A deleted claim is told though every node has the model: no new pod starts with it`() {
        var world = FakeWorld(nodes: ["node-1"])
        world.run { $0.isReady }
        world.claim?.isDeleting = true
        world.run(seconds: 15)
        #expect(world.isReady && world.condition(.degraded)?.reason == "ClaimTerminating")
    }

    @Test func `A deleted volume serves Jobs while its claim is there`() {
        var world = FakeWorld(nodes: ["node-1"])
        world.run { $0.isReady }
        world.addNode("node-2")
        world.volume?.isDeleting = true
        world.run(seconds: 30) { $0.holds("node-2") }
        #expect(world.holds("node-2"))
    }
}
