package import AgentAPI
internal import Foundation
package import Models

/// Verifies ServiceAccount tokens by a policy's keys, without asking anybody.
///
/// It checks, in this order: form, algorithm and key, signature, issuer, audience, time, namespace; it uses nothing
/// that a token says before it has verified the signature. See
/// https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#bound-service-account-tokens.
///
/// A token is good until it expires: that its pod was deleted meanwhile is not known here, which is why pods get tokens
/// of an hour for this audience alone.
package struct TokenVerifier: Sendable {
    /// Longest token that is looked at. Those of a cluster have one to two thousand bytes.
    package static let maximumBytes = 16 << 10
    /// Tolerated difference between the API server's clock and this node's.
    package static let leewaySeconds: Int64 = 60

    private let issuer: String
    private let audience: String
    private let keys: SigningKeys?

    package init(_ policy: CallerPolicy) async {
        issuer = policy.issuer
        audience = policy.audience
        keys = policy.hasKeys ? await SigningKeys(policy.keys) : nil
    }

    /// Whether any token can be verified.
    package var isUsable: Bool { keys != nil && !issuer.isEmpty && !audience.isEmpty }

    /// - Parameters:
    ///   - token: as the caller showed it; empty or nil: none.
    ///   - now: seconds since 1970.
    /// - Returns: the pod that the token is bound to; nil: none.
    /// - Throws: ``TokenProblem``.
    @discardableResult
    package func verify(_ token: String?, namespace: String, now: Int64) throws(TokenProblem) -> CallerPod? {
        guard let keys, isUsable else { throw .noKeys }
        let parts = try TokenParts(token ?? "")
        try keys.verify(parts)
        return try check(parts.payload, namespace: namespace, now: now).pod?.caller
    }

    /// As ``verify(_:namespace:now:)``, and the token is that of this ServiceAccount.
    ///
    /// - Returns: when the token has expired by every clock that differs by no more than ``leewaySeconds``, in seconds
    ///   since 1970.
    @discardableResult
    package func verify(
        _ token: String, namespace: String, serviceAccount: String, now: Int64
    ) throws(TokenProblem) -> Int64 {
        try verify(token, namespace: namespace, now: now)
        let claims = try? JSONDecoder().decode(Claims.self, from: try TokenParts(token).payload)
        guard claims?.sub == "system:serviceaccount:\(namespace):\(serviceAccount)" else { throw .serviceAccount }
        guard let expiry = claims?.exp else { throw .expired }
        return Int64(exactly: expiry.rounded(.up) + Double(Self.leewaySeconds)) ?? .max
    }

    /// Whether the token lacks nothing but a key that is not known here, so that newer keys may make it good. Nothing
    /// that it says is believed for that: it decides how long its bearer waits for an answer.
    ///
    /// - Parameter problem: what ``verify(_:namespace:now:)`` said.
    package func mayBecomeGood(_ token: String?, after problem: TokenProblem, namespace: String, now: Int64) -> Bool {
        guard problem == .unknownKey || problem == .noKeys, let parts = try? TokenParts(token ?? ""),
            SigningKeys.algorithms.contains(parts.header.alg), parts.header.kid?.isEmpty == false
        else { return false }
        return (try? check(parts.payload, namespace: namespace, now: now)) != nil
    }

    @discardableResult
    private func check(_ payload: Data, namespace: String, now: Int64) throws(TokenProblem) -> Account {
        guard let claims = try? JSONDecoder().decode(Claims.self, from: payload) else { throw .malformed }
        // Without keys there may be no issuer either, and nothing is verified with it.
        guard claims.iss == issuer || issuer.isEmpty else { throw .issuer }
        guard claims.aud.values.contains(audience) else { throw .audience }
        // Doubles: NumericDate may have a fraction (RFC 7519 section 2), and may be any number at all.
        guard let expiry = claims.exp, expiry.isFinite, Double(now - Self.leewaySeconds) < expiry else {
            throw .expired
        }
        if let start = claims.nbf, !start.isFinite || start > Double(now + Self.leewaySeconds) { throw .notYetValid }
        guard let account = claims.kubernetes, !account.namespace.isEmpty, account.namespace == namespace else {
            throw .namespace
        }
        return account
    }

    private struct Claims: Decodable {
        let iss: String?
        let aud: Audience
        let exp: Double?
        let nbf: Double?
        let sub: String?
        let kubernetes: Account?

        enum CodingKeys: String, CodingKey {
            case iss, aud, exp, nbf, sub
            case kubernetes = "kubernetes.io"
        }
    }

    private struct Account: Decodable {
        let namespace: String
        let pod: Pod?

        enum CodingKeys: CodingKey { case namespace, pod }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            namespace = try container.decode(String.self, forKey: .namespace)
            // Decides nothing: a pod that cannot be read is none.
            pod = try? container.decodeIfPresent(Pod.self, forKey: .pod)
        }
    }

    private struct Pod: Decodable {
        let name: String
        let uid: String

        /// Within Kubernetes' own limits of a name and a uid.
        var caller: CallerPod? {
            name.utf8.count <= 253 && !uid.isEmpty && uid.utf8.count <= 64 ? CallerPod(name: name, uid: uid) : nil
        }
    }

    /// One text or a list of them (RFC 7519 section 4.1.3).
    private struct Audience: Decodable {
        let values: [String]

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            values = try (try? [container.decode(String.self)]) ?? container.decode([String].self)
        }
    }
}
