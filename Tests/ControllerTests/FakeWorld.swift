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
        /// What it answers to an eviction, in place of carrying it out.
        var refusal: String?
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
    var eviction: EvictionWish?
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
    /// What the operator knows of those who may open caches.
    var callers = CallerKnowledge.unverified
    /// Nodes whose Jobs fail.
    var failing: Set<String> = []
    var now = WallTime(seconds: 1_800_000_000)

    // What an operator keeps in memory.
    var memory = Memory()
    var resolution = Resolution()

    // What tests count.
    var madeJobs: [String] = []
    var prepared: [String] = []
    var statusWrites = 0
    var evictionsRefused = 0
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
    }

    /// `keepingDefinitions`: the directories are still there, and what they say of callers; the bytes are not.
    mutating func restartAgent(_ node: String, keepingDefinitions: Bool = false) {
        serial += 1
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

    mutating func setReachable(_ node: String, _ isReachable: Bool) {
        agents[node]?.isReachable = isReachable
        agents[node]?.unreachableSince = isReachable ? nil : now
    }

    func observe() -> Observed {
        var recorded = Observed.Recorded(generation: status?.observedGeneration, seeders: status?.seeders ?? [])
        if let source = status?.source, let digest = source.digest {
            recorded.sourceHash = source.resolvedSpecHash ?? ""
            recorded.source = ResolvedSource(totalBytes: source.totalBytes, files: source.files, digest: digest)
            recorded.region = source.region
        }
        recorded.medium = status?.medium.map { $0 == .disk ? .disk : .memory }
        var views: [String: AgentView] = [:]
        var reports: [String: CacheReport] = [:]
        for (name, agent) in agents {
            let used = agent.caches.values.reduce(Int64(0)) { $0 + ($1.pinned ? $1.bytesTotal : $1.bytesCached) }
            views[name] = AgentView(
                node: name,
                reach: agent.isReachable ? .reachable : .unreachable(since: agent.unreachableSince ?? now, why: "refused"),
                instanceID: agent.instance, reportedAt: now, memory: AgentView.Room(budget: agent.budget, used: used))
            reports[name] = agent.caches[Self.uid]
        }
        var observed = Observed(
            owner: owner, generation: generation, hasFinalizer: hasFinalizer, deletedAt: deletedAt, evictionRequest: eviction,
            spec: invalid.map { .invalid($0) } ?? .valid(spec), recorded: recorded, nodes: nodes, agents: views, reports: reports,
            jobs: Array(jobs.values), claim: claim, volume: volume, resolution: resolution, memory: memory)
        observed.callers = callers
        return observed
    }

    /// One reconcile. `actionLimit`: the operator dies after so many writes, and before the status if it got that far.
    @discardableResult
    mutating func reconcile(actionLimit: Int? = nil) -> Plan {
        guard !isGone else { return Plan(memory: memory) }
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
        case .resolve: resolve()
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
        case .prepare(let node, let definition): prepare(node, definition)
        case .evict(let node):
            guard let agent = agents[node], agent.isReachable else { return }
            if let refusal = agent.refusal {
                memory.evictionRefused[node] = .next(after: memory.evictionRefused[node], message: refusal, now: now)
                evictionsRefused += 1
                return
            }
            if agent.caches[Self.uid]?.users == 0 { agents[node]?.caches[Self.uid] = nil }
        case .refresh(let node, let job):
            guard let agent = agents[node], agent.isReachable, agent.caches[Self.uid]?.users ?? 0 == 0 else { return }
            agents[node]?.caches[Self.uid] = nil
            if let job { jobs[job.name] = nil }
        case .clearEvictionRequest: eviction = nil
        case .deleteJob(let job): jobs[job.name] = nil
        case .createJob(let job): create(job)
        case .replaceJob(let old, let job):
            jobs[old.name] = nil
            create(job)
        }
    }

    private mutating func create(_ job: WarmupJob) {
        guard jobs[job.name] == nil else { return }
        madeJobs.append(job.node)
        jobs[job.name] = JobView(
            name: job.name, namespace: owner.namespace, uid: "job-\(serial)", cacheUID: Self.uid, node: job.node,
            attempt: job.attempt, phaseSeen: now)
    }

    private mutating func resolve() {
        resolution.subject = spec.resolutionSubject
        resolution.finishedAt = now
        if let sourceFailure {
            resolution.outcome = .failed(sourceFailure)
            resolution.failures += 1
        } else {
            let secret = spec.secretName.map {
                SecretView(name: $0, resourceVersion: secretVersion ?? "1", keys: .init(keyID: "akId", secret: "akSecret", token: "securityToken"))
            }
            resolution.outcome = .resolved(ResolvedSource(totalBytes: Self.size, files: 3, digest: digest, secret: secret))
            resolution.failures = 0
        }
    }

    private mutating func prepare(_ node: String, _ definition: CacheDefinition) {
        guard var agent = agents[node], agent.isReachable else { return }
        if definition.pinned, agent.budget < definition.sizeBytes {
            memory.shortages[node] = Memory.Shortage(needed: definition.sizeBytes, free: agent.budget, until: now + .seconds(60))
            return
        }
        var report = agent.caches[Self.uid] ?? CacheReport(
            uid: Self.uid, namespace: owner.namespace, name: owner.name, source: definition.source, medium: definition.medium,
            state: .prepared, bytesTotal: definition.sizeBytes, pinned: definition.pinned)
        report.pinned = definition.pinned
        // An agent keeps the keys that it has from an operator that knows none.
        if definition.callers?.hasKeys != false || report.callersDigest == nil { report.callersDigest = definition.callers?.digest }
        prepared.append(node)
        agent.caches[Self.uid] = report
        agents[node] = agent
    }

    /// A second passes: Jobs warm a third of the model, end, or fail.
    mutating func tick() {
        now = now + .seconds(1)
        for name in jobs.keys.sorted() {
            guard var job = jobs[name], job.isUnfinished, nodes[job.node]?.isReady ?? false else { continue }
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
