import Controller
import Testing

/// Directories without a ModelCache.
@Suite struct OrphanTests {
    private let start = WallTime(seconds: 1_800_000_000)

    @Test func `A directory counts when it was seen twice, ten seconds apart, and again ten seconds later`() {
        var sightings = OrphanSightings()
        func saw(_ uids: Set<String>, after seconds: Int64) -> Set<String> {
            sightings.saw(uids, on: "node-1", now: start + .seconds(seconds))
        }
        #expect(saw(["a"], after: 0) == [])
        #expect(saw(["a", "b"], after: 9) == [])
        #expect(saw(["a", "b"], after: 10) == ["a"])
        #expect(saw(["a", "b"], after: 19) == ["b"])
        #expect(saw(["b"], after: 20) == [], "it is gone")
        #expect(saw(["a", "b"], after: 29) == ["b"], "the other one is new")
    }

    @Test func `Nothing is kept of a node that has none, or no agent any more`() {
        var sightings = OrphanSightings()
        _ = sightings.saw(["a"], on: "node-1", now: start)
        _ = sightings.saw(["a"], on: "node-2", now: start)
        _ = sightings.saw([], on: "node-1", now: start + .seconds(5))
        #expect(!sightings.isEmpty)
        sightings.forget("node-2")
        #expect(sightings.isEmpty)
    }
}
