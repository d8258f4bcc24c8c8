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
