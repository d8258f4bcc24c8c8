import Controller
import Kubernetes
import Synchronization
import Testing

/// The wait for the pod of a Job that lists a source.
@Suite struct ListingTests {
    private func pod(_ status: PodStatus, job uid: String = "job-1") -> Pod {
        let owner = OwnerReference(apiVersion: "batch/v1", kind: "Job", name: "qwen-list", uid: uid, controller: true)
        return Pod(
            metadata: ObjectMeta(name: "qwen-list-x", namespace: "team", ownerReferences: [owner]),
            spec: PodSpec(containers: []), status: status)
    }

    private func ended(_ message: String?, job uid: String = "job-1") -> Pod {
        let state = ContainerState(terminated: ContainerStateTerminated(exitCode: 0, message: message))
        let container = ContainerStatus(name: "list", state: state)
        return pod(PodStatus(phase: "Succeeded", containerStatuses: [container]), job: uid)
    }

    @Test func `A pod's end is its container's message, or why no container began`() throws {
        #expect(ListingEnd(pod(PodStatus(phase: "Pending"))) == nil && ListingEnd(pod(PodStatus(phase: "Running"))) == nil)
        #expect(ListingEnd(ended("{}"))?.outcome == .message("{}"))
        #expect(ListingEnd(ended(nil))?.outcome == .message(""))
        let evicted = PodStatus(phase: "Failed", message: "no memory", reason: "Evicted")
        #expect(ListingEnd(pod(evicted))?.outcome == .failed("Evicted: no memory"))
        var free = ended("{}")
        free.metadata.ownerReferences = nil
        #expect(ListingEnd(free) == nil, "nobody's Job")
        free = ended("{}")
        free.metadata.ownerReferences?[0].controller = nil
        #expect(ListingEnd(free) == nil, "a Job that does not control it")
    }

    @Test func `An end is told to who waits for its Job, also when it came before`() throws {
        let ends = ListingEnds()
        let told = Mutex<[String]>([])
        func wait(_ job: String) {
            ends.wait(for: .init(namespace: "team", uid: job)) { end in told.withLock { $0.append("\(job) \(end.outcome)") } }
        }
        var foreign = ended("0", job: "job-1")
        foreign.metadata.namespace = "other"
        ends.set(try #require(ListingEnd(foreign)))
        let first = try #require(ListingEnd(ended("1", job: "job-1")))
        ends.set(first)
        wait("job-1")
        wait("job-2")
        #expect(told.withLock { $0 } == ["job-1 message(\"1\")"])
        ends.set(try #require(ListingEnd(ended("3", job: "job-3"))))
        ends.set(try #require(ListingEnd(ended("2", job: "job-2"))))
        #expect(told.withLock { $0.last } == "job-2 message(\"2\")")
        // Its pod was deleted, and nobody waits any more.
        ends.forget(first)
        ends.leave(first.owner)
        ends.set(first)
        ends.forget(first)
        wait("job-1")
        #expect(told.withLock { $0.count } == 2)
    }

    private func listingJob(_ change: (inout OutlineMetadata) -> Void = { _ in }) -> JobOutline {
        let owner = Owner(namespace: "team", name: "qwen", uid: "uid-1")
        var metadata = OutlineMetadata()
        metadata.name = Names.listing(cache: owner.name, uid: owner.uid)
        metadata.namespace = owner.namespace
        metadata.uid = "job-1"
        metadata.labels = [Names.componentLabel: Names.listingComponent]
        metadata.ownerReferences = [owner.reference]
        change(&metadata)
        return JobOutline(metadata: metadata)
    }

    @Test func `A listing Job is one whose label, owner and name the operator would have written`() {
        let key = ObjectKey(namespace: "team", name: Names.listing(cache: "qwen", uid: "uid-1"))
        #expect(ListingJobView(listingJob()) == ListingJobView(key: key, uid: "job-1"))
        #expect(ListingJobView(listingJob { $0.deletionTimestamp = Timestamp(secondsSinceEpoch: 1) })?.isDeleting == true)
        #expect(ListingJobView(listingJob { $0.labels?[Names.componentLabel] = nil }) == nil)
        #expect(ListingJobView(listingJob { $0.ownerReferences = nil }) == nil)
        #expect(ListingJobView(listingJob { $0.ownerReferences?[0].controller = nil }) == nil)
        #expect(ListingJobView(listingJob { $0.ownerReferences?[0].uid = "uid-2" }) == nil, "the name is another's")
        #expect(ListingJobView(listingJob { $0.name = "qwen-list" }) == nil)
    }

    @Test func `A listing Job that nobody follows is left, until it is gone`() {
        let key = ObjectKey(namespace: "team", name: "qwen-list"), other = ObjectKey(namespace: "team", name: "base-list")
        let now = WallTime(seconds: 1_800_000_000)
        var jobs = ListingLeftovers()
        let old = ListingJobView(key: key, uid: "1")
        let seesOld = jobs.saw(old)
        #expect(seesOld, "of an operator before")
        #expect(jobs.leftovers(now: now) == [old])
        jobs.isGone(uid: "1")
        #expect(jobs.leftovers(now: now).isEmpty)

        let own = ListingJobView(key: key, uid: "2")
        jobs.follow(key)
        let seesOwn = jobs.saw(own)
        #expect(!seesOwn && jobs.leftovers(now: now).isEmpty, "a look reads its result")
        let second = ListingJobView(key: other, uid: "3")
        let seesSecond = jobs.saw(second)
        #expect(seesSecond && jobs.leftovers(now: now) == [second], "the look is another ModelCache's")
        let seesDeleted = jobs.saw(ListingJobView(key: other, uid: "3", isDeleting: true))
        #expect(!seesDeleted && jobs.leftovers(now: now).isEmpty)

        // The look of an edited spec begins before the outdated one has ended.
        jobs.follow(key)
        let leftAtOnce = jobs.leave(key)
        #expect(!leftAtOnce && jobs.leftovers(now: now).isEmpty)
        let leftAgain = jobs.leave(key)
        #expect(leftAgain && jobs.leftovers(now: now) == [own], "its deletion was not taken")
        jobs.follow(key)
        #expect(jobs.leftovers(now: now).isEmpty)
        jobs.isGone(uid: "2")
        let leftGone = jobs.leave(key)
        #expect(!leftGone)
        let seesLate = jobs.saw(ListingJobView(key: key, uid: "4"))
        #expect(seesLate, "the watch was late to tell of it")
    }

    @Test func `A deletion that is refused is tried ever more seldom, and told when its reason is another`() {
        let job = ListingJobView(key: ObjectKey(namespace: "team", name: "qwen-list"), uid: "1")
        let other = ListingJobView(key: ObjectKey(namespace: "team", name: "base-list"), uid: "2")
        var now = WallTime(seconds: 1_800_000_000)
        var jobs = ListingLeftovers()
        for one in [job, other] { _ = jobs.saw(one) }
        var pauses: [Duration] = [], told: [String] = []
        for number in 0..<9 {
            let reason = number < 6 ? "forbidden" : "a webhook is away"
            let (pause, isNews) = jobs.isRefused(uid: "1", reason, now: now)
            if isNews { told.append(reason) }
            pauses.append(pause)
            #expect(jobs.leftovers(now: now) == [other], "the others do not wait for it")
            now = now + pause
            #expect(jobs.leftovers(now: now) == [other, job])
        }
        #expect(pauses == [3, 6, 12, 24, 48, 96, 192, 300, 300].map { .seconds($0) })
        #expect(told == ["forbidden", "a webhook is away"])
        jobs.isGone(uid: "1")
        _ = jobs.isRefused(uid: "1", "it was under way", now: now)
        let isDue = jobs.saw(job)
        #expect(isDue && jobs.leftovers(now: now) == [other, job], "one that comes again is another")
    }

    @Test func `A Job that does not start is told while it waits, and at the deadline`() {
        let start = ContinuousClock.now
        var wait = ListingWait(job: "qwen-list", now: start)
        #expect(wait.expired(now: start) == nil)
        let quota = JobExamination(.stuck(reason: "QuotaExceeded", message: "pods=0"), at: .now)
        #expect(wait.looked(quota) == "the Job qwen-list that lists it does not start: QuotaExceeded: pods=0")
        #expect(wait.examination == quota)
        #expect(wait.expired(now: start + .seconds(ListingJob.deadlineSeconds + 19)) == nil)
        let late = wait.expired(now: start + .seconds(ListingJob.deadlineSeconds + 20))
        #expect(late?.reason == .storeError)
        #expect(late?.message.hasSuffix("did not end within 180 s: QuotaExceeded: pods=0") == true)
        #expect(wait.jobIsGone.message.hasSuffix("was deleted before it ended: QuotaExceeded: pods=0"))
        #expect(wait.looked(JobExamination(.running, at: .now)) == nil)
        #expect(wait.expired(now: start + .seconds(500))?.message.hasSuffix("its pod runs") == true)
    }
}
