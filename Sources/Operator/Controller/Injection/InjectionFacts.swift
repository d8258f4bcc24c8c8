internal import AgentAPI
public import CRD
public import Kubernetes

/// The facts about a ModelCache that its injection into a pod needs. Any replica has it: the leader from the agents'
/// reports, another from what the leader wrote to the status.
public struct InjectionFacts: Sendable, Equatable {
    public var namespace: String
    public var name: String
    public var uid: String
    /// The claim through which pods mount the cache. Its name is known before it is made; a pod waits for it.
    public var claimName: String
    /// ``SourceEnvironment``, without keys.
    public var environment: [EnvVar]
    /// ``SourceEnvironment/directKeys(secretName:source:)``, for pods that ask for them. Empty: nobody brings keys.
    public var directKeys: [EnvVar] = []
    /// Condition `Ready`.
    public var isReady: Bool
    /// Somebody asked for its deletion.
    public var isDeleting: Bool
    /// Why it cannot be served as it is, with the remedy; ``environment`` is then the best there is.
    public var problem: String?
    /// Values of the label `kubernetes.io/hostname` of the nodes that hold the whole model and take pods, the seeders'
    /// first.
    public var warmHostnames: [String]
    /// Bytes of the whole model; 0: not known yet.
    public var totalBytes: Int64 = 0
    /// The image of warm-up Jobs, for an init container that waits.
    public var agentImage: String
    /// Settings of warm-up pods, as far as they concern the init container and its pod.
    public var podTemplate = PodTemplate()

    public init(
        namespace: String, name: String, uid: String, claimName: String, environment: [EnvVar], isReady: Bool,
        isDeleting: Bool = false, problem: String? = nil, warmHostnames: [String] = [], agentImage: String
    ) {
        self.namespace = namespace
        self.name = name
        self.uid = uid
        self.claimName = claimName
        self.environment = environment
        self.isReady = isReady
        self.isDeleting = isDeleting
        self.problem = problem
        self.warmHostnames = warmHostnames
        self.agentImage = agentImage
    }
}

extension World {
    /// The facts about a ModelCache in the informer stores; nil: there is none.
    ///
    /// - Parameter isLive: this replica asks the agents itself.
    func injection(_ key: ObjectKey, isLive: Bool, now: WallTime) -> InjectionFacts? {
        let state = state.withLock { $0 }
        guard let cache = state.caches[key], let uid = cache.metadata.uid else { return nil }
        var facts = InjectionFacts(
            namespace: key.namespace, name: key.name, uid: uid, claimName: Names.claim(cache: key.name, uid: uid),
            environment: [],
            isReady: cache.status?.condition(.ready)?.status == .true,
            isDeleting: cache.metadata.deletionTimestamp != nil,
            agentImage: image)
        facts.totalBytes = cache.status?.source?.totalBytes ?? 0
        facts.podTemplate = podTemplate.overlaid(by: cache.spec.warmup.podTemplate ?? PodTemplate())
        let reported =
            isLive
            ? WarmNodes.reported(
                state.reports[uid] ?? [:], agents: state.agents, digest: cache.status?.source?.digest, now: now) : nil
        facts.warmHostnames = WarmNodes.hostnames(
            reported ?? WarmNodes.recorded(cache.status), seeders: cache.status?.seeders ?? [], nodes: state.nodes,
            now: now)
        let spec: CacheSpec
        switch state.readings[uid] ?? cache.reading(validation) {
        case .invalid(let problem):
            facts.problem = problem
            return facts
        case .valid(let valid): spec = valid
        }
        let regions = Set(
            state.nodes.values.lazy.filter { spec.placement.selects($0) }.compactMap { $0.labels[NodeView.regionLabel] }
        )
        var source = spec.source
        switch spec.effectiveSource(regions: regions, recorded: cache.status?.source?.region) {
        case .success(let effective): source = effective
        case .failure(let failure): facts.problem = failure.message
        }
        facts.environment = SourceEnvironment.variables(source: source)
        if let secretName = spec.secretName {
            facts.directKeys = SourceEnvironment.directKeys(secretName: secretName, source: source)
        }
        return facts
    }

    func names(in namespace: String) -> [String] {
        state.withLock { state in state.caches.keys.filter { $0.namespace == namespace }.map(\.name) }.sorted()
    }
}
