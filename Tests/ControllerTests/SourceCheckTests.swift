import Controller
import CRD
import Testing

/// Sources that change while nothing else happens.
@Suite struct SourceCheckTests {
    private let interval = Duration.seconds(600)

    @Test func `a source that changes under ready nodes is found, told, and told no more when every node has it`() {
        var world = FakeWorld(nodes: ["node-1", "node-2"])
        world.sourceCheckInterval = interval
        world.run { $0.isReady }
        world.run(seconds: 5)
        let writes = world.statusWrites
        world.run(seconds: 1200)
        #expect((2...4).contains(world.looks) && world.statusWrites == writes, "\(world.looks)")
        world.digest = "sha256:bb"
        world.run(seconds: 901) { $0.condition(.sourceChanged) != nil }
        #expect(world.condition(.sourceChanged)?.status == .true && world.status?.source?.digest == "sha256:bb")
        world.run { $0.isReady }
        #expect(world.holds("node-1") && world.holds("node-2") && world.condition(.sourceChanged) == nil)
        // Another node changes nothing, nor does another leader.
        world.addNode("node-3")
        world.run(seconds: 2)
        world.crash()
        world.run { $0.isReady }
        #expect(world.holds("node-3") && world.condition(.sourceChanged) == nil)
    }

    @Test func `a pinned source that changes is told, and what nodes hold stays ready`() {
        var world = FakeWorld(nodes: ["node-1"]) { $0.pinnedDigest = "sha256:aa" }
        world.sourceCheckInterval = interval
        world.run { $0.isReady }
        world.digest = "sha256:bb"
        world.run(seconds: 901) { $0.condition(.sourceResolved)?.status == .false }
        #expect(world.condition(.sourceResolved)?.reason == "DigestMismatch" && world.isReady && world.madeJobs.count == 1)
        #expect(world.condition(.sourceChanged)?.status == .true)
    }

    @Test func `a source that goes back has changed while nodes hold what it was meanwhile`() {
        var world = FakeWorld(nodes: ["node-1", "node-2"])
        world.sourceCheckInterval = interval
        world.run { $0.isReady }
        world.digest = "sha256:bb"
        world.failing = ["node-2"]
        world.run(seconds: 910) { $0.holds("node-1") }
        world.digest = "sha256:aa"
        world.failing = ["node-1", "node-2"]
        world.run(seconds: 910) { $0.status?.source?.digest == "sha256:aa" }
        world.run(seconds: 5)
        #expect(world.condition(.sourceChanged)?.status == .true && world.agents["node-1"]?.caches[FakeWorld.uid]?.digest == "sha256:bb")
        world.failing = []
        world.run(seconds: 7200) { $0.isReady }
        #expect(world.isReady && world.condition(.sourceChanged) == nil)
    }

    @Test(arguments: [nil, "keys"])
    func `a check that fails and may pass takes nothing away, and is told when it fails again and again`(secret: String?) {
        var world = FakeWorld(nodes: ["node-1"]) { $0.secretName = secret }
        world.sourceCheckInterval = interval
        world.run { $0.isReady }
        world.sourceFailure = SourceFailure(.storeError, "no pod")
        world.run(seconds: 901) { $0.looks == 2 }
        world.addNode("node-2")
        world.run(seconds: 4)
        #expect(world.condition(.sourceResolved)?.status == .true && world.holds("node-2"))
        world.run(seconds: 20)
        #expect(world.condition(.sourceResolved)?.reason == "StoreError" && world.looks == 4 && world.isReady)
        world.addNode("node-3")
        world.run(seconds: 5)
        #expect(world.holds("node-3") && world.condition(.sourceChanged) == nil)
        world.sourceFailure = nil
        world.run(seconds: 65) { $0.condition(.sourceResolved)?.status == .true }
        #expect(world.condition(.sourceResolved)?.status == .true)
        // One that does not pass by itself counts at once.
        world.sourceFailure = SourceFailure(.accessDenied, "no right")
        world.run(seconds: 901) { $0.condition(.sourceResolved)?.reason == "AccessDenied" }
        world.addNode("node-4")
        world.run(seconds: 20)
        #expect(world.job(on: "node-4") == nil)
    }

    @Test func `another leader looks in its time, and none looks where that is off or the ModelCache is suspended`() {
        var world = FakeWorld(nodes: ["node-1"])
        world.sourceCheckInterval = interval
        world.run { $0.isReady }
        let looks = world.looks
        world.crash()
        world.run(seconds: 299)
        #expect(world.looks == looks)
        world.run(seconds: 602)
        #expect(world.looks == looks + 1)
        world.spec.isSuspended = true
        world.generation += 1
        world.run(seconds: 1200)
        #expect(world.looks == looks + 1)
        world.spec.isSuspended = false
        world.sourceCheckInterval = nil
        world.generation += 1
        world.run(seconds: 1200)
        #expect(world.looks == looks + 1)
    }

    @Test func `looks of many ModelCaches are spread over the interval`() {
        let last = WallTime(seconds: 1_800_000_000)
        let waits = (0..<1000).map { SourceCheck.next(after: last, every: interval, uid: "uid-\($0)") - last }
        #expect(waits.allSatisfy { $0 > .seconds(300) && $0 <= .seconds(900) })
        for minute in stride(from: 300, to: 900, by: 60) {
            let count = waits.count { $0 > .seconds(minute) && $0 <= .seconds(minute + 60) }
            #expect((60...150).contains(count), "minute \(minute): \(count)")
        }
        let first = SourceCheck.next(after: last, every: interval, uid: "a")
        #expect(SourceCheck.next(after: first, every: interval, uid: "a") - first == interval)
    }
}
