/// Which check a caller's token failed. The words are the metric's label.
package enum TokenProblem: String, Error, Equatable, Sendable, CaseIterable {
    /// The agent was given no keys to verify with.
    case noKeys = "no_keys"
    case absent
    /// Longer than ``TokenVerifier/maximumBytes``.
    case tooLong = "too_long"
    /// Not a signed token of RFC 7515's compact form, or one with members that must be understood and are not.
    case malformed
    /// Another algorithm than RS256 or ES256, or one that the named key is not for.
    case algorithm
    /// Names no key, or one that the cluster does not publish.
    case unknownKey = "unknown_key"
    case signature
    case issuer
    case audience
    case expired
    case notYetValid = "not_yet_valid"
    /// Of another namespace than the cache, or of none.
    case namespace
    /// Of another ServiceAccount than the one that may assume the ModelCache's role.
    case serviceAccount = "service_account"

    /// The fault and its remedy. Never the token, nor any part of it.
    package var explanation: String {
        switch self {
        case .noKeys:
            "this node does not know the cluster's token keys yet; see the operator's log and the ModelCache's conditions"
        case .absent:
            "no ServiceAccount token was shown; mount a projected token of audience modelcache.io and name it in MODELCACHE_TOKEN_FILE (the label modelcache.io/inject does both)"
        case .tooLong:
            "the token is longer than \(TokenVerifier.maximumBytes) bytes; MODELCACHE_TOKEN_FILE must name a ServiceAccount token"
        case .malformed:
            "what was shown is no signed token; MODELCACHE_TOKEN_FILE must name a projected ServiceAccount token"
        case .algorithm:
            "the token's algorithm is none of RS256 and ES256, or not its key's; show a projected ServiceAccount token"
        case .unknownKey:
            "the token names a key that this cluster does not publish; show a token of this cluster, or wait 2 minutes after a change of its keys"
        case .signature: "the token's signature is wrong; show a projected ServiceAccount token of this cluster"
        case .issuer:
            "the token is of another issuer than this cluster's; see the API server's --service-account-issuer"
        case .audience: "the token is for another audience; project it with the audience modelcache.io"
        case .expired:
            "the token is expired; let the program read MODELCACHE_TOKEN_FILE anew, which the kubelet renews, and see that the clocks agree"
        case .notYetValid: "the token is not valid yet; see that the clocks of node and API server agree"
        case .namespace:
            "the token is of another namespace than the ModelCache; use a ModelCache of the pod's own namespace"
        case .serviceAccount:
            "the token is of another ServiceAccount than the ModelCache's; run the warm-up as spec.source.credentials.serviceAccount"
        }
    }
}
