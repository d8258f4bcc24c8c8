internal import CRD
internal import Kubernetes
internal import Logging

/// The reflectors that feed the world. Each keeps of an object what plans need and no more: ten thousand Jobs are a few megabytes.
struct Watches: Sendable {
    private let caches: Reflector<ModelCache, ModelCache>
    private let nodes: Reflector<Node, NodeView>
    private let jobs: Reflector<JobOutline, JobView>
    private let claims: Reflector<PersistentVolumeClaim, ClaimView>
    private let volumes: Reflector<PersistentVolume, VolumeView>
    private let agents: Reflector<Pod, AgentPod>

    init(client: KubernetesClient, options: ControllerOptions, logger: Logger) {
        let ours = ListOptions(labelSelector: "\(Names.managedByLabel)=\(Names.managedBy),\(Names.uidLabel)")
        let agent = ListOptions(labelSelector: "\(Names.agentLabel.key)=\(Names.agentLabel.value)")
        caches = Reflector(client: client, namespace: options.namespace, logger: logger)
        nodes = Reflector(client: client, logger: logger) { NodeView($0, now: .now) }
        jobs = Reflector(client: client, namespace: options.namespace, selecting: ours, logger: logger) { JobView($0, now: .now) }
        claims = Reflector(client: client, namespace: options.namespace, selecting: ours, logger: logger) { ClaimView($0) }
        volumes = Reflector(client: client, selecting: ours, logger: logger) { VolumeView($0) }
        agents = Reflector(client: client, namespace: options.systemNamespace, selecting: agent, logger: logger) { AgentPod($0) }
    }

    /// Before ``run()``.
    ///
    /// An object that was deleted and made again between two lists comes as one that was modified.
    func connect(
        to world: World, pods: @escaping @Sendable (ReflectorEvent<AgentPod>) -> Void,
        job: @escaping @Sendable (JobView) -> Void,
        wake: @escaping @Sendable ([ObjectKey]) -> Void, wakeSoon: @escaping @Sendable ([ObjectKey]) -> Void
    ) {
        caches.addHandler { event in
            switch event {
            case .added(let key, let cache): wake(world.set(cache, key: key))
            case .modified(let key, let old, let new):
                if old.uid != new.uid { _ = world.remove(old, key: key) }
                wake(world.set(new, key: key))
            case .deleted(let key, let cache): wake(world.remove(cache, key: key))
            }
        }
        nodes.addHandler { event in
            switch event {
            case .added(_, let node), .modified(_, _, let node): wakeSoon(world.set(node))
            case .deleted(let key, _): wakeSoon(world.removeNode(key.name))
            }
        }
        jobs.addHandler { event in
            switch event {
            case .added(_, let new):
                wakeSoon(world.set(new, isConfirmed: true))
                job(new)
            case .modified(_, let old, let new):
                if old.uid != new.uid { wakeSoon(world.removeJob(old)) }
                wakeSoon(world.set(new, isConfirmed: true))
                if old.phase != new.phase { job(new) }
            case .deleted(_, let gone): wakeSoon(world.removeJob(gone))
            }
        }
        claims.addHandler { event in
            switch event {
            case .added(_, let claim): wakeSoon(world.set(claim))
            case .modified(_, let old, let new):
                if old.uid != new.uid { _ = world.removeClaim(old) }
                wakeSoon(world.set(new))
            case .deleted(_, let claim): wakeSoon(world.removeClaim(claim))
            }
        }
        volumes.addHandler { event in
            switch event {
            case .added(_, let volume): wakeSoon(world.set(volume))
            case .modified(_, let old, let new):
                if old.uid != new.uid { _ = world.removeVolume(old) }
                wakeSoon(world.set(new))
            case .deleted(_, let volume): wakeSoon(world.removeVolume(volume))
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

    /// What the leader alone needs besides. Until cancelled.
    func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await jobs.run() }
            group.addTask { try await claims.run() }
            group.addTask { try await volumes.run() }
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
        try await agents.waitUntilSynced()
    }

    var areFollowed: Bool { caches.hasSynced && nodes.hasSynced }

    var haveSynced: Bool {
        areFollowed && jobs.hasSynced && claims.hasSynced && volumes.hasSynced && agents.hasSynced
    }
}

/// What is needed of an agent's pod.
struct AgentPod: Sendable, Hashable {
    var name: String
    var uid: String
    var node: String
    var address: String
    var isReady: Bool
    var isDeleting: Bool
    var createdAt: Int64

    /// Nil until it is on a node and has an address.
    init?(_ pod: Pod) {
        guard let node = pod.spec?.nodeName, !node.isEmpty, let address = pod.status?.podIP ?? pod.status?.hostIP, !address.isEmpty,
            pod.status?.phase != "Failed", pod.status?.phase != "Succeeded"
        else { return nil }
        name = pod.objectKey.name
        uid = pod.uid
        self.node = node
        self.address = address
        isReady = pod.isReady
        isDeleting = pod.metadata.deletionTimestamp != nil
        createdAt = pod.metadata.creationTimestamp?.secondsSinceEpoch ?? 0
    }
}
