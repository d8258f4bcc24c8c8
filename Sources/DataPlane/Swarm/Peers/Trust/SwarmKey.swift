internal import Crypto
internal import Foundation
internal import TextCoding

/// How nodes of one cluster name a model to each other, and prove that they may.
///
/// A model's name is HMAC-SHA256(secret, its identity): a node that lacks the secret cannot even ask for a model by
/// name. Every request carries `Authorization: Bearer <window>.<hex>`, the first half of HMAC-SHA256(secret, name and
/// window) (RFC 2104, RFC 6750), where a window is five minutes: a token that was overheard opens this one model, for
/// at most ``tokenLifetime``. Over untrusted networks use TLS.
///
/// During a rotation there are several secrets: all are accepted, and a caller tries them in turn.
public struct SwarmKey: Sendable, Equatable {
    private let key: [UInt8]

    /// - Parameter secret: one line of the cluster's secret.
    public init(secret: [UInt8]) { key = secret }

    static let windowSeconds: Int64 = 300
    /// A token is good in its window and the two beside it, for clocks that differ.
    public static let tokenLifetime: Duration = .seconds(3 * windowSeconds)

    /// 32 hex digits.
    public func modelID(_ identity: SwarmIdentity) -> String {
        // A generation's length is fixed, so no two identities are the same bytes.
        Hex.encode(
            code(Array("modelcache swarm model 2\n".utf8) + identity.generation + Array(identity.model.utf8)).prefix(16)
        )
    }

    /// The value of the `Authorization` header.
    ///
    /// - Parameter now: seconds since 1970.
    public func authorization(modelID: String, now: Int64) -> String {
        let window = now / Self.windowSeconds
        return "Bearer \(window).\(Hex.encode(token(modelID, window: window)))"
    }

    /// Compares in constant time.
    public func accepts(authorization: String?, modelID: String, now: Int64) -> Bool {
        guard let authorization, authorization.utf8.count <= 128, authorization.hasPrefix("Bearer ") else {
            return false
        }
        let parts = authorization.dropFirst(7).split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, let window = Int64(parts[0]), parts[1].utf8.count == 32 else { return false }
        // A token is half of the code: the other half is the verifier's own, so that the library compares all of it.
        let own = code(tokenText(modelID, window: window))
        guard let given = Hex.decode(parts[1]) else { return false }
        let isRight = HMAC<SHA256>.isValidAuthenticationCode(
            given + own.dropFirst(given.count), authenticating: tokenText(modelID, window: window),
            using: SymmetricKey(data: key))
        let current = now / Self.windowSeconds
        return isRight && window >= current - 1 && window <= current + 1
    }

    private func token(_ modelID: String, window: Int64) -> [UInt8] {
        Array(code(tokenText(modelID, window: window)).prefix(16))
    }

    private func tokenText(_ modelID: String, window: Int64) -> [UInt8] {
        Array("modelcache swarm token 1\n\(modelID)\n\(window)".utf8)
    }

    private func code(_ text: [UInt8]) -> [UInt8] {
        Array(HMAC<SHA256>.authenticationCode(for: text, using: SymmetricKey(data: key)))
    }
}

extension SwarmKey: CustomReflectable, CustomStringConvertible {
    /// Never the secret.
    public var description: String { "SwarmKey" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
