internal import Crypto
internal import struct Foundation.Data

/// Who may open a cache through its own socket: pods of the ModelCache's namespace, which prove it with a ServiceAccount token
/// that the agent verifies offline with these keys.
///
/// The keys are public. The operator reads them from its API server
/// (https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/#service-account-issuer-discovery).
public struct CallerPolicy: Codable, Equatable, Sendable {
    /// The audience of the tokens that pods are given for this alone.
    public static let defaultAudience = "modelcache.io"
    /// Longest ``keys``, in bytes.
    public static let maximumKeysBytes = 64 << 10
    /// Longest ``issuer`` and ``audience``, in bytes.
    public static let maximumNameBytes = 2048

    /// What the tokens' `iss` must be; empty only with empty ``keys``.
    public var issuer: String
    /// What the tokens' `aud` must hold.
    public var audience: String
    /// The cluster's JSON Web Key Set (RFC 7517); empty: not known yet. An agent that has keys keeps them then; one that has
    /// none refuses everybody.
    public var keys: String

    public init(issuer: String, audience: String = Self.defaultAudience, keys: String) {
        self.issuer = issuer
        self.audience = audience
        self.keys = keys
    }

    /// For an operator that could not learn the keys yet.
    public static let unknown = CallerPolicy(issuer: "", keys: "")

    /// Whether keys are known.
    public var hasKeys: Bool { !keys.isEmpty }

    /// `sha256:<hex>` of all three; what ``CacheReport/callersDigest`` shows.
    public var digest: String {
        var hash = SHA256()
        for part in [issuer, audience, keys] {
            hash.update(data: Data("\(part.utf8.count):\(part)".utf8))
        }
        let digits = Array("0123456789abcdef")
        return "sha256:" + hash.finalize().reduce(into: "") { text, byte in
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
    }
}
