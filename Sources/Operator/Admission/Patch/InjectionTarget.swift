public import Kubernetes

/// What the webhook must know of one ModelCache to inject it. A pure value, made by the operator from what it watches.
public struct InjectionTarget: Sendable, Hashable {
    public var name: String
    public var namespace: String
    public var uid: String
    /// The claim in the ModelCache's namespace through which pods reach the cache's directory.
    public var claimName: String
    /// `OSS_PATH`, `OSS_ENDPOINT`, `OSS_REGION`, `MODELCACHE_INCLUDE` and the keys by `secretKeyRef`, as warm-up Jobs get them. Others
    /// are passed over; a `secretKeyRef` becomes optional, since a missing Secret must not hold a pod back.
    public var environment: [EnvVar]
    /// Every node that is to have the model has it. For people: a pod is injected either way.
    public var ready: Bool
    /// Values of the label `kubernetes.io/hostname` of the nodes that hold the whole model, those to prefer first: of more than a
    /// hundred the rest is left out.
    public var warmNodeHostnames: [String]
    /// It is on its way out: no new pod is given a volume that is about to go.
    public var deleting: Bool
    /// Image of the init container in mode `Wait`.
    public var agentImage: String
    /// Why ``environment`` cannot be said yet (an invalid spec, an endpoint that no node's region gives): one line without a stop. The
    /// pod is left alone then. Nil as soon as it can be said, also when the bytes are not there: the pod then waits for its claim.
    public var unresolved: String?

    public init(
        name: String, namespace: String, uid: String, claimName: String, environment: [EnvVar], ready: Bool,
        warmNodeHostnames: [String], deleting: Bool, agentImage: String, unresolved: String? = nil
    ) {
        self.name = name
        self.namespace = namespace
        self.uid = uid
        self.claimName = claimName
        self.environment = environment
        self.ready = ready
        self.warmNodeHostnames = warmNodeHostnames
        self.deleting = deleting
        self.agentImage = agentImage
        self.unresolved = unresolved
    }
}

/// Where the webhook looks ModelCaches up. Answers come from memory: the API server waits at most three seconds for a pod.
public protocol InjectionSource: Sendable {
    /// Nil: there is none of that name in the namespace.
    func target(namespace: String, name: String) async -> InjectionTarget?
    /// The ModelCaches of a namespace, to suggest a near name. Asked only when ``target(namespace:name:)`` gave nil.
    func names(namespace: String) async -> [String]
}
