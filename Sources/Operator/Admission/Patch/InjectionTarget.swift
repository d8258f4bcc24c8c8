public import CRD
public import Kubernetes

/// One ModelCache as the webhook must know it to inject it: a pure value, made by the operator from what it watches.
public struct InjectionTarget: Sendable, Equatable {
    public var name: String
    public var namespace: String
    public var uid: String
    /// The claim in the ModelCache's namespace through which pods reach the cache's directory.
    public var claimName: String
    /// `OSS_PATH`, `OSS_ENDPOINT`, `OSS_REGION`, `MODELCACHE_INCLUDE` and what else says where the source is. Others
    /// are passed over.
    public var environment: [EnvVar]
    /// The keys by `secretKeyRef`, for pods that ask for them (``PodLabels/directCredentials``). Others are passed
    /// over; a reference becomes optional, since a missing Secret must not hold a pod back. Empty: pods bring no keys.
    public var directKeys: [EnvVar]
    /// Every node that is to have the model has it. For people: a pod is injected either way.
    public var ready: Bool
    /// Values of the label `kubernetes.io/hostname` of the nodes that hold the whole model, seeders first. Of many
    /// nodes each pod gets a few: ``WarmAffinity``.
    public var warmNodeHostnames: [String]
    /// Bytes of the whole model; 0: not known yet. Of several models the larger one decides about the node.
    public var totalBytes: Int64
    /// It is on its way out: no new pod is given a volume that is about to go.
    public var deleting: Bool
    /// Image of the init container in mode `Wait`.
    public var agentImage: String
    /// Settings of warm-up pods, as far as they concern that container and its pod.
    public var podTemplate: PodTemplate
    /// Why ``environment`` cannot be said yet (an invalid spec, an endpoint that no node's region gives): one line
    /// without a stop. The pod is left alone then. Nil as soon as it can be said, also when the bytes are not there:
    /// the pod then waits for its claim.
    public var unresolved: String?

    public init(
        name: String, namespace: String, uid: String, claimName: String, environment: [EnvVar],
        directKeys: [EnvVar] = [], ready: Bool,
        warmNodeHostnames: [String], totalBytes: Int64 = 0, deleting: Bool, agentImage: String,
        podTemplate: PodTemplate = PodTemplate(),
        unresolved: String? = nil
    ) {
        self.name = name
        self.namespace = namespace
        self.uid = uid
        self.claimName = claimName
        self.environment = environment
        self.directKeys = directKeys
        self.ready = ready
        self.warmNodeHostnames = warmNodeHostnames
        self.totalBytes = totalBytes
        self.deleting = deleting
        self.agentImage = agentImage
        self.podTemplate = podTemplate
        self.unresolved = unresolved
    }
}

/// Where the webhook looks ModelCaches up. Answers come from memory: the API server waits at most three seconds for a
/// pod.
public protocol InjectionSource: Sendable {
    /// Nil: there is none of that name in the namespace.
    func target(namespace: String, name: String) async -> InjectionTarget?
    /// The ModelCaches of a namespace, to suggest a near name. Asked only when ``target(namespace:name:)`` gave nil.
    func names(namespace: String) async -> [String]
    /// The ModelCaches that cannot be deleted any more when this is.
    func dependents(of prerequisite: Prerequisite) async -> [ObjectKey]
}
