/// The public keys of a JSON Web Key Set (RFC 7517), for operator and agent.
public struct JSONWebKeySet: Codable, Sendable {
    /// In the document's order. Nil where an entry's members have other types: a kind of key that is not used here.
    public let keys: [JSONWebKey?]

    public init(_ keys: [JSONWebKey]) { self.keys = keys }

    public init(from decoder: any Decoder) throws {
        keys = try decoder.container(keyedBy: CodingKeys.self).decode([Lossy].self, forKey: .keys).map(\.key)
    }

    private struct Lossy: Decodable {
        let key: JSONWebKey?

        init(from decoder: any Decoder) throws { key = try? JSONWebKey(from: decoder) }
    }
}

/// The members that verification with an RSA or EC key needs (RFC 7517 section 4, RFC 7518 section 6).
public struct JSONWebKey: Codable, Sendable {
    public let kty: String
    public let use: String?
    public let alg: String?
    public let kid: String?
    public let crv: String?
    public let n: String?
    public let e: String?
    public let x: String?
    public let y: String?
}
