internal import Crypto

/// One key that may sign requests. Its secret is never printed.
package struct AccessKey: Sendable, CustomStringConvertible {
    package var id: String
    package var secret: String
    /// The security token that must come with the request; nil for a permanent key.
    package var token: String?
    /// Seconds since 1970 after which the token is refused.
    package var expiry: Int64?

    package init(id: String, secret: String, token: String? = nil, expiry: Int64? = nil) {
        self.id = id
        self.secret = secret
        self.token = token
        self.expiry = expiry
    }

    /// `id:secret[:token[:expiry]]`; the expiry is seconds since 1970 or `2026-11-21T05:00:00Z`.
    package init?(text: some StringProtocol) {
        let parts = String(text).split(separator: ":", maxSplits: 3, omittingEmptySubsequences: false).map {
            String($0)
        }
        guard parts.count >= 2, !parts[0].isEmpty, !parts[1].isEmpty else { return nil }
        id = parts[0]
        secret = parts[1]
        token = parts.count > 2 && !parts[2].isEmpty ? parts[2] : nil
        expiry = nil
        if parts.count > 3 {
            guard let seconds = HTTPDate.parseExpiry(parts[3]) else { return nil }
            expiry = seconds
        }
    }

    package var description: String { "AccessKey(\(id))" }
}

/// Compares in a time that does not tell where the first difference is: swift-crypto compares digests in constant time.
func constantTimeEqual(_ a: String, _ b: String) -> Bool {
    SHA256.hash(data: Array(a.utf8)) == SHA256.hash(data: Array(b.utf8))
}
