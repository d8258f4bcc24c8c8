public import CRD

/// How a ``ModelCacheController`` is set up.
public struct ControllerOptions: Sendable {
    /// Watch the ModelCaches of this namespace alone; nil: of all.
    public var namespace: String?
    /// Where the agents' pods and the Secret they share with the operator are.
    public var systemNamespace: String
    /// Image of the warm-up Jobs: the agents' own.
    public var agentImage: String
    public var agentPort: Int
    /// ModelCaches worked on at a time.
    public var workers: Int
    public var validation: ValidationPolicy
    /// The tokens' issuer; nil: as the API server's discovery document says.
    public var serviceAccountIssuer: String?
    /// Where the cluster's token keys cannot be had, agents serve every process that reaches a ModelCache's socket.
    public var allowsUnverifiedCallers: Bool
    /// The nodes' folder for models on disk, as the agents have it.
    public var diskPath: String
    /// The nodes on which agents may run, as a label selector; nil: all. Others are none of the operator's business.
    public var agentNodeSelector: String?
    /// The STS that Jobs assume roles at; nil: that of the source's region.
    public var stsEndpoint: String?
    /// Settings of warm-up Jobs' pods, where a ModelCache does not say otherwise.
    public var podTemplate: PodTemplate
    /// A warm-up Job whose pod has not started after so long is ended, and tells why.
    public var startDeadline: Duration
    /// How often a source is listed though nothing asks for it; nil: never.
    public var sourceCheckInterval: Duration?

    public init(
        namespace: String? = nil, systemNamespace: String = "modelcache-system", agentImage: String,
        agentPort: Int = 9417,
        workers: Int = 8, validation: ValidationPolicy = ValidationPolicy(), serviceAccountIssuer: String? = nil,
        allowsUnverifiedCallers: Bool = false, podTemplate: PodTemplate = PodTemplate(),
        diskPath: String = Names.standardDiskPath, agentNodeSelector: String? = nil,
        stsEndpoint: String? = nil, startDeadline: Duration = .seconds(300),
        sourceCheckInterval: Duration? = nil
    ) {
        self.namespace = namespace
        self.systemNamespace = systemNamespace
        self.agentImage = agentImage
        self.agentPort = agentPort
        self.workers = workers
        self.validation = validation
        self.serviceAccountIssuer = serviceAccountIssuer
        self.allowsUnverifiedCallers = allowsUnverifiedCallers
        self.podTemplate = podTemplate
        self.diskPath = diskPath
        self.agentNodeSelector = agentNodeSelector
        self.stsEndpoint = stsEndpoint
        self.startDeadline = startDeadline
        self.sourceCheckInterval = sourceCheckInterval
    }
}
