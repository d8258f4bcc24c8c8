internal import AgentAPI
public import Foundation

/// Makes the policy out of what the API server publishes: its discovery document (OpenID Connect Discovery 1.0) and its
/// key set (RFC 7517). See
/// https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/#service-account-issuer-discovery
///
/// Pure; it throws a ``Problem`` for a fault.
public enum IssuerDocuments {
    public static let discoveryPath = "/.well-known/openid-configuration"
    /// The API server's own. The address in the discovery document is for others, and may lead anywhere.
    public static let keysPath = "/openid/v1/jwks"
    /// No document of a cluster comes near it.
    public static let maximumBytes = 256 << 10

    public struct Problem: Error, Equatable, Sendable, CustomStringConvertible {
        public var description: String
        init(_ description: String) { self.description = description }
    }

    /// - Throws: ``Problem``.
    public static func issuer(_ discovery: Data) throws(Problem) -> String {
        guard discovery.count <= maximumBytes, let document = try? JSONDecoder().decode(Discovery.self, from: discovery)
        else {
            throw Problem("\(discoveryPath) of the API server is no discovery document; set --service-account-issuer")
        }
        guard !document.issuer.isEmpty, document.issuer.utf8.count <= CallerPolicy.maximumNameBytes,
            !document.issuer.utf8.contains(where: { $0 < 0x20 || $0 == 0x7f })
        else {
            throw Problem("\(discoveryPath) of the API server names no usable issuer; set --service-account-issuer")
        }
        return document.issuer
    }

    /// The members that verifying needs of the keys that can be used, in one order whatever the server's: equal sets
    /// give equal texts, so that no agent is told the same twice.
    ///
    /// - Throws: ``Problem``.
    public static func keys(_ keySet: Data) throws(Problem) -> String {
        guard keySet.count <= maximumBytes, let set = try? JSONDecoder().decode(JSONWebKeySet.self, from: keySet) else {
            throw Problem("\(keysPath) of the API server is no key set")
        }
        let keys = set.keys.compactMap { $0 }
            .filter {
                ($0.kid?.isEmpty ?? true) == false && ($0.use ?? "sig") == "sig" && ["RSA", "EC"].contains($0.kty)
            }
        guard !keys.isEmpty else { throw Problem("\(keysPath) of the API server holds no RSA or EC key with a name") }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // By the bytes that are written: keys may differ in one member alone, and texts that differ may compare equal.
        let ordered = keys.map { (key: $0, bytes: (try? encoder.encode($0)) ?? Data()) }
            .sorted { $0.bytes.lexicographicallyPrecedes($1.bytes) }.map(\.key)
        guard let data = try? encoder.encode(JSONWebKeySet(ordered)), data.count <= CallerPolicy.maximumKeysBytes else {
            throw Problem(
                "\(keysPath) of the API server holds more than \(CallerPolicy.maximumKeysBytes) bytes of keys; retire old ones"
            )
        }
        return String(decoding: data, as: UTF8.self)
    }

    private struct Discovery: Decodable {
        let issuer: String
    }
}
