internal import Crypto
internal import FoundationEssentials
internal import Glibc
internal import SwiftASN1
internal import X509
internal import TextCoding

/// The two kinds of certificate the webhook needs, as RFC 5280 and Go's verifier want them: elliptic keys (P-256), the
/// authority limited to signing, the server's to serving, names as alternative names.
enum Issuing {
    static func authority(_ key: P256.Signing.PrivateKey, _ policy: CertificateRotation.Policy, now: Date) throws
        -> Certificate
    {
        let publicKey = Certificate.PublicKey(key.publicKey)
        let serial = Certificate.SerialNumber()
        // Two authorities of one name, side by side in a bundle, would have to be told apart by their keys.
        let suffix = Hex.encode(serial.bytes.prefix(4))
        let name = try DistinguishedName { CommonName("modelcache-webhook-ca-\(suffix)") }
        return try Certificate(
            version: .v3, serialNumber: serial, publicKey: publicKey,
            notValidBefore: now.addingTimeInterval(-policy.backdating.seconds),
            notValidAfter: now.addingTimeInterval(policy.authorityLifetime.seconds), issuer: name, subject: name,
            signatureAlgorithm: .ecdsaWithSHA256,
            extensions: Certificate.Extensions {
                Critical(BasicConstraints.isCertificateAuthority(maxPathLength: 0))
                Critical(KeyUsage(keyCertSign: true, cRLSign: true))
                SubjectKeyIdentifier(hash: publicKey)
            },
            issuerPrivateKey: Certificate.PrivateKey(key))
    }

    static func serving(
        _ key: P256.Signing.PrivateKey, by authority: Certificate, _ authorityKey: P256.Signing.PrivateKey,
        _ policy: CertificateRotation.Policy, now: Date
    ) throws -> Certificate {
        let names = policy.names.sorted()
        return try Certificate(
            version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: Certificate.PublicKey(key.publicKey),
            notValidBefore: now.addingTimeInterval(-policy.backdating.seconds),
            notValidAfter: min(now.addingTimeInterval(policy.servingLifetime.seconds), authority.notValidAfter),
            issuer: authority.subject,
            subject: try DistinguishedName { CommonName("modelcache-webhook") }, signatureAlgorithm: .ecdsaWithSHA256,
            extensions: Certificate.Extensions {
                Critical(BasicConstraints.notCertificateAuthority)
                Critical(KeyUsage(digitalSignature: true))
                try ExtendedKeyUsage([.serverAuth])
                SubjectAlternativeNames(
                    names.map { name in
                        IPText.bytes(name).map { .ipAddress(ASN1OctetString(contentBytes: $0[...])) } ?? .dnsName(name)
                    })
                AuthorityKeyIdentifier(keyIdentifier: (try? authority.extensions.subjectKeyIdentifier)?.keyIdentifier)
            },
            issuerPrivateKey: Certificate.PrivateKey(authorityKey))
    }
}

/// IP addresses as a certificate holds them: 4 or 16 bytes.
enum IPText {
    static func bytes(_ text: String) -> [UInt8]? {
        for (family, count) in [(AF_INET, 4), (AF_INET6, 16)] {
            var address = [UInt8](repeating: 0, count: count)
            if inet_pton(family, text, &address) == 1 { return address }
        }
        return nil
    }

    static func text(_ bytes: [UInt8]) -> String? {
        guard bytes.count == 4 || bytes.count == 16 else { return nil }
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        guard inet_ntop(bytes.count == 4 ? AF_INET : AF_INET6, bytes, &text, socklen_t(text.count)) != nil else {
            return nil
        }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
