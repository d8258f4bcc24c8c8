import Controller
import Kubernetes
import Testing

/// Anybody who may make Jobs or claims in a namespace may put our labels on them.
@Suite struct OwnershipTests {
    private let now = WallTime(seconds: 1_800_000_000)
    private let owner = Owner(namespace: "team", name: "qwen", uid: FakeWorld.uid)

    private func outline(_ change: (inout JobOutline.Metadata) -> Void = { _ in }) -> JobOutline {
        var metadata = JobOutline.Metadata()
        metadata.name = Names.job(cache: owner.name, uid: owner.uid, node: "node-1")
        metadata.namespace = owner.namespace
        metadata.uid = "job-1"
        metadata.labels = owner.labels
        metadata.annotations = [Names.nodeAnnotation: "node-1"]
        metadata.ownerReferences = [owner.reference]
        change(&metadata)
        return JobOutline(metadata: metadata)
    }

    @Test func aJobOfOursIsKnownByItsOwnerAndName() {
        #expect(JobView(outline(), now: now)?.cacheUID == owner.uid)
    }

    @Test func aJobWithALabelAloneIsNotOurs() {
        #expect(JobView(outline { $0.ownerReferences = nil }, now: now) == nil)
        #expect(JobView(outline { $0.ownerReferences?[0].controller = false }, now: now) == nil)
        #expect(JobView(outline { $0.ownerReferences?[0].kind = "Deployment" }, now: now) == nil)
    }

    @Test func aJobWhoseLabelNamesAnotherThanItsOwnerIsNotOurs() {
        #expect(JobView(outline { $0.ownerReferences?[0].uid = "another" }, now: now) == nil)
        #expect(JobView(outline { $0.labels?[Names.uidLabel] = "another" }, now: now) == nil)
    }

    @Test func aJobForANodeUnderTheNameOfAnotherIsNotOurs() {
        #expect(JobView(outline { $0.annotations?[Names.nodeAnnotation] = "node-2" }, now: now) == nil)
    }

    @Test func aClaimAndAVolumeWithALabelAloneAreNotOurs() {
        let wanted = CacheVolume(owner: owner, medium: .memory, sizeBytes: 1)
        #expect(ClaimView(wanted.claim)?.cacheUID == owner.uid)
        #expect(VolumeView(wanted.volume(claimUID: nil))?.cacheUID == owner.uid)
        var claim = wanted.claim
        claim.metadata.ownerReferences = []
        #expect(ClaimView(claim) == nil)
        claim = wanted.claim
        claim.metadata.name = "mine"
        #expect(ClaimView(claim) == nil)
        var volume = wanted.volume(claimUID: nil)
        volume.metadata.name = "mine"
        #expect(VolumeView(volume) == nil)
    }

    @Test func aFailureSeenToHappenIsTimedByThisMachinesClock() {
        let early = WallTime(seconds: 1_799_996_400)
        func job(_ phase: JobView.Phase, uid: String = "job-1") -> JobView {
            JobView(name: "a", namespace: "team", uid: uid, cacheUID: owner.uid, node: "node-1", phase: phase, phaseSeen: now)
        }
        let failed = job(.failed(reason: "BackoffLimitExceeded", message: "", at: early))
        #expect(failed.following(job(.unfinished), now: now).phase == .failed(reason: "BackoffLimitExceeded", message: "", at: now))
        // Told again, as after a list: the first time stays. Of another Job nothing is known.
        let seen = failed.following(job(.unfinished), now: now)
        #expect(failed.following(seen, now: now + .seconds(60)).phase == seen.phase)
        #expect(failed.following(job(.unfinished, uid: "job-0"), now: now).phase == failed.phase)
    }
}
