import Controller
import Testing

/// A source that stays as it is costs no Job a minute for ever.
@Suite struct RetryTests {
    private static let hour = 3600

    /// Looks in the first hour, and in the two after it.
    private func looks(_ world: inout FakeWorld) -> (first: Int, later: Int) {
        let before = world.looks
        world.run(seconds: Self.hour)
        let between = world.looks
        world.run(seconds: 2 * Self.hour)
        return (between - before, world.looks - between)
    }

    @Test(arguments: [SourceFailure.Reason.secretNotFound, .accessDenied, .noSuchBucket, .storeError])
    func `a source that a Job lists is asked each minute for an hour, then each quarter, and an edit begins anew`(
        reason: SourceFailure.Reason
    ) {
        var world = FakeWorld(nodes: ["node-1"]) { $0.secretName = "keys" }
        world.sourceFailure = SourceFailure(reason, "what and how to mend it")
        let counted = looks(&world)
        #expect((58...68).contains(counted.first) && (7...9).contains(counted.later), "\(counted)")
        // Of another field: it may be what somebody waits for.
        world.generation += 1
        let before = world.looks
        world.run(seconds: 3)
        #expect(world.looks == before + 1)
        world.run(seconds: 600)
        #expect((12...17).contains(world.looks - before), "\(world.looks - before)")
        world.sourceFailure = nil
        world.run(seconds: 70) { $0.isReady }
        #expect(world.isReady)
    }

    @Test func `a public source is listed by the operator itself, and goes on each minute`() {
        var world = FakeWorld(nodes: ["node-1"])
        world.sourceFailure = SourceFailure(.noSuchBucket, "what and how to mend it")
        #expect((115...125).contains(looks(&world).later))
    }

    @Test func `a source that stays other than its pin is listed less and less often`() {
        var world = FakeWorld(nodes: ["node-1"]) {
            $0.secretName = "keys"
            $0.pinnedDigest = "sha256:bb"
        }
        let counted = looks(&world)
        #expect((58...62).contains(counted.first) && (7...9).contains(counted.later), "\(counted)")
    }

    @Test func `a Secret is looked at each minute for an hour while nodes fail, then each quarter`() {
        var world = FakeWorld(nodes: ["node-1"]) { $0.secretName = "keys" }
        world.failing = ["node-1"]
        let counted = looks(&world)
        #expect((55...65).contains(counted.first) && (7...10).contains(counted.later), "\(counted)")
        world.failing = []
        world.generation += 1
        world.run { $0.isReady }
        let before = world.looks
        world.failing = ["node-2"]
        world.addNode("node-2")
        world.run(seconds: 600)
        #expect((8...11).contains(world.looks - before), "another trouble: \(world.looks - before)")
    }

    @Test func `the outcome of a look counts what is like the one before`() {
        let now = WallTime(seconds: 1_800_000_000)
        var resolution = Resolution()
        let failure = SourceFailure(.accessDenied, "no")
        resolution.record(.failure(failure), subject: "a", generation: 1, now: now)
        resolution.record(.failure(SourceFailure(.storeError, "500")), subject: "a", generation: 1, now: now + .seconds(5))
        #expect(resolution.failures == 2 && resolution.since == now)
        resolution.record(.failure(failure), subject: "a", generation: 2, now: now + .seconds(9))
        #expect(resolution.failures == 1 && resolution.since == now + .seconds(9))
        let source = ResolvedSource(totalBytes: 1, files: 1, digest: "sha256:aa")
        resolution.record(.success(source), subject: "a", generation: 2, now: now + .seconds(10))
        resolution.record(.success(source), subject: "a", generation: 2, now: now + .seconds(20))
        #expect(resolution.failures == 0 && resolution.since == now + .seconds(10) && resolution.change == nil)
        resolution.record(
            .success(ResolvedSource(totalBytes: 1, files: 1, digest: "sha256:bb")), subject: "a", generation: 2, now: now + .seconds(30))
        #expect(resolution.since == now + .seconds(30) && resolution.change?.formerDigest == "sha256:aa")
    }
}
