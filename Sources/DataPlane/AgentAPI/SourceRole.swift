/// The role that a cache's source is read as. Exactly one member is set.
public struct SourceRole: Codable, Equatable, Sendable {
    /// A role that a ServiceAccount may assume: `AssumeRoleWithOIDC` for `oss://`, `AssumeRoleWithWebIdentity` for
    /// `s3://`.
    ///
    /// Warm-up Jobs run as the ServiceAccount and hand its token to the agent, which exchanges it at STS.
    public struct Assumed: Codable, Equatable, Sendable {
        /// Name of the ServiceAccount in the ModelCache's namespace.
        public var serviceAccount: String
        public var roleARN: String
        /// Of the cluster's OIDC provider; RAM needs it.
        public var providerARN: String?
        /// Nil: an hour.
        public var sessionSeconds: Int?

        public init(serviceAccount: String, roleARN: String, providerARN: String? = nil, sessionSeconds: Int? = nil) {
            self.serviceAccount = serviceAccount
            self.roleARN = roleARN
            self.providerARN = providerARN
            self.sessionSeconds = sessionSeconds
        }
    }

    public var assumed: Assumed?
    /// The node's own role, from its cloud's metadata service. Agents do so only where their administrator allows it.
    public var node: Bool?

    public init(assumed: Assumed) { self.assumed = assumed }

    private init(node: Bool) { self.node = node }

    public static let ofNode = SourceRole(node: true)

    /// The audience of the token for `AssumeRoleWithOIDC` or `AssumeRoleWithWebIdentity`, by the source's URI.
    public static func audience(uri: String) -> String {
        uri.lowercased().hasPrefix("s3:") ? "sts.amazonaws.com" : "sts.aliyuncs.com"
    }
}
