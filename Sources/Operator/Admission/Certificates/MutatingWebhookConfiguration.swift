internal import FoundationEssentials
internal import Kubernetes
internal import SwiftASN1
internal import X509

/// Which webhooks an API server calls, as `admissionregistration.k8s.io/v1`: what the operator reads of it. Only ever patched.
struct MutatingWebhookConfiguration: MetadataResource {
    static let group = "admissionregistration.k8s.io"
    static let version = "v1"
    static let plural = "mutatingwebhookconfigurations"
    static let kind = "MutatingWebhookConfiguration"
    static let scope = ResourceScope.cluster

    /// That of config/webhook.
    static let name = "modelcache-operator"

    struct Webhook: Codable, Sendable {
        var name: String
        var clientConfig: ClientConfig
    }

    struct ClientConfig: Codable, Sendable {
        var caBundle: Base64Data?
    }

    var metadata: ObjectMeta
    var webhooks: [Webhook]?
}

/// The `caBundle`s of a configuration.
struct TrustedAuthorities: Sendable {
    let resourceVersion: String
    /// One for each webhook of the configuration.
    private let bundles: [[UInt8]]
    /// Those that every webhook's bundle holds.
    private let certificates: Set<Certificate>

    init(_ configuration: MutatingWebhookConfiguration) {
        resourceVersion = configuration.resourceVersion
        bundles = (configuration.webhooks ?? []).map { $0.clientConfig.caBundle?.bytes ?? [] }
        let sets = Set(bundles).map { Set(Self.certificates($0)) }
        certificates = sets.dropFirst().reduce(sets.first ?? []) { $0.intersection($1) }
    }

    func contains(_ certificate: Certificate) -> Bool { certificates.contains(certificate) }

    /// Makes every bundle the one given; nil when each is. Applies to this version alone.
    func patch(to authorities: [Certificate]) throws -> Patch? {
        let wanted = try authorities.map { try $0.serializeAsPEM().pemString + "\n" }.joined()
        let bytes = Array(wanted.utf8)
        guard bundles.contains(where: { $0 != bytes }) else { return nil }
        let text = Data(bytes).base64EncodedString()
        return try .json(
            [.test("/metadata/resourceVersion", .string(resourceVersion))]
                + bundles.indices.map { .add("/webhooks/\($0)/clientConfig/caBundle", .string(text)) })
    }

    /// What can be read of a bundle; an API server skips the rest too.
    private static func certificates(_ bundle: [UInt8]) -> [Certificate] {
        guard let text = String(validating: bundle, as: UTF8.self), let documents = try? PEMDocument.parseMultiple(pemString: text) else { return [] }
        return documents.compactMap { try? Certificate(pemDocument: $0) }
    }
}
