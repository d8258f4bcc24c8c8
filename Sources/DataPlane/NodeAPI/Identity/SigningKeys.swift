internal import AgentAPI
internal import Foundation
internal import JWTKit

/// The keys of a JSON Web Key Set (RFC 7517) that may sign tokens here: RSA of at least 2048 bits for RS256, P-256 for
/// ES256.
///
/// Keys of other kinds are passed over, as RFC 7517 section 5 asks. The algorithm is the key's: a token can not choose,
/// so that no public key is ever taken for a shared secret.
struct SigningKeys: Sendable {
    private struct Key: Sendable {
        let algorithm: String
        let verifier: any JWTAlgorithm
    }

    /// More than any cluster publishes; bounds the work for one signature too.
    static let maximumKeys = 64
    /// That keys may be for.
    static let algorithms = ["RS256", "ES256"]

    /// By `kid`. RFC 7517 section 4.5 lets keys share one.
    private let keys: [String: [Key]]

    /// Nil when it is no key set or holds no key that can be used.
    init?(_ text: String) async {
        guard let set = try? JSONDecoder().decode(JSONWebKeySet.self, from: Data(text.utf8)) else { return nil }
        var keys: [String: [Key]] = [:]
        for entry in set.keys.prefix(Self.maximumKeys) {
            guard let entry, let kid = entry.kid, !kid.isEmpty, let key = await Self.key(entry) else { continue }
            keys[kid, default: []].append(key)
        }
        guard !keys.isEmpty else { return nil }
        self.keys = keys
    }

    /// - Throws: ``TokenProblem``: `unknownKey`, `algorithm` or `signature`.
    func verify(_ token: TokenParts) throws(TokenProblem) {
        guard Self.algorithms.contains(token.header.alg) else { throw .algorithm }
        guard let kid = token.header.kid, let named = keys[kid] else { throw .unknownKey }
        let able = named.filter { $0.algorithm == token.header.alg }
        guard !able.isEmpty else { throw .algorithm }
        let isRight = able.contains { (try? $0.verifier.verify(token.signature, signs: token.signed)) ?? false }
        guard isRight else { throw .signature }
    }

    private static func key(_ entry: JSONWebKey) async -> Key? {
        guard entry.use == nil || entry.use == "sig" else { return nil }
        let kid = JWKIdentifier(string: "key")
        let keys = JWTKeyCollection()
        let algorithm: String
        switch (entry.kty, entry.alg) {
        case ("RSA", nil), ("RSA", "RS256"):
            guard let modulus = entry.n, let exponent = entry.e,
                let key = try? Insecure.RSA.PublicKey(modulus: modulus, exponent: exponent)
            else { return nil }
            await keys.add(rsa: key, digestAlgorithm: .sha256, kid: kid)
            algorithm = "RS256"
        case ("EC", nil), ("EC", "ES256"):
            guard entry.crv == "P-256", let x = entry.x, let y = entry.y,
                let key = try? ES256PublicKey(parameters: (x, y))
            else {
                return nil
            }
            await keys.add(ecdsa: key, kid: kid)
            algorithm = "ES256"
        default: return nil
        }
        guard let verifier = try? await keys.getKey(for: kid) else { return nil }
        return Key(algorithm: algorithm, verifier: verifier)
    }
}
