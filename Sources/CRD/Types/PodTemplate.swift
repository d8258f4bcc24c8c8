/// Settings of the pods of warm-up Jobs. Resources, users and pull secrets also hold for the init container of pods
/// that wait for the model.
///
/// The operator has one for all ModelCaches (`--warmup-pod-template`); a ModelCache's own wins field by field.
public struct PodTemplate: Codable, Sendable, Equatable {
    /// The name of an object in the ModelCache's namespace.
    public struct Name: Codable, Sendable, Equatable {
        public var name: String

        public init(name: String) { self.name = name }

        enum CodingKeys: String, CodingKey, CaseIterable {
            case name
        }
    }

    /// Requests and limits of the one container.
    public struct Resources: Codable, Sendable, Equatable {
        public var requests: [String: Quantity]
        public var limits: [String: Quantity]

        public init(requests: [String: Quantity] = [:], limits: [String: Quantity] = [:]) {
            self.requests = requests
            self.limits = limits
        }

        enum CodingKeys: String, CodingKey, CaseIterable {
            case requests, limits
        }

        public init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            self.requests = try container.decode(.requests, or: [:])
            self.limits = try container.decode(.limits, or: [:])
        }
    }

    /// User and groups in place of 65532. Without any, the namespace's own policy chooses, as OpenShift's security
    /// context constraints do.
    public struct SecurityContext: Codable, Sendable, Equatable {
        public var runAsUser: Int64?
        public var runAsGroup: Int64?
        public var fsGroup: Int64?
        public var supplementalGroups: [Int64]?

        public init(
            runAsUser: Int64? = nil, runAsGroup: Int64? = nil, fsGroup: Int64? = nil, supplementalGroups: [Int64]? = nil
        ) {
            self.runAsUser = runAsUser
            self.runAsGroup = runAsGroup
            self.fsGroup = fsGroup
            self.supplementalGroups = supplementalGroups
        }

        enum CodingKeys: String, CodingKey, CaseIterable {
            case runAsUser, runAsGroup, fsGroup, supplementalGroups
        }
    }

    public var labels: [String: String]
    public var annotations: [String: String]
    public var imagePullSecrets: [Name]
    public var serviceAccountName: String?
    public var priorityClassName: String?
    public var runtimeClassName: String?
    /// Beside `spec.placement.tolerations`, for taints that concern warm-up pods alone.
    public var tolerations: [Toleration]
    public var resources: Resources?
    public var securityContext: SecurityContext?

    public init(
        labels: [String: String] = [:], annotations: [String: String] = [:], imagePullSecrets: [Name] = [],
        serviceAccountName: String? = nil, priorityClassName: String? = nil, runtimeClassName: String? = nil,
        tolerations: [Toleration] = [], resources: Resources? = nil, securityContext: SecurityContext? = nil
    ) {
        self.labels = labels
        self.annotations = annotations
        self.imagePullSecrets = imagePullSecrets
        self.serviceAccountName = serviceAccountName
        self.priorityClassName = priorityClassName
        self.runtimeClassName = runtimeClassName
        self.tolerations = tolerations
        self.resources = resources
        self.securityContext = securityContext
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case labels, annotations, imagePullSecrets, serviceAccountName, priorityClassName, runtimeClassName
        case tolerations, resources, securityContext
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        self.labels = try container.decode(.labels, or: [:])
        self.annotations = try container.decode(.annotations, or: [:])
        self.imagePullSecrets = try container.decode(.imagePullSecrets, or: [])
        self.serviceAccountName = try container.decodeIfPresent(String.self, forKey: .serviceAccountName)
        self.priorityClassName = try container.decodeIfPresent(String.self, forKey: .priorityClassName)
        self.runtimeClassName = try container.decodeIfPresent(String.self, forKey: .runtimeClassName)
        self.tolerations = try container.decode(.tolerations, or: [])
        self.resources = try container.decodeIfPresent(Resources.self, forKey: .resources)
        self.securityContext = try container.decodeIfPresent(SecurityContext.self, forKey: .securityContext)
    }

    /// This one with `other` over it: single fields are replaced, maps are merged by key, lists are joined.
    public func overlaid(by other: PodTemplate) -> PodTemplate {
        var merged = self
        merged.labels.merge(other.labels) { $1 }
        merged.annotations.merge(other.annotations) { $1 }
        merged.imagePullSecrets += other.imagePullSecrets.filter { !imagePullSecrets.contains($0) }
        merged.tolerations += other.tolerations.filter { !tolerations.contains($0) }
        if let name = other.serviceAccountName { merged.serviceAccountName = name }
        if let name = other.priorityClassName { merged.priorityClassName = name }
        if let name = other.runtimeClassName { merged.runtimeClassName = name }
        if let context = other.securityContext { merged.securityContext = context }
        if let resources = other.resources {
            var both = merged.resources ?? Resources()
            both.requests.merge(resources.requests) { $1 }
            both.limits.merge(resources.limits) { $1 }
            merged.resources = both
        }
        return merged
    }
}
