/// The roles of the emulated cloud, as JSON: `--identity` and `PUT /identity`.
package struct IdentityPlan: Sendable, Codable, Equatable {
    /// A RAM or IAM role that web identity tokens may assume.
    package struct Role: Sendable, Codable, Equatable {
        package var arn: String
        /// Of the OIDC provider; nil: any.
        package var provider: String?
        /// `sub` of tokens that may assume it, such as `system:serviceaccount:team:warm`.
        package var subjects: [String]
        /// The longest session in seconds; 3600 unless set.
        package var maximumSessionSeconds: Int?
        /// Sessions end after so many seconds, whatever was asked for; tests do not wait for hours.
        package var sessionSeconds: Int?
    }

    /// The role of the machine, from its metadata service.
    package struct Node: Sendable, Codable, Equatable {
        package var role: String
        package var sessionSeconds: Int?
        /// Requests without a session token are refused.
        package var hardened: Bool?
    }

    /// The role of the container, from its endpoint.
    package struct Container: Sendable, Codable, Equatable {
        /// The value that `Authorization` must have; nil: none is wanted.
        package var authorization: String?
        package var sessionSeconds: Int?
    }

    /// A file with the JSON Web Key Set by which tokens are verified; read at each request, since clusters change keys.
    package var keysFile: String?
    package var issuer: String?
    /// Tokens must be for one of them.
    package var audiences: [String]?
    package var roles: [Role]?
    package var node: Node?
    package var container: Container?
    /// Also ends the sessions that were given before this plan.
    package var revokes: Bool?

    package init() {}
}
