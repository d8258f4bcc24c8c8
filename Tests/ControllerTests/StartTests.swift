import AgentAPI
import Controller
import CRD
import Kubernetes
import Testing

/// Jobs whose pods do not start.
@Suite struct StartTests {
    private static let pulling = JobExamination.Verdict.stuck(reason: "ImagePullBackOff", message: "no such image")

    @Test func `Jobs that do not start give their places to other nodes and fail with the pod's own reason`() {
        var world = FakeWorld(nodes: (1...6).map { "node-\($0)" }) { $0.parallelism = 2 }
        // The first two in order of their turns are the stuck ones.
        world.run(seconds: 2)
        let first = Set(world.madeJobs)
        for node in first {
            world.stuck[node] = Self.pulling
            world.agents[node]?.caches[FakeWorld.uid]?.state = .prepared
            world.agents[node]?.caches[FakeWorld.uid]?.bytesCached = 0
            world.agents[node]?.caches[FakeWorld.uid]?.bytesPerSecond = 0
        }
        world.run(seconds: 400) { $0.status?.nodes?.ready == 4 }
        #expect(world.status?.nodes?.ready == 4)
        #expect(world.status?.nodes?.failed == 2)
        #expect(world.condition(.degraded)?.message.contains("no such image") == true)
        #expect(first.allSatisfy { world.job(on: $0) == nil })
        // It is tried again, and when the pods start it ends well.
        world.stuck = [:]
        world.run(seconds: 700) { $0.isReady }
        #expect(world.isReady)
    }

    @Test func `A Job whose pod runs without bytes is left to its own deadline`() {
        var world = FakeWorld(nodes: ["node-1"])
        world.run(seconds: 1)
        world.stuck["node-1"] = .running
        world.run(seconds: 3600)
        #expect(world.madeJobs.count == 1)
        #expect(world.status?.nodes?.failed == 0)
    }

    @Test func `A stalled start is tried again at once when the spec changes`() {
        var world = FakeWorld(nodes: ["node-1"])
        world.stuck["node-1"] = Self.pulling
        world.run(seconds: 330)
        #expect(world.status?.nodes?.failed == 1)
        world.stuck = [:]
        world.generation += 1
        world.run(seconds: 10) { $0.isReady }
        #expect(world.isReady && world.madeJobs.count == 2)
    }

    @Test func `The Job of a node that got its model otherwise takes no place`() {
        var world = FakeWorld(nodes: ["node-1", "node-2"]) { $0.parallelism = 1 }
        world.run(seconds: 1)
        guard let node = world.madeJobs.first else { return }
        world.stuck[node] = Self.pulling
        // Pods brought it.
        world.agents[node]?.caches[FakeWorld.uid]?.state = .ready
        world.agents[node]?.caches[FakeWorld.uid]?.digest = world.digest
        world.agents[node]?.caches[FakeWorld.uid]?.bytesCached = FakeWorld.size
        world.agents[node]?.caches[FakeWorld.uid]?.bytesPerSecond = 0
        world.run(seconds: 10) { $0.isReady }
        #expect(world.isReady)
        world.run(seconds: 330)
        #expect(world.job(on: node) == nil, "a ready node needs no Job")
        #expect(world.isReady && world.condition(.degraded)?.status == .false)
    }

    @Test func `Of pods and Events the most exact word is told`() {
        func pod(_ status: PodStatus) -> Pod { Pod(metadata: ObjectMeta(name: "p", namespace: "team"), status: status) }
        func waiting(_ reason: String) -> PodStatus {
            let state = ContainerState(waiting: ContainerStateWaiting(reason: reason, message: "m"))
            return PodStatus(phase: "Pending", containerStatuses: [ContainerStatus(name: "warm", state: state)])
        }
        func event(_ reason: String, _ message: String) -> Event {
            Event(involvedObject: ObjectReference(), reason: reason, message: message, type: "Warning")
        }
        func of(_ pods: [Pod], _ events: [Event] = [], before: Set<String> = []) -> JobExamination.Verdict {
            .of(pods, events: events, pendingBefore: before)
        }
        #expect(of([pod(PodStatus(phase: "Running"))]) == .running)
        for reason in ["ImagePullBackOff", "CreateContainerConfigError"] {
            #expect(of([pod(waiting(reason))]) == .stuck(reason: reason, message: "m"))
        }
        let unscheduled = PodStatus(
            phase: "Pending",
            conditions: [Kubernetes.Condition(type: "PodScheduled", status: "False", reason: "Unschedulable", message: "0/3 nodes")])
        #expect(of([pod(unscheduled)]) == .stuck(reason: "Unschedulable", message: "0/3 nodes"))
        let quota = event("FailedCreate", "pods \"x\" is forbidden: exceeded quota: q, requested: pods=1")
        #expect(of([], [quota]) == .stuck(reason: "QuotaExceeded", message: quota.message ?? ""))
        let mount = event("FailedMount", "hostPath type check failed")
        #expect(of([pod(waiting("ContainerCreating"))], [mount]) == .stuck(reason: "FailedMount", message: mount.message ?? ""))
        // Between two tries there are only pods that failed; the next one is judged when it was seen to wait before.
        let failed = pod(PodStatus(phase: "Failed"))
        #expect(of([failed]) == .running)
        var next = pod(unscheduled)
        next.metadata.uid = "next"
        #expect(of([failed, next]) == .running)
        #expect(of([failed, next], before: ["next"]) == .stuck(reason: "Unschedulable", message: "0/3 nodes"))
        guard case .stuck(reason: "PodNotCreated", _) = of([]) else {
            Issue.record("\(of([]))")
            return
        }
    }

    @Test(arguments: ["rotated", "made late"]) func `A Secret that changes is seen within a minute`(how: String) {
        var world = FakeWorld(nodes: ["node-1", "node-2"]) { $0.secretName = "keys"; $0.parallelism = 1 }
        if how == "made late" {
            world.sourceFailure = SourceFailure(.secretNotFound, "there is no Secret")
        } else {
            world.failing = ["node-1", "node-2"]
        }
        world.run(seconds: 100)
        #expect(!world.isReady)
        world.sourceFailure = nil
        world.failing = []
        world.secretVersion = "2"
        world.run(seconds: 75) { $0.isReady }
        #expect(world.isReady)
    }

    @Test func `A node that joins later gets its Job at once, whose pod has the Secret's present entries`() {
        var world = FakeWorld(nodes: ["node-1"]) { $0.secretName = "keys" }
        world.run(seconds: 30) { $0.isReady }
        let looks = world.looks
        world.run(seconds: 7200)
        world.addNode("node-2")
        world.run(seconds: 10) { $0.isReady && $0.holds("node-2") }
        #expect(world.holds("node-2") && world.looks == looks, "nobody lists the source for it")
    }

    @Test func `A reader does not hide a Job that does not start`() {
        var world = FakeWorld(nodes: ["node-1"]) { $0.isEager = false; $0.seeders = 0; $0.secretName = "keys" }
        world.stuck["node-1"] = Self.pulling
        world.waitingPods = [WaitingPod(namespace: "team", name: "llama", uid: "p", node: "node-1")]
        world.run(seconds: 5)
        // The pod has opened the model, and waits for its first byte.
        world.agents["node-1"]?.caches[FakeWorld.uid]?.users = 1
        world.run(seconds: 330)
        #expect(world.status?.nodes?.failed == 1)
        #expect(world.condition(.degraded)?.message.contains("no such image") == true)
    }

    @Test func `A Job that a reader waits for is made anew when the spec changes`() {
        var world = FakeWorld(nodes: ["node-1"]) { $0.secretName = "keys" }
        world.run(seconds: 1)
        world.stuck["node-1"] = .running
        world.agents["node-1"]?.caches[FakeWorld.uid]?.bytesPerSecond = 0
        world.agents["node-1"]?.caches[FakeWorld.uid]?.users = 1
        world.generation += 1
        world.run(seconds: 3)
        #expect(world.madeJobs.count == 2)
    }

    @Test func `A Job of the spec before is made anew though an operator ended between the status and the listing`() {
        var world = FakeWorld(nodes: ["node-1"]) { $0.secretName = "keys" }
        world.run(seconds: 1)
        world.stuck["node-1"] = .running
        world.agents["node-1"]?.caches[FakeWorld.uid]?.bytesPerSecond = 0
        world.generation += 1
        world.status?.observedGeneration = world.generation
        world.crash()
        world.run(seconds: 3)
        #expect(world.madeJobs.count == 2)
    }

    @Test func `A Job that a queue holds back keeps its place there, takes none of ours, and is told`() {
        var world = FakeWorld(nodes: (1...4).map { "node-\($0)" }) { $0.parallelism = 1 }
        world.suspended = Set(world.nodes.keys)
        world.run(seconds: 1800)
        #expect(world.madeJobs.count == 2, "one beside the first, and none is made anew")
        #expect(world.jobs.values.allSatisfy { $0.isSuspended })
        #expect(world.status?.nodes?.failed == 0 && world.condition(.degraded)?.status == .false)
        #expect(world.condition(.progressing)?.message.contains("suspended until the queue of Jobs admits") == true)
        #expect(world.status?.nodes?.details.contains { $0.message?.contains("waits for its queue") ?? false } == true)
        world.suspended = []
        world.run { $0.isReady }
        #expect(world.isReady && world.madeJobs.count == 4)
    }

    @Test func `An admitted Job has as long to start as a new one`() {
        var world = FakeWorld(nodes: ["node-1"])
        world.suspended = ["node-1"]
        world.stuck["node-1"] = Self.pulling
        world.run(seconds: 1000)
        world.suspended = []
        world.run(seconds: 290)
        #expect(world.status?.nodes?.failed == 0 && world.madeJobs.count == 1)
        world.run(seconds: 30)
        #expect(world.status?.nodes?.failed == 1)
    }

    @Test func `A Job that its queue took back and admits again has as long to start as a new one`() throws {
        var world = FakeWorld(nodes: ["node-1"])
        world.stuck["node-1"] = .running
        world.run(seconds: 330)
        let name = try #require(world.job(on: "node-1")?.name)
        #expect(world.memory.examinations.count == 1)
        world.suspended = ["node-1"]
        world.jobs[name]?.isSuspended = true
        world.jobs[name]?.phaseSeen = world.now
        world.run(seconds: 3600)
        world.stuck["node-1"] = Self.pulling
        world.suspended = []
        world.run(seconds: 290)
        #expect(world.status?.nodes?.failed == 0 && world.madeJobs.count == 1)
        world.run(seconds: 30)
        #expect(world.status?.nodes?.failed == 1)
    }

    @Test func `The Job controller's word tells a suspended Job`() {
        func outline(_ status: String) -> JobOutline {
            var metadata = OutlineMetadata()
            metadata.name = Names.job(cache: "qwen", uid: "u", node: "node-1")
            metadata.labels = [Names.uidLabel: "u"]
            metadata.annotations = [Names.nodeAnnotation: "node-1"]
            metadata.ownerReferences = [Owner(namespace: "team", name: "qwen", uid: "u").reference]
            return JobOutline(
                metadata: metadata,
                status: JobConditions(conditions: [Kubernetes.Condition(type: "Suspended", status: status)]))
        }
        let now = WallTime(seconds: 1_800_000_000)
        #expect(JobView(outline("True"), now: now)?.isSuspended == true)
        #expect(JobView(outline("False"), now: now)?.isSuspended == false)
    }

    @Test func `Cordon ends no running warm-up`() {
        var world = FakeWorld(nodes: ["node-1"])
        world.run(seconds: 2)
        #expect(world.job(on: "node-1")?.isUnfinished == true)
        world.nodes["node-1"] = NodeView(name: "node-1", isSchedulable: false)
        world.run(seconds: 10) { $0.isReady }
        #expect(world.isReady && world.madeJobs.count == 1)
    }
}
