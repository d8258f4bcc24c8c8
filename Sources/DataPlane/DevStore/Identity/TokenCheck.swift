internal import Crypto
internal import CryptoExtras
internal import Foundation

/// Verifies an OIDC token as STS does: signature, issuer, audience, time.
struct TokenCheck {
    /// The check that failed, in STS's terms.
    enum Problem: Error, Equatable {
        case malformed, signature, issuer, audience, expired, noKeys
    }

    struct Claims: Decodable, Equatable {
        var iss: String
        var sub: String
        var exp: Int64
        var aud: [String]

        private enum CodingKeys: CodingKey { case iss, sub, exp, aud }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            iss = try container.decode(String.self, forKey: .iss)
            sub = try container.decode(String.self, forKey: .sub)
            exp = try container.decode(Int64.self, forKey: .exp)
            // One audience may be written without an array (RFC 7519, 4.1.3).
            if let one = try? container.decode(String.self, forKey: .aud) {
                aud = [one]
            } else {
                aud = try container.decode([String].self, forKey: .aud)
            }
        }
    }

    let keys: Data
    let issuer: String?
    let audiences: [String]?
    let now: Int64

    func verify(_ token: String) throws(Problem) -> Claims {
        let parts = token.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 3, let head = Self.decoded(parts[0]), let payload = Self.decoded(parts[1]),
            let signature = Self.decoded(parts[2]), let header = try? JSONDecoder().decode(Header.self, from: head),
            let claims = try? JSONDecoder().decode(Claims.self, from: payload)
        else { throw .malformed }
        guard let set = try? JSONDecoder().decode(KeySet.self, from: keys) else { throw .noKeys }
        let signed = Data("\(parts[0]).\(parts[1])".utf8)
        let isRight = set.keys.contains { key in
            key.kid == header.kid && Self.isRight(key, header.alg, signature: signature, signed: signed)
        }
        guard isRight else { throw .signature }
        guard issuer == nil || claims.iss == issuer else { throw .issuer }
        guard audiences == nil || !Set(audiences ?? []).isDisjoint(with: claims.aud) else { throw .audience }
        guard claims.exp > now else { throw .expired }
        return claims
    }

    private struct Header: Decodable {
        var alg: String
        var kid: String?
    }

    private struct KeySet: Decodable {
        var keys: [Key]
    }

    private struct Key: Decodable {
        var kty: String
        var kid: String?
        var n: String?
        var e: String?
        var x: String?
        var y: String?
    }

    /// The key's kind decides the algorithm, never the token.
    private static func isRight(_ key: Key, _ algorithm: String, signature: Data, signed: Data) -> Bool {
        switch (key.kty, algorithm) {
        case ("RSA", "RS256"):
            guard let n = key.n.flatMap(decoded), let e = key.e.flatMap(decoded),
                let rsa = try? _RSA.Signing.PublicKey(n: n, e: e)
            else { return false }
            return rsa.isValidSignature(
                .init(rawRepresentation: signature), for: signed, padding: .insecurePKCS1v1_5)
        case ("EC", "ES256"):
            guard let x = key.x.flatMap(decoded), let y = key.y.flatMap(decoded),
                let ec = try? P256.Signing.PublicKey(rawRepresentation: x + y),
                let pair = try? P256.Signing.ECDSASignature(rawRepresentation: signature)
            else { return false }
            return ec.isValidSignature(pair, for: signed)
        default: return false
        }
    }

    /// base64url (RFC 4648, 5).
    static func decoded(_ text: String) -> Data? {
        var plain = text.replacing("-", with: "+").replacing("_", with: "/")
        while plain.utf8.count % 4 != 0 { plain += "=" }
        return Data(base64Encoded: plain)
    }
}
