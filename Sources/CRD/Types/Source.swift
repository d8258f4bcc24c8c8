/// A prefix in an object store, and how to reach it.
public struct Source: Codable, Sendable, Equatable {
    /// `oss://bucket/prefix/` or `s3://bucket/prefix/`; the prefix may be empty.
    /// Without the slash at its end it may also name one object.
    public var uri: String
    /// `https://host[:port]`, `http://host[:port]`, or a host, which means HTTPS.
    public var endpoint: String?
    /// Such as `cn-hangzhou`. For `oss://` without an endpoint it selects the region's internal endpoint.
    public var region: String?
    /// Shell patterns on the key below the prefix; empty: every object.
    public var include: [String]
    /// `sha256:<hex>` of the listing, as `status.source.digest` has it: another listing is not warmed. Nil: any.
    public var digest: String?
    /// Where the bucket's name stands in requests; nil: `Auto`.
    public var addressing: Addressing?
    /// This account pays for its requests to another's bucket; nil: the bucket's owner does.
    public var requesterPays: Bool?
    /// The party that reads; nil: anonymous.
    public var credentials: SourceCredentials?

    /// Whether requests are signed.
    public var isReadWithCredentials: Bool { credentials.map { $0.anonymous == nil } ?? false }

    /// Where the bucket's name stands in requests.
    public enum Addressing: String, Codable, Sendable, Equatable, CaseIterable {
        /// By the endpoint: see docs/stores.md.
        case auto = "Auto"
        /// In the host name.
        case virtual = "Virtual"
        /// In the path.
        case path = "Path"
        /// Nowhere: the endpoint is a domain of the bucket's own.
        case cname = "CNAME"
    }

    public init(
        uri: String, endpoint: String? = nil, region: String? = nil, include: [String] = [],
        digest: String? = nil, addressing: Addressing? = nil,
        requesterPays: Bool? = nil, credentials: SourceCredentials? = nil
    ) {
        self.uri = uri
        self.endpoint = endpoint
        self.region = region
        self.include = include
        self.digest = digest
        self.addressing = addressing
        self.requesterPays = requesterPays
        self.credentials = credentials
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case uri, endpoint, region, include, digest, addressing, requesterPays, credentials
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        self.uri = try container.decode(String.self, forKey: .uri)
        self.endpoint = try container.decodeIfPresent(String.self, forKey: .endpoint)
        self.region = try container.decodeIfPresent(String.self, forKey: .region)
        self.include = try container.decode(.include, or: [])
        self.digest = try container.decodeIfPresent(String.self, forKey: .digest)
        self.addressing = try container.decodeIfPresent(Addressing.self, forKey: .addressing)
        self.requesterPays = try container.decodeIfPresent(Bool.self, forKey: .requesterPays)
        self.credentials = try container.decodeIfPresent(SourceCredentials.self, forKey: .credentials)
    }
}

/// The party that reads a source. Exactly one member is set.
public struct SourceCredentials: Codable, Sendable, Equatable {
    /// Keys in a Secret of the ModelCache's namespace.
    public var secretRef: SecretReference?
    /// A role that a ServiceAccount of the ModelCache's namespace may assume.
    public var serviceAccount: ServiceAccountRole?
    /// The nodes' own role.
    public var node: Nothing?
    /// Nobody: a public bucket.
    public var anonymous: Nothing?

    /// An object without members.
    public struct Nothing: Codable, Sendable, Equatable {
        public init() {}
    }

    public init(
        secretRef: SecretReference? = nil, serviceAccount: ServiceAccountRole? = nil, node: Nothing? = nil,
        anonymous: Nothing? = nil
    ) {
        self.secretRef = secretRef
        self.serviceAccount = serviceAccount
        self.node = node
        self.anonymous = anonymous
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case secretRef, serviceAccount, node, anonymous
    }

    /// The members that are set.
    public var members: [String] {
        [
            secretRef.map { _ in "secretRef" }, serviceAccount.map { _ in "serviceAccount" },
            node.map { _ in "node" }, anonymous.map { _ in "anonymous" },
        ].compactMap { $0 }
    }
}

/// A RAM role by RRSA (`oss://`), or an IAM role by web identity (`s3://`); without an ARN the role that the cluster
/// itself gives the ServiceAccount's pods.
public struct ServiceAccountRole: Codable, Sendable, Equatable {
    /// The ServiceAccount that the role's trust policy names.
    public var name: String
    /// Nil: a webhook of the cluster tells the pods (RRSA, IRSA, EKS Pod Identity).
    public var roleARN: String?
    /// The cluster's OIDC provider in RAM; for `oss://` alone.
    public var oidcProviderARN: String?
    /// Length of a session; nil: an hour.
    public var sessionSeconds: Int?

    public init(name: String, roleARN: String? = nil, oidcProviderARN: String? = nil, sessionSeconds: Int? = nil) {
        self.name = name
        self.roleARN = roleARN
        self.oidcProviderARN = oidcProviderARN
        self.sessionSeconds = sessionSeconds
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case name, roleARN, oidcProviderARN, sessionSeconds
    }
}

/// A Secret in the same namespace.
public struct SecretReference: Codable, Sendable, Equatable {
    public var name: String

    public init(name: String) {
        self.name = name
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case name
    }
}
