internal import AgentAPI
internal import CRD
public import Kubernetes

/// What must be known of a ModelCache to inject it into a pod. Any replica has it: the leader from the agents' reports, another from
/// what the leader wrote to the status.
public struct InjectionFacts: Sendable, Equatable {
    public var namespace: String
    public var name: String
    public var uid: String
    /// The claim through which pods mount the cache. Its name is known before it is made; a pod waits for it.
    public var claimName: String
    /// ``SourceEnvironment``, with optional keys: a missing Secret must not hold a pod back.
    public var environment: [EnvVar]
    /// Condition `Ready`.
    public var isReady: Bool
    /// Somebody asked for its deletion.
    public var isDeleting: Bool
    /// Why it cannot be served as it is, with the remedy; ``environment`` is then the best there is.
    public var problem: String?
    /// Values of the label `kubernetes.io/hostname` of the nodes that hold the whole model and take pods, the seeders' first.
    public var warmHostnames: [String]
    /// The image of warm-up Jobs, for an init container that waits.
    public var agentImage: String

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
    /// What the stores say of a ModelCache, before its Secret's entries are known.
    struct InjectionView {
        var facts: InjectionFacts
        var source: CacheDefinition.Source?
        /// The Secret with the source's keys; nil: a public source.
        var secretName: String?
        /// The names of its entries, when a resolution has found them.
        var secret: SecretView?
    }

    /// - Parameter isLive: this replica asks the agents itself.
    func injection(_ key: ObjectKey, isLive: Bool, now: WallTime) -> InjectionView? {
        let state = state.withLock { $0 }
        guard let cache = state.caches[key], let uid = cache.metadata.uid else { return nil }
        var facts = InjectionFacts(
            namespace: key.namespace, name: key.name, uid: uid, claimName: Names.claim(cache: key.name, uid: uid), environment: [],
            isReady: cache.status?.condition(.ready)?.status == .true, isDeleting: cache.metadata.deletionTimestamp != nil,
            agentImage: image)
        let reported = isLive
            ? WarmNodes.reported(state.reports[uid] ?? [:], agents: state.agents, digest: cache.status?.source?.digest, now: now) : nil
        facts.warmHostnames = WarmNodes.hostnames(
            reported ?? WarmNodes.recorded(cache.status), seeders: cache.status?.seeders ?? [], nodes: state.nodes, now: now)
        let spec: CacheSpec
        switch state.readings[uid] ?? cache.reading(validation) {
        case .invalid(let problem):
            facts.problem = problem
            return InjectionView(facts: facts)
        case .valid(let valid): spec = valid
        }
        let regions = Set(
            state.nodes.values.lazy.filter { spec.placement.selects($0) }.compactMap { $0.labels[NodeView.regionLabel] })
        var view = InjectionView(facts: facts, source: spec.source, secretName: spec.secretName)
        switch spec.effectiveSource(regions: regions, recorded: cache.status?.source?.region) {
        case .success(let source): view.source = source
        case .failure(let failure): view.facts.problem = failure.message
        }
        if let secret = state.resolutions[uid]?.resolved?.secret, secret.name == spec.secretName { view.secret = secret }
        return view
    }

    func names(in namespace: String) -> [String] {
        state.withLock { state in state.caches.keys.filter { $0.namespace == namespace }.map(\.name) }.sorted()
    }
}
