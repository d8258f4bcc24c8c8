import Controller
import CRD
import Kubernetes
import Testing

@Suite struct StatusTests {
    private let now = WallTime(seconds: 1_800_000_000)

    private func picture(_ change: (inout Picture) -> Void = { _ in }) -> Picture {
        var picture = Picture()
        picture.source = .resolved
        picture.facts = ResolvedSource(totalBytes: 1000, files: 3, digest: "sha256:aa")
        picture.candidates = 2
        picture.desired = ["a", "b"]
        picture.ready = ["a"]
        picture.warming = ["b"]
        picture.cachedOn = ["a": 1000, "b": 420]
        picture.bytesCached = 1420
        change(&picture)
        return picture
    }

    private func status(_ picture: Picture, before: ModelCacheStatus? = nil, at time: WallTime? = nil) -> ModelCacheStatus {
        ModelCacheStatus(picture, before: before, generation: 3, now: time ?? now)
    }

    @Test func transitionTimesMoveWithTheStatusAlone() {
        let first = status(picture())
        let second = status(picture { $0.bytesCached = 1900 }, before: first, at: now + .seconds(60))
        #expect(first.condition(.ready)?.lastTransitionTime == second.condition(.ready)?.lastTransitionTime)
        let third = status(picture { $0.ready = ["a", "b"]; $0.warming = [] }, before: second, at: now + .seconds(90))
        #expect(third.condition(.ready)?.status == .true)
        #expect(third.condition(.ready)?.lastTransitionTime != first.condition(.ready)?.lastTransitionTime)
        #expect(third.conditions.allSatisfy { $0.observedGeneration == 3 })
    }

    @Test func `objects that cannot be read degrade with a reason of their own, and the rest is warmed`() {
        let told = status(picture { $0.facts?.unreadable = "old.bin: it is archived and has not been restored; restore it" })
        #expect(told.condition(.degraded)?.reason == "ObjectsUnreadable")
        #expect(told.condition(.degraded)?.message.contains("restore it") == true)
        #expect(told.condition(.sourceResolved)?.status == .true && told.condition(.progressing)?.status == .true)
    }

    @Test func percentIsRoundedDownAndHundredOnlyWhenAllIsReady() {
        #expect(status(picture()).progress?.percent == 71)
        #expect(status(picture { $0.bytesCached = 2000 }).progress?.percent == 99)
        #expect(status(picture { $0.bytesCached = 2000; $0.ready = ["a", "b"]; $0.warming = [] }).progress?.percent == 100)
    }

    @Test func detailsNameEachNode() {
        let details = status(picture { picture in
            picture.desired = ["a", "b", "c"]
            picture.failures = [.init(node: "c", reason: "DeadlineExceeded", message: "too slow")]
        }).nodes?.details
        #expect(details?.map(\.name) == ["c", "b", "a"])
        #expect(details?.map(\.percent) == [0, 42, 100])
        #expect(details?.first?.message?.contains("too slow") == true)
    }

    @Test func progressWaitsTwoSecondsAndBytesAloneAreNoReason() {
        let first = status(picture())
        let same = status(picture { $0.bytesCached = 1421; $0.bytesPerSecond = 99 }, before: first)
        var memory = Memory()
        StatusWrite.written(at: now, memory: &memory)
        func decide(_ new: ModelCacheStatus, after pause: Duration) -> StatusWrite {
            StatusWrite.decide(from: first, to: new, memory: &memory, now: now + pause)
        }
        #expect(decide(same, after: .seconds(3600)) == .none)
        let percent = status(picture { $0.bytesCached = 1500 }, before: first)
        #expect(decide(percent, after: .milliseconds(500)) == .at(now + .seconds(2)))
        #expect(decide(percent, after: .seconds(2)) == .now)
        #expect(decide(first, after: .zero) == .none)
    }

    @Test func aConditionWaitsAMomentForWhatComesWithItAndNoLonger() {
        var memory = Memory()
        let first = status(picture())
        func decide(_ new: ModelCacheStatus, after milliseconds: Int) -> StatusWrite {
            StatusWrite.decide(from: first, to: new, memory: &memory, now: now + .milliseconds(milliseconds))
        }
        let joined = status(picture { $0.desired = ["a", "b", "c"]; $0.queued = ["c"] }, before: first)
        let ready = status(picture { $0.ready = ["a", "b"]; $0.warming = [] }, before: first)
        #expect(decide(joined, after: 0) == .at(now + .milliseconds(300)))
        // More of the burst does not put it off.
        #expect(decide(ready, after: 200) == .at(now + .milliseconds(300)))
        #expect(decide(ready, after: 300) == .now)
        StatusWrite.written(at: now, memory: &memory)
        #expect(decide(joined, after: 400) == .at(now + .milliseconds(700)))
        // What went back to where it was is no change.
        #expect(decide(first, after: 500) == .none)
        #expect(memory.statusHeldSince == nil)
    }

    @Test func whatAPersonEditedAndWhatWasResolvedIsWrittenAtOnce() {
        var memory = Memory()
        let first = status(picture())
        var edited = first
        edited.observedGeneration = 99
        #expect(StatusWrite.decide(from: first, to: edited, memory: &memory, now: now) == .now)
        var resolved = first
        resolved.source?.digest = "sha256:other"
        #expect(StatusWrite.decide(from: first, to: resolved, memory: &memory, now: now) == .now)
        #expect(StatusWrite.decide(from: nil, to: first, memory: &memory, now: now) == .now)
    }

    @Test func aMergePatchHoldsTheDifferenceAlone() {
        let old: JSONValue = ["a": 1, "b": ["c": 2, "d": 3], "e": [1, 2]]
        let new: JSONValue = ["a": 1, "b": ["c": 4], "e": [1, 3], "f": "x"]
        #expect(MergePatch.difference(from: old, to: new) == ["b": ["c": 4, "d": nil], "e": [1, 3], "f": "x"])
        #expect(MergePatch.difference(from: old, to: old) == nil)
    }

    @Test func anEventIsRaisedOnceForEachChange() {
        var announced: Set<String> = []
        let first = status(picture())
        let events = TransitionEvents.between(nil, first, picture: picture(), announced: &announced)
        #expect(events.map(\.reason) == ["Resolved"])
        let failed = picture { $0.failures = [.init(node: "b", reason: "BackoffLimitExceeded", message: "no")]; $0.warming = [] }
        let second = status(failed, before: first)
        let more = TransitionEvents.between(first, second, picture: failed, announced: &announced)
        #expect(more.map(\.reason) == ["BackoffLimitExceeded", "WarmupFailed"])
        #expect(TransitionEvents.between(second, second, picture: failed, announced: &announced).isEmpty)
        // After a restart the status tells what was said.
        var forgotten: Set<String> = []
        #expect(TransitionEvents.between(second, second, picture: failed, announced: &forgotten).isEmpty)
    }

    @Test func anAttemptSurvivesItsTextAndForeignTextIsAnotherAttempt() {
        let attempt = Attempt(generation: 4, secretVersion: "77", agentInstance: "x-y", retries: 2)
        #expect(Attempt(text: attempt.text) == attempt)
        #expect(Attempt(text: "nonsense").isOutdated(by: attempt))
        #expect(!attempt.isOutdated(by: attempt))
        var unknown = attempt
        unknown.secretVersion = ""
        #expect(!attempt.isOutdated(by: unknown))
        #expect(attempt.failureBackoff == .seconds(2400))
        #expect(Attempt(retries: 60).failureBackoff == .seconds(3600))
    }

    @Test func theWarmupPodPassesRestrictedAndHoldsNoSecretValue() throws {
        let owner = Owner(namespace: "team", name: "qwen", uid: FakeWorld.uid)
        let spec = CacheSpec(
            source: .init(uri: "oss://models/qwen/", endpoint: "https://store", region: "cn-beijing", include: ["*.gguf", "a b"]),
            secretName: "keys", activeDeadlineSeconds: 60)
        let template = WarmupTemplate(owner: owner, spec: spec, source: spec.source, image: "agent:1")
        let job = template.manifest(WarmupJob(name: "qwen-warm-0", node: "node-1", attempt: Attempt(generation: 1)))
        let pod = try #require(job.spec?.template.spec)
        let container = try #require(pod.containers.first)
        #expect(pod.automountServiceAccountToken == false && pod.hostNetwork == nil && pod.nodeName == nil)
        #expect(pod.securityContext?.runAsNonRoot == true && pod.securityContext?.seccompProfile?.type == "RuntimeDefault")
        #expect(container.securityContext?.allowPrivilegeEscalation == false && container.securityContext?.readOnlyRootFilesystem == true)
        #expect(container.securityContext?.capabilities?.drop == ["ALL"])
        #expect(container.command == ["/modelcache", "warm", "--json"])
        let environment = Dictionary((container.env ?? []).map { ($0.name, $0) }, uniquingKeysWith: { a, _ in a })
        #expect(environment["MODELCACHE_SOCKET"]?.value == "/cache/.modelcache/agent.sock")
        #expect(environment["MODELCACHE_INCLUDE"]?.value == "*.gguf,a b")
        #expect(environment.values.allSatisfy { $0.valueFrom == nil && !$0.name.contains("ACCESS_KEY") })
        let secret = try #require(pod.volumes?.first { $0.secret != nil })
        #expect(secret.secret == SecretVolumeSource(secretName: "keys", defaultMode: 0o444, optional: true))
        let folder = container.volumeMounts?.first { $0.name == secret.name }?.mountPath
        #expect(folder != nil && environment["MODELCACHE_SECRET_FOLDER"]?.value == folder)
        #expect(job.spec?.backoffLimit == 6 && job.spec?.activeDeadlineSeconds == 60)
        #expect(job.metadata.ownerReferences?.first?.controller == true)
    }
}
