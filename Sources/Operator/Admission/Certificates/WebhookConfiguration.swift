internal import FoundationEssentials
internal import Kubernetes
internal import SwiftASN1
internal import X509

/// The kinds of `admissionregistration.k8s.io/v1` that say which webhooks an API server calls.
protocol WebhookConfigurationKind: Sendable {
    static var plural: String { get }
    static var name: String { get }
}

/// For pods.
enum MutatingWebhooks: WebhookConfigurationKind {
    static let plural = "mutatingwebhookconfigurations"
    static let name = "MutatingWebhookConfiguration"
}

/// For ModelCaches.
enum ValidatingWebhooks: WebhookConfigurationKind {
    static let plural = "validatingwebhookconfigurations"
    static let name = "ValidatingWebhookConfiguration"
}

/// The part of a configuration that the operator reads. It only patches configurations.
struct WebhookConfiguration<Kind: WebhookConfigurationKind>: MetadataResource {
    static var group: String { "admissionregistration.k8s.io" }
    static var version: String { "v1" }
    static var plural: String { Kind.plural }
    static var kind: String { Kind.name }
    static var scope: ResourceScope { .cluster }

    /// Those of config/webhook have one name.
    static var key: ObjectKey { ObjectKey(namespace: "", name: "modelcache-operator") }

    var metadata: ObjectMeta
    var webhooks: [WebhookClient]?
}

/// One webhook of a configuration.
struct WebhookClient: Codable, Sendable {
    struct Configuration: Codable, Sendable {
        var caBundle: Base64Data?
    }

    var name: String
    var clientConfig: Configuration
}

/// The `caBundle`s of a configuration.
struct TrustedAuthorities: Sendable {
    let resourceVersion: String
    /// One for each webhook of the configuration.
    private let bundles: [[UInt8]]
    /// Those that every webhook's bundle holds.
    private let certificates: Set<Certificate>

    init(_ configuration: WebhookConfiguration<some WebhookConfigurationKind>) {
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

    /// The readable certificates of a bundle; an API server skips the rest too.
    private static func certificates(_ bundle: [UInt8]) -> [Certificate] {
        guard let text = String(validating: bundle, as: UTF8.self),
            let documents = try? PEMDocument.parseMultiple(pemString: text)
        else { return [] }
        return documents.compactMap { try? Certificate(pemDocument: $0) }
    }
}
