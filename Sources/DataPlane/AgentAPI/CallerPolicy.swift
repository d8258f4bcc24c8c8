internal import Crypto
internal import struct Foundation.Data
internal import TextCoding

/// The clients that may open a cache through its own socket: pods of the ModelCache's namespace. They send a
/// ServiceAccount token, which the agent verifies offline with these keys.
///
/// The keys are public. The operator reads them from its API server; see "Service account issuer discovery" in
/// https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/
public struct CallerPolicy: Codable, Equatable, Sendable {
    /// The audience of tokens that pods get only for this purpose.
    public static let defaultAudience = "modelcache.io"
    /// The longest ``keys``, in bytes.
    public static let maximumKeysBytes = 64 << 10
    /// The longest ``issuer`` and ``audience``, in bytes.
    public static let maximumNameBytes = 2048

    /// The required `iss` of the tokens; empty only with empty ``keys``.
    public var issuer: String
    /// The required `aud` of the tokens.
    public var audience: String
    /// The cluster's JSON Web Key Set (RFC 7517); empty: not known yet. An agent that has keys then keeps them; one
    /// without refuses all clients.
    public var keys: String

    public init(issuer: String, audience: String = Self.defaultAudience, keys: String) {
        self.issuer = issuer
        self.audience = audience
        self.keys = keys
    }

    /// For an operator that could not read the keys yet.
    public static let unknown = CallerPolicy(issuer: "", keys: "")

    /// Whether keys are known.
    public var hasKeys: Bool { !keys.isEmpty }

    /// `sha256:<hex>` of all three, shown in ``CacheReport/callersDigest``.
    public var digest: String {
        var hash = SHA256()
        for part in [issuer, audience, keys] {
            hash.update(data: Data("\(part.utf8.count):\(part)".utf8))
        }
        return "sha256:" + Hex.encode(hash.finalize())
    }
}
