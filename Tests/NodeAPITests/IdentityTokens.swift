import AgentAPI
import Crypto
import CryptoExtras
import Foundation

/// Tokens as an API server makes them, and as nobody should. Made with the cryptography library alone, apart from what verifies.
struct TestCluster {
    static let issuer = "https://kubernetes.default.svc"
    static let now: Int64 = 1_800_000_000

    let rsa: _RSA.Signing.PrivateKey
    let elliptic = P256.Signing.PrivateKey()

    init() throws { rsa = try _RSA.Signing.PrivateKey(keySize: .bits2048) }

    // MARK: Keys

    func rsaKey(kid: String = "rsa-1", _ more: [String: Any] = ["alg": "RS256", "use": "sig"]) throws -> [String: Any] {
        let parts = try rsa.publicKey.getKeyPrimitives()
        return ["kty": "RSA", "kid": kid, "n": base64url(parts.modulus), "e": base64url(parts.publicExponent)]
            .merging(more) { $1 }
    }

    func ellipticKey(kid: String = "ec-1", _ more: [String: Any] = ["alg": "ES256", "use": "sig"]) -> [String: Any] {
        let point = elliptic.publicKey.x963Representation.dropFirst()
        return ["kty": "EC", "crv": "P-256", "kid": kid, "x": base64url(point.prefix(32)), "y": base64url(point.suffix(32))]
            .merging(more) { $1 }
    }

    func policy(_ keys: [[String: Any]]? = nil, issuer: String = Self.issuer) throws -> CallerPolicy {
        let keys = try keys ?? [rsaKey(), ellipticKey()]
        return CallerPolicy(issuer: issuer, keys: String(decoding: try json(["keys": keys]), as: UTF8.self))
    }

    // MARK: Tokens

    static var claims: [String: Any] { [
        "aud": ["modelcache.io"], "iss": issuer, "iat": now - 100, "nbf": now - 100, "exp": now + 3500,
        "sub": "system:serviceaccount:team:default",
        "kubernetes.io": [
            "namespace": "team", "pod": ["name": "llama-0", "uid": "u-1"], "serviceaccount": ["name": "default", "uid": "u-2"],
        ],
    ] }

    enum Signing { case rs256, es256 }

    func token(
        _ change: [String: Any] = [:], without: [String] = [], header: [String: Any] = [:], signing: Signing = .rs256
    ) throws -> String {
        var claims = Self.claims.merging(change) { $1 }
        for name in without { claims[name] = nil }
        return try token(payload: json(claims), header: header, signing: signing)
    }

    func token(payload: Data, header: [String: Any] = [:], signing: Signing = .rs256) throws -> String {
        let own: [String: Any] = signing == .rs256 ? ["alg": "RS256", "kid": "rsa-1"] : ["alg": "ES256", "kid": "ec-1"]
        let signed = "\(base64url(try json(own.merging(header) { $1 }))).\(base64url(payload))"
        let signature =
            switch signing {
            case .rs256:
                try rsa.signature(for: SHA256.hash(data: Data(signed.utf8)), padding: .insecurePKCS1v1_5).rawRepresentation
            case .es256: try elliptic.signature(for: Data(signed.utf8)).rawRepresentation
            }
        return "\(signed).\(base64url(signature))"
    }

    /// The old trick: the public key, which everybody has, taken for the secret of an HMAC.
    func confused() throws -> String {
        let signed = "\(base64url(try json(["alg": "HS256", "kid": "rsa-1"]))).\(base64url(try json(Self.claims)))"
        let secret = SymmetricKey(data: Data(rsa.publicKey.pemRepresentation.utf8))
        return "\(signed).\(base64url(Data(HMAC<SHA256>.authenticationCode(for: Data(signed.utf8), using: secret))))"
    }

    /// No signature at all.
    func unsigned(algorithm: String) throws -> String {
        "\(base64url(try json(["alg": algorithm, "kid": "rsa-1"]))).\(base64url(try json(Self.claims)))."
    }
}

func json(_ value: [String: Any]) throws -> Data { try JSONSerialization.data(withJSONObject: value, options: [.sortedKeys]) }

func base64url(_ data: some DataProtocol) -> String {
    Data(data).base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
}
