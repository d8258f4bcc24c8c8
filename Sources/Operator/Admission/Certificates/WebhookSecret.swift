internal import Crypto
package import FoundationEssentials
package import Kubernetes
internal import SwiftASN1
package import X509

/// The content of the Secret `modelcache-webhook-certificate`, and how each step changes it. Printing it shows no key.
package struct WebhookSecret: Sendable, CustomStringConvertible {
    static let name = "modelcache-webhook-certificate"

    /// PEM by entry: `ca.crt`, `ca.key`, `tls.crt`, `tls.key`, and during a rotation `old-ca.crt`. Others are kept.
    package private(set) var data: [String: Base64Data]

    private enum Entry {
        static let authority = "ca.crt"
        static let authorityKey = "ca.key"
        static let serving = "tls.crt"
        static let servingKey = "tls.key"
        static let oldAuthority = "old-ca.crt"
    }

    package init(_ data: [String: Base64Data] = [:]) { self.data = data }

    package var description: String { "WebhookSecret(\(data.keys.sorted().joined(separator: ", ")))" }

    package var servingPEM: [UInt8] { data[Entry.serving]?.bytes ?? [] }
    package var servingKeyPEM: [UInt8] { data[Entry.servingKey]?.bytes ?? [] }

    /// The CAs that API servers are to believe: the present one, and the old one while there is one.
    package var trusted: [Certificate] {
        [certificate(Entry.authority), certificate(Entry.oldAuthority)].compactMap { $0 }
    }

    var authority: Certificate? { certificate(Entry.authority) }

    /// The CA that signed the server's certificate. Nil: none of ours.
    var servingSigner: Certificate? {
        guard let serving = certificate(Entry.serving) else { return nil }
        return trusted.first { $0.publicKey.isValidSignature(serving.signature, for: serving) }
    }

    package var stored: CertificateRotation.Stored {
        let authority = certificate(Entry.authority)
        let old = certificate(Entry.oldAuthority)
        let serving = certificate(Entry.serving)
        let signer = servingSigner
        return CertificateRotation.Stored(
            authority: authority.flatMap { isKey(Entry.authorityKey, of: $0) ? $0.facts : nil },
            serving: serving.flatMap { isKey(Entry.servingKey, of: $0) ? $0.facts : nil },
            servingNames: serving?.names ?? [],
            signer: signer == nil ? .stranger : signer == authority ? .authority : .oldAuthority,
            oldAuthority: old?.facts, holdsOldAuthority: data[Entry.oldAuthority] != nil)
    }

    /// The content after a step. Nil: the step changes nothing.
    /// - Throws: when a certificate cannot be signed, which the cryptography library does not explain.
    package func after(_ step: CertificateRotation.Step, _ policy: CertificateRotation.Policy, now: Date) throws
        -> WebhookSecret?
    {
        var next = self
        switch step {
        case .nothing: return nil
        case .create, .replaceAll:
            // Replicas show the certificate before for some moments more.
            let before = servingSigner.flatMap { $0.notValidAfter > now ? $0 : nil }
            let key = P256.Signing.PrivateKey()
            let authority = try Issuing.authority(key, policy, now: now)
            try next.set(authority, key: key, at: Entry.authority, Entry.authorityKey)
            try next.renewServing(authority, key, policy, now: now)
            next.data[Entry.oldAuthority] = try before.map { Base64Data(text: try $0.serializeAsPEM().pemString) }
        case .introduceAuthority:
            next.data[Entry.oldAuthority] = data[Entry.authority]
            let key = P256.Signing.PrivateKey()
            try next.set(
                try Issuing.authority(key, policy, now: now), key: key, at: Entry.authority, Entry.authorityKey)
        case .renewServing:
            guard let authority, let key = key(Entry.authorityKey) else { return nil }
            try next.renewServing(authority, key, policy, now: now)
        case .dropOldAuthority:
            next.data[Entry.oldAuthority] = nil
        }
        return next
    }

    private mutating func renewServing(
        _ authority: Certificate, _ authorityKey: P256.Signing.PrivateKey, _ policy: CertificateRotation.Policy,
        now: Date
    ) throws {
        let key = P256.Signing.PrivateKey()
        try set(
            try Issuing.serving(key, by: authority, authorityKey, policy, now: now), key: key, at: Entry.serving,
            Entry.servingKey)
    }

    private mutating func set(
        _ certificate: Certificate, key: P256.Signing.PrivateKey, at entry: String, _ keyEntry: String
    ) throws {
        data[entry] = Base64Data(text: try certificate.serializeAsPEM().pemString)
        data[keyEntry] = Base64Data(text: try Certificate.PrivateKey(key).serializeAsPEM().pemString)
    }

    private func certificate(_ entry: String) -> Certificate? {
        data[entry]?.text.flatMap { try? Certificate(pemEncoded: $0) }
    }

    private func key(_ entry: String) -> P256.Signing.PrivateKey? {
        data[entry]?.text.flatMap { try? P256.Signing.PrivateKey(pemRepresentation: $0) }
    }

    private func isKey(_ entry: String, of certificate: Certificate) -> Bool {
        key(entry).map { Certificate.PublicKey($0.publicKey) == certificate.publicKey } ?? false
    }
}

extension Certificate {
    var facts: CertificateRotation.Facts { .init(notBefore: notValidBefore, notAfter: notValidAfter) }

    /// DNS names and IP addresses it is valid for.
    var names: Set<String> {
        guard let alternatives = try? extensions.subjectAlternativeNames else { return [] }
        var names: Set<String> = []
        for name in alternatives {
            switch name {
            case .dnsName(let text): names.insert(text)
            case .ipAddress(let octets): if let text = IPText.text(Array(octets.bytes)) { names.insert(text) }
            default: break
            }
        }
        return names
    }
}
