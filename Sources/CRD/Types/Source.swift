/// A prefix in an object store, and how it is reached.
public struct Source: Codable, Sendable, Equatable {
    /// `oss://bucket/prefix/` or `s3://bucket/prefix/`; the prefix may be empty.
    public var uri: String
    /// `https://host[:port]`, `http://host[:port]` or a host, which means HTTPS.
    public var endpoint: String?
    /// Such as `cn-hangzhou`. For `oss://` without an endpoint it gives the region's internal one.
    public var region: String?
    /// Shell patterns on the key below the prefix; empty: every object.
    public var include: [String]
    /// A Secret in the ModelCache's namespace with the store's keys; nil: anonymous.
    public var credentialsSecretRef: SecretReference?

    public init(
        uri: String, endpoint: String? = nil, region: String? = nil, include: [String] = [],
        credentialsSecretRef: SecretReference? = nil
    ) {
        self.uri = uri
        self.endpoint = endpoint
        self.region = region
        self.include = include
        self.credentialsSecretRef = credentialsSecretRef
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case uri, endpoint, region, include, credentialsSecretRef
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        self.uri = try container.decode(String.self, forKey: .uri)
        self.endpoint = try container.decodeIfPresent(String.self, forKey: .endpoint)
        self.region = try container.decodeIfPresent(String.self, forKey: .region)
        self.include = try container.decode(.include, or: [])
        self.credentialsSecretRef = try container.decodeIfPresent(SecretReference.self, forKey: .credentialsSecretRef)
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

/// The keys of the credentials Secret: the variables of the OSS Connector, and the names that ACK's OSS volumes use.
///
/// https://help.aliyun.com/zh/ack/ack-managed-and-ack-dedicated/user-guide/mount-statically-provisioned-oss-volumes
public enum SecretKeys {
    /// Names for the access key's id, the preferred one first.
    public static let accessKeyID = ["OSS_ACCESS_KEY_ID", "akId"]
    public static let accessKeySecret = ["OSS_ACCESS_KEY_SECRET", "akSecret"]
    /// Only for temporary (STS) credentials.
    public static let sessionToken = ["OSS_SESSION_TOKEN", "securityToken"]
}
