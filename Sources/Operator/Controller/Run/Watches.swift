internal import CRD
package import Kubernetes
internal import Logging

/// The reflectors that feed the world. Each keeps of an object what plans need and no more: ten thousand Jobs are a few
/// megabytes.
struct Watches: Sendable {
    private let caches: Reflector<ModelCache, ModelCache>
    private let nodes: Reflector<Node, NodeView>
    private let jobs: Reflector<JobOutline, WatchedJob>
    private let claims: Reflector<PersistentVolumeClaim, ClaimView>
    private let volumes: Reflector<PersistentVolume, VolumeView>
    private let quotas: Reflector<ResourceQuota, QuotaView>
    private let agents: Reflector<Pod, AgentPod>

    init(client: KubernetesClient, options: ControllerOptions, logger: Logger) {
        let managed = "\(Names.managedByLabel)=\(Names.managedBy)"
        let ours = ListOptions(labelSelector: "\(managed),\(Names.uidLabel)")
        let agent = ListOptions(labelSelector: "\(Names.agentLabel.key)=\(Names.agentLabel.value)")
        caches = Reflector(client: client, namespace: options.namespace, logger: logger)
        nodes = Reflector(
            client: client, selecting: ListOptions(labelSelector: options.agentNodeSelector),
            logger: logger
        ) { NodeView($0, now: .now) }
        // Those that list a source have no label with the uid.
        jobs = Reflector(
            client: client, namespace: options.namespace, selecting: ListOptions(labelSelector: managed), logger: logger
        ) { WatchedJob($0, now: .now) }
        claims = Reflector(client: client, namespace: options.namespace, selecting: ours, logger: logger) {
            ClaimView($0)
        }
        volumes = Reflector(client: client, selecting: ours, logger: logger) { VolumeView($0) }
        quotas = Reflector(client: client, namespace: options.namespace, logger: logger) { QuotaView($0) }
        agents = Reflector(client: client, namespace: options.systemNamespace, selecting: agent, logger: logger) {
            AgentPod($0)
        }
    }

    /// Before ``run()``.
    ///
    /// An object that was deleted and made again between two lists comes as one that was modified.
    ///
    /// - Parameters:
    ///   - going: a ModelCache is being deleted, or gone.
    ///   - job: a warm-up Job has come, or its phase is another one.
    ///   - listing: a Job that lists a source, as it was and as it is.
    func connect(
        to world: World, going: @escaping @Sendable () -> Void,
        pods: @escaping @Sendable (ReflectorEvent<AgentPod>) -> Void,
        job: @escaping @Sendable (JobView) -> Void,
        listing: @escaping @Sendable (ListingJobView?, ListingJobView?) -> Void,
        wake: @escaping @Sendable ([ObjectKey], WakeReason, ReconcileQueue.Urgency) -> Void
    ) {
        // Before the list's changes are told.
        caches.addListHandler { world.relisted(.caches) }
        jobs.addListHandler { world.relisted(.jobs) }
        claims.addListHandler { world.relisted(.claims) }
        volumes.addListHandler { world.relisted(.volumes) }
        caches.addHandler { event in
            switch event {
            case .added(let key, let cache): wake(world.set(cache, key: key), .edit, .now)
            case .modified(let key, let old, let new):
                if old.uid != new.uid { wake(world.remove(old, key: key), .edit, .now) }
                wake(world.set(new, key: key), .edit, .now)
                if old.uid != new.uid || new.metadata.deletionTimestamp != nil { going() }
            case .deleted(let key, let cache):
                wake(world.remove(cache, key: key), .edit, .now)
                going()
            }
        }
        nodes.addHandler { event in
            switch event {
            case .added(_, let node), .modified(_, _, let node): wake(world.set(node), .node, .soon)
            case .deleted(let key, _): wake(world.removeNode(key.name), .node, .soon)
            }
        }
        jobs.addHandler { event in
            let (before, after): (WatchedJob?, WatchedJob?) =
                switch event {
                case .added(_, let new): (nil, new)
                case .modified(_, let old, let new): (old, new)
                case .deleted(_, let gone): (gone, nil)
                }
            if before?.listing != nil || after?.listing != nil { listing(before?.listing, after?.listing) }
            let old = before?.warmup
            if let old, old.uid != after?.warmup?.uid { wake(world.removeJob(old), .job, .soon) }
            guard let new = after?.warmup else { return }
            wake(world.set(new, isConfirmed: true), .job, .soon)
            if old?.phase != new.phase { job(new) }
        }
        claims.addHandler { event in
            switch event {
            case .added(_, let claim): wake(world.set(claim), .claim, .soon)
            case .modified(_, let old, let new):
                if old.uid != new.uid { _ = world.removeClaim(old) }
                wake(world.set(new), .claim, .soon)
            case .deleted(_, let claim): wake(world.removeClaim(claim), .claim, .soon)
            }
        }
        volumes.addHandler { event in
            switch event {
            case .added(_, let volume): wake(world.set(volume), .volume, .soon)
            case .modified(_, let old, let new):
                if old.uid != new.uid { _ = world.removeVolume(old) }
                wake(world.set(new), .volume, .soon)
            case .deleted(_, let volume): wake(world.removeVolume(volume), .volume, .soon)
            }
        }
        quotas.addHandler { event in
            switch event {
            case .added(_, let quota), .modified(_, _, let quota): wake(world.set(quota), .quota, .soon)
            case .deleted(_, let quota): wake(world.remove(quota), .quota, .soon)
            }
        }
        agents.addHandler(pods)
    }

    /// ModelCaches and nodes, which every replica knows. Until cancelled.
    func follow() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await caches.run() }
            group.addTask { try await nodes.run() }
            try await group.waitForAll()
        }
    }

    /// Runs the reflectors that the leader alone needs besides. Until cancelled.
    func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await jobs.run() }
            group.addTask { try await claims.run() }
            group.addTask { try await volumes.run() }
            group.addTask { try await quotas.run() }
            group.addTask { try await agents.run() }
            try await group.waitForAll()
        }
    }

    func waitUntilSynced() async throws {
        try await caches.waitUntilSynced()
        try await nodes.waitUntilSynced()
        try await jobs.waitUntilSynced()
        try await claims.waitUntilSynced()
        try await volumes.waitUntilSynced()
        try await quotas.waitUntilSynced()
        try await agents.waitUntilSynced()
    }

    /// Names, each 30 s, the kinds that no list has come of. Until all lists are in; of a missing right for one kind
    /// nothing else tells that no plan is made.
    func tellMissing(_ logger: Logger, every interval: Duration = .seconds(30)) async throws {
        while true {
            try await Task.sleep(for: interval)
            guard let line = MissingLists.line(of: lists) else { return }
            logger.error("\(line)")
        }
    }

    var areFollowed: Bool { caches.hasSynced && nodes.hasSynced }

    var haveSynced: Bool { missing.isEmpty }

    /// The kinds that no list has come of yet.
    var missing: [String] { MissingLists.kinds(of: lists) }

    private var lists: [MissingLists.Watched] {
        [
            .init(caches), .init(nodes), .init(jobs), .init(claims), .init(volumes), .init(quotas), .init(agents),
        ]
    }
}

/// Tells which watches have no list.
package enum MissingLists {
    /// One reflector's kind and status.
    package struct Watched: Sendable {
        var kind: String
        var hasSynced: Bool
        var error: String?

        package init(kind: String, hasSynced: Bool, error: String? = nil) {
            self.kind = kind
            self.hasSynced = hasSynced
            self.error = error
        }

        init<Resource, Stored>(_ reflector: Reflector<Resource, Stored>) {
            self.init(
                kind: Resource.resourceName, hasSynced: reflector.hasSynced, error: reflector.status.lastError)
        }
    }

    package static func kinds(of lists: [Watched]) -> [String] { lists.filter { !$0.hasSynced }.map(\.kind) }

    /// Nil: each has its list.
    package static func line(of lists: [Watched]) -> String? {
        let kinds = kinds(of: lists)
        guard !kinds.isEmpty else { return nil }
        let error = lists.last { !$0.hasSynced && $0.error != nil }?.error
        return "nothing is planned before all watches have a list; missing: \(kinds.joined(separator: ", "))"
            + (error.map { "; last error: \($0)" } ?? "")
    }
}

/// A Job of this operator or of one before it.
enum WatchedJob: Sendable, Hashable {
    case warmup(JobView)
    case listing(ListingJobView)

    /// Nil for one that is neither.
    init?(_ job: JobOutline, now: WallTime) {
        if let warmup = JobView(job, now: now) {
            self = .warmup(warmup)
        } else if let listing = ListingJobView(job) {
            self = .listing(listing)
        } else {
            return nil
        }
    }

    var warmup: JobView? { if case .warmup(let view) = self { view } else { nil } }
    var listing: ListingJobView? { if case .listing(let view) = self { view } else { nil } }
}

/// The facts that are needed about an agent's pod.
package struct AgentPod: Sendable, Hashable {
    var name: String
    var uid: String
    var node: String
    var address: String
    var isReady: Bool
    var isDeleting: Bool
    /// How long it may take to end once it was asked to.
    var graceSeconds: Int64
    var createdAt: Int64

    /// Kubernetes' own default.
    private static let standardGraceSeconds: Int64 = 30

    /// Nil until it is on a node and has an address.
    package init?(_ pod: Pod) {
        guard let node = pod.spec?.nodeName, !node.isEmpty, let address = pod.status?.podIP ?? pod.status?.hostIP,
            !address.isEmpty,
            pod.status?.phase != "Failed", pod.status?.phase != "Succeeded"
        else { return nil }
        name = pod.objectKey.name
        uid = pod.uid
        self.node = node
        self.address = address
        isReady = pod.isReady
        isDeleting = pod.metadata.deletionTimestamp != nil
        graceSeconds =
            pod.metadata.deletionGracePeriodSeconds ?? pod.spec?.terminationGracePeriodSeconds
            ?? Self.standardGraceSeconds
        createdAt = pod.metadata.creationTimestamp?.secondsSinceEpoch ?? 0
    }
}
