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
    /// Where the cluster's token keys cannot be had, agents serve whoever reaches a ModelCache's socket.
    public var allowsUnverifiedCallers: Bool

    public init(
        namespace: String? = nil, systemNamespace: String = "modelcache-system", agentImage: String, agentPort: Int = 9417,
        workers: Int = 8, validation: ValidationPolicy = ValidationPolicy(), serviceAccountIssuer: String? = nil,
        allowsUnverifiedCallers: Bool = false
    ) {
        self.namespace = namespace
        self.systemNamespace = systemNamespace
        self.agentImage = agentImage
        self.agentPort = agentPort
        self.workers = workers
        self.validation = validation
        self.serviceAccountIssuer = serviceAccountIssuer
        self.allowsUnverifiedCallers = allowsUnverifiedCallers
    }
}
