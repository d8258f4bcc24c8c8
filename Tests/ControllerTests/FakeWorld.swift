import AgentAPI
import CRD
import Controller
import Kubernetes

/// A cluster in a value: enough of an API server, agents, Job controller and kubelets to drive plans to their end.
///
/// Time is virtual. An operator that crashes keeps nothing: ``crash()``.
struct FakeWorld {
    struct Agent {
        var instance = "agent-1"
        var isReachable = true
        var budget: Int64 = 1 << 40
        var unreachableSince: WallTime?
        /// Held, and not in its reports yet.
        var hiddenHeldBytes: Int64 = 0
        /// Since when it has no pod.
        var missingSince: WallTime?
        /// What it answers to an eviction, in place of carrying it out.
        var refusal: String?
        /// False: it answers, and evicts nothing, as where a disk does not answer.
        var obeysEvictions = true
        /// False: it reports, and answers no order.
        var answersOrders = true
        var unanswered: Memory.Refusal?
        /// Until when its pod may take to end.
        var drainsUntil: WallTime?
        var caches: [String: CacheReport] = [:]
    }

    static let uid = "6f1c2a8e-0000-4000-8000-000000000001"
    static let size: Int64 = 1000
    let owner = Owner(namespace: "team", name: "qwen", uid: Self.uid)
    var spec = CacheSpec(source: CacheDefinition.Source(uri: "oss://models/qwen/", endpoint: "http://store:80"))
    var invalid: String?
    var generation: Int64 = 1
    var hasFinalizer = false
    var deletedAt: WallTime?
    var isGone = false
    var eviction: RequestedEviction?
    var evictionBegun: String?
    /// Nodes whose copy was dropped on a person's request.
    var refreshed: [String] = []
    var status: ModelCacheStatus?
    var nodes: [String: NodeView] = [:]
    var agents: [String: Agent] = [:]
    var jobs: [String: JobView] = [:]
    var claim: ClaimView?
    var volume: VolumeView?
    var digest = "sha256:aa"
    /// Nil: the source resolves.
    var sourceFailure: SourceFailure?
    var secretVersion: String?
    /// Unix seconds at which the Secret's credentials expire.
    var secretExpiry: Int64?
    /// What the operator knows of those who may open caches.
    var callers = CallerKnowledge.unverified
    /// Nodes whose Jobs fail.
    var failing: Set<String> = []
    /// Nodes where the pods of Jobs do not start, and why.
    var stuck: [String: JobExamination.Verdict] = [:]
    /// Nodes whose Jobs a queue of Jobs holds back.
    var suspended: Set<String> = []
    /// Pods that wait for the model on their nodes.
    var waitingPods: [WaitingPod] = []
    /// Why the quota of the namespace has no capacity for the model.
    var quotaExcess: QuotaExcess?
    /// How often the operator looks whether the source has changed.
    var sourceCheckInterval: Duration?
    /// A person forces the eviction.
    var forcesEviction = false
    var now = WallTime(seconds: 1_800_000_000)

    // What an operator keeps in memory.
    var memory = Memory()
    var resolution = Resolution()

    /// Nodes whose agents have not answered this operator; it knows of them when they are reachable.
    var unheard: Set<String> = []
    /// Orders that no agent answers, by node, and when they are given up.
    var ordered: [String: WallTime] = [:]

    // What tests count.
    var ordersLost = 0
    var madeJobs: [String] = []
    /// The last Job that was made, by node.
    var lastJobs: [String: WarmupJob] = [:]
    var prepared: [String] = []
    var statusWrites = 0
    /// Whether the operator has asked every agent since its start.
    var agentsAreKnown = true
    var evictionsRefused = 0
    /// Definitions that agents refused for want of capacity.
    var definitionsRefused = 0
    /// How often the source was listed.
    var looks = 0
    var actions: [Action] = []
    var events: [PlannedEvent] = []
    private var serial = 0

    init(nodes names: [String], configure: (inout CacheSpec) -> Void = { _ in }) {
        configure(&spec)
        for name in names { addNode(name) }
    }

    mutating func addNode(_ name: String, labels: [String: String] = [:], agent: Bool = true) {
        nodes[name] = NodeView(name: name, labels: labels)
        if agent { agents[name] = Agent() }
    }

    mutating func crash() {
        memory = Memory()
        resolution = Resolution()
        ordered = [:]
        unheard = Set(agents.keys)
        for node in agents.keys { agents[node]?.unanswered = nil }
    }

    /// `keepingDefinitions`: the directories are still there, and what they say of callers; the bytes are not.
    mutating func restartAgent(_ node: String, keepingDefinitions: Bool = false) {
        serial += 1
        agents[node]?.unanswered = nil
        let before = agents[node]?.caches ?? [:]
        agents[node]?.caches = [:]
        for (uid, report) in before where keepingDefinitions {
            var empty = report
            empty.state = .prepared
            empty.digest = nil
            empty.bytesCached = 0
            agents[node]?.caches[uid] = empty
        }
        agents[node]?.instance = "agent-again-\(serial)"
    }

    /// The pod of a rolling update is asked to end: it answers nothing any more, and is there still.
    mutating func drainAgentPod(_ node: String, grace: Duration) {
        setReachable(node, false)
        agents[node]?.drainsUntil = now + grace
    }

    /// The pod of a rolling update goes; ``startAgentPod(_:)`` brings the next one.
    mutating func stopAgentPod(_ node: String) {
        agents[node]?.isReachable = false
        agents[node]?.missingSince = now
        agents[node]?.drainsUntil = nil
    }

    /// Another process; what lies on the node is there still.
    mutating func startAgentPod(_ node: String) {
        serial += 1
        agents[node]?.instance = "agent-again-\(serial)"
        agents[node]?.unanswered = nil
        agents[node]?.isReachable = true
        agents[node]?.missingSince = nil
    }

    mutating func setReachable(_ node: String, _ isReachable: Bool) {
        agents[node]?.isReachable = isReachable
        agents[node]?.unreachableSince = isReachable ? nil : now
    }

    func observe() -> Observed {
        var recorded = Observed.Recorded(generation: status?.observedGeneration, seeders: status?.seeders ?? [])
        if let source = status?.source, let digest = source.digest {
            recorded.fingerprint = source.fingerprint ?? ""
            recorded.source = ResolvedSource(totalBytes: source.totalBytes, files: source.files, digest: digest)
            recorded.region = source.region
        }
        recorded.medium = status?.medium.map { $0 == .disk ? .disk : .memory }
        recorded.setFailure(status)
        recorded.setCopies(status)
        var views: [String: AgentView] = [:]
        var reports: [String: CacheReport] = [:]
        for (name, agent) in agents {
            let isUnheard = unheard.contains(name) && !agent.isReachable
            if isUnheard, agent.missingSince != nil { continue }
            let silence = agent.missingSince.map { AgentView.Reach.missing(since: $0) }
                ?? .unreachable(since: agent.unreachableSince ?? now, why: "refused")
            views[name] = AgentView(
                node: name, reach: agent.isReachable ? .reachable : silence, instanceID: agent.instance,
                reportedAt: isUnheard ? nil : now,
                memory: Self.capacity(of: agent))
            views[name]?.unanswered = agent.unanswered
            views[name]?.drainsUntil = agent.drainsUntil
            if !isUnheard { reports[name] = agent.caches[Self.uid] }
        }
        var observed = Observed(
            owner: owner, generation: generation, hasFinalizer: hasFinalizer, deletedAt: deletedAt, evictionRequest: eviction,
            spec: invalid.map { .invalid($0) } ?? .valid(spec), recorded: recorded, nodes: nodes, agents: views, reports: reports,
            jobs: Array(jobs.values), claim: claim, volume: volume, resolution: resolution, memory: memory)
        observed.callers = callers
        observed.ordered = Set(ordered.keys)
        observed.waitingPods = waitingPods
        observed.quotaExcess = quotaExcess
        observed.forcesEviction = forcesEviction
        observed.evictionBegun = evictionBegun
        observed.agentsAreKnown = agentsAreKnown
        observed.sourceCheckInterval = sourceCheckInterval
        return observed
    }

    /// One reconcile. `actionLimit`: the operator dies after so many writes, and before the status if it got that far.
    @discardableResult
    mutating func reconcile(actionLimit: Int? = nil) -> Plan {
        guard !isGone else { return Plan(memory: memory) }
        unheard = unheard.filter { !(agents[$0]?.isReachable ?? false) }
        let plan = Plan.make(observed: observe(), now: now)
        memory = plan.memory
        actions = plan.actions
        events += plan.events
        for (index, action) in plan.actions.enumerated() {
            if let actionLimit, index >= actionLimit {
                crash()
                return plan
            }
            carryOut(action)
        }
        if let actionLimit, actionLimit >= plan.actions.count {
            crash()
            return plan
        }
        guard let picture = plan.picture, !isGone else { return plan }
        let draft = ModelCacheStatus(picture, before: status, generation: generation, now: now)
        if StatusWrite.decide(from: status, to: draft, memory: &memory, now: now) == .now {
            status = draft
            statusWrites += 1
            StatusWrite.written(at: now, memory: &memory)
        }
        return plan
    }

    private mutating func carryOut(_ action: Action) {
        serial += 1
        switch action {
        case .addFinalizer: hasFinalizer = true
        case .removeFinalizer:
            hasFinalizer = false
            isGone = deletedAt != nil
        case .resolve:
            looks += 1
            resolve()
        case .createVolume(let made):
            if volume == nil {
                volume = VolumeView(name: made.volumeName, uid: "pv-\(serial)", cacheUID: Self.uid, claimUID: claim?.uid)
            }
        case .createClaim(let made):
            if claim == nil {
                claim = ClaimView(namespace: owner.namespace, name: made.claimName, uid: "pvc-\(serial)", cacheUID: Self.uid)
            }
        case .deleteVolume: volume = nil
        case .deleteClaim: claim = nil
        case .prepare(let node, let definition):
            if !isLost(node) { prepare(node, definition) }
        case .evict(let node, let force):
            guard !isLost(node), let agent = agents[node], agent.isReachable, agent.obeysEvictions else { return }
            if let refusal = agent.refusal {
                memory.evictionRefused[node] = .next(after: memory.evictionRefused[node], message: refusal, now: now)
                evictionsRefused += 1
                return
            }
            if force || agent.caches[Self.uid]?.users == 0 { agents[node]?.caches[Self.uid] = nil }
        case .refresh(let node):
            guard !isLost(node) else { return }
            let isDone = agents[node].map { $0.isReachable && $0.caches[Self.uid]?.users ?? 0 == 0 } ?? false
            if isDone {
                agents[node]?.caches[Self.uid] = nil
                refreshed.append(node)
            }
            memory.refresh?.nodes[node] = isDone
        case .beginEviction(let requested): evictionBegun = requested.mark
        case .clearEvictionRequest:
            eviction = nil
            evictionBegun = nil
            memory.refresh = nil
        case .deleteJob(let job): jobs[job.name] = nil
        case .examineJob(let job):
            memory.examinations[job.uid] = JobExamination(verdict(on: job), at: now)
        case .createJob(let job): create(job)
        case .replaceJob(let old, let job):
            jobs[old.name] = nil
            create(job)
        }
    }

    /// Whether the agent leaves this order unanswered.
    private mutating func isLost(_ node: String) -> Bool {
        guard let agent = agents[node], agent.isReachable, !agent.answersOrders else {
            agents[node]?.unanswered = nil
            return false
        }
        ordered[node] = now + .seconds(15)
        return true
    }

    private mutating func create(_ job: WarmupJob) {
        guard jobs[job.name] == nil else { return }
        madeJobs.append(job.node)
        lastJobs[job.node] = job
        jobs[job.name] = JobView(
            name: job.name, namespace: owner.namespace, uid: "job-\(serial)", cacheUID: Self.uid, node: job.node,
            attempt: job.attempt, phaseSeen: now)
        jobs[job.name]?.isSuspended = suspended.contains(job.node)
        jobs[job.name]?.isForPods = job.isForPods
    }

    private mutating func resolve() {
        let secret = spec.secretName.map { _ in SecretView(version: secretVersion ?? "1", expiry: secretExpiry) }
        let source = ResolvedSource(totalBytes: Self.size, files: 3, digest: digest, secret: secret)
        resolution.record(
            sourceFailure.map { .failure($0) } ?? .success(source), subject: spec.resolutionSubject, generation: generation, now: now)
    }

    private mutating func prepare(_ node: String, _ definition: CacheDefinition) {
        guard var agent = agents[node], agent.isReachable else { return }
        // What the real agent refuses, by the same rule.
        let known = agent.caches[Self.uid]
        let wanted = Capacity.Promise(sizeBytes: definition.sizeBytes, isPinned: definition.pinned)
        var capacity = Self.capacity(of: agent)
        let reported = capacity.freeBytes
        capacity.heldBytes += agent.hiddenHeldBytes
        if let lack = capacity.without(known).shortfall(for: wanted, after: known?.promise) {
            definitionsRefused += 1
            memory.refusals[node] = AgentRefusal(
                .capacity(needed: lack.neededBytes, free: lack.freeBytes), after: memory.refusals[node],
                isPinned: definition.pinned,
                circumstances: AgentRefusal.Circumstances(
                    generation: generation, sizeBytes: definition.sizeBytes, callersDigest: definition.callers?.digest,
                    agentInstance: agent.instance),
                freeBytes: reported, message: "no capacity", now: now)
            return
        }
        memory.sent[node] = definition.stableHash
        memory.refusals[node] = nil
        var report = agent.caches[Self.uid] ?? CacheReport(
            uid: Self.uid, namespace: owner.namespace, name: owner.name, source: definition.source, medium: definition.medium,
            state: .prepared, bytesTotal: definition.sizeBytes, pinned: definition.pinned)
        report.pinned = definition.pinned
        report.source = definition.source
        // An agent keeps the keys that it has from an operator that knows none.
        if definition.callers?.hasKeys != false || report.callersDigest == nil { report.callersDigest = definition.callers?.digest }
        prepared.append(node)
        agent.caches[Self.uid] = report
        agents[node] = agent
    }

    private static func capacity(of agent: Agent) -> Capacity {
        Capacity(
            AgentReport.MediumReport(
                budgetBytes: agent.budget,
                usedBytes: agent.caches.values.reduce(0) { $0 + ($1.pinned ? $1.bytesTotal : $1.bytesCached) }),
            caches: agent.caches.values)
    }

    private func verdict(on job: JobView) -> JobExamination.Verdict {
        if let verdict = stuck[job.node] { return verdict }
        return .running
    }

    /// A second passes: Jobs warm a third of the model, end, or fail.
    mutating func tick() {
        now = now + .seconds(1)
        for (node, until) in ordered where until <= now {
            ordered[node] = nil
            ordersLost += 1
            let before = agents[node]?.unanswered
            agents[node]?.unanswered = .next(after: before, message: "no answer in time", now: now)
            memory.refresh?.nodes[node] = false
        }
        for name in jobs.keys.sorted() {
            guard var job = jobs[name], job.isUnfinished, nodes[job.node]?.isReady ?? false else { continue }
            if job.isSuspended {
                if suspended.contains(job.node) { continue }
                job.isSuspended = false
                job = job.following(jobs[name] ?? job, now: now)
                jobs[name] = job
            }
            if stuck[job.node] != nil { continue }
            if failing.contains(job.node) {
                job.phase = .failed(reason: "BackoffLimitExceeded", message: "Job has reached the specified backoff limit", at: now)
                job.phaseSeen = now
                jobs[name] = job
                continue
            }
            guard var report = agents[job.node]?.caches[Self.uid], agents[job.node]?.isReachable ?? false else { continue }
            if report.digest != digest { report.bytesCached = 0 }
            report.digest = digest
            report.bytesCached = min(Self.size, report.bytesCached + 334)
            report.state = report.bytesCached == Self.size ? .ready : .filling
            report.bytesPerSecond = report.state == .ready ? 0 : 334
            agents[job.node]?.caches[Self.uid] = report
            if report.state == .ready {
                job.phase = .complete
                job.phaseSeen = now
                jobs[name] = job
            }
        }
    }

    /// Reconciles and lets time pass, each second, until `isDone` or the seconds are over.
    mutating func run(seconds: Int = 60, until isDone: (FakeWorld) -> Bool = { _ in false }) {
        for _ in 0..<seconds {
            settle()
            if isDone(self) { return }
            tick()
        }
    }

    /// Reconciles as a controller wakes itself: for what its own writes changed, and when a status that was held is due.
    mutating func settle() {
        for _ in 0..<4 { reconcile() }
        if memory.statusHeldSince != nil {
            now = now + .milliseconds(300)
            reconcile()
        }
    }

    func condition(_ type: ConditionType) -> CRD.Condition? { status?.condition(type) }
    var isReady: Bool { condition(.ready)?.status == .true }
    func holds(_ node: String) -> Bool {
        guard let report = agents[node]?.caches[Self.uid] else { return false }
        return report.state == .ready && report.digest == digest
    }
    func job(on node: String) -> JobView? { jobs.values.first { $0.node == node } }
}
