internal import Glibc

/// Texts that name an address without a lookup.
public enum NumericAddress {
    public static func isIPv4(_ text: String) -> Bool { bytes(of: text)?.count == 4 }

    public static func isIPv6(_ text: String) -> Bool { bytes(of: text)?.count == 16 }

    /// The address that `text` names, IPv6 without brackets and zone: 4 or 16 bytes in network order; nil: none.
    public static func bytes(of text: String) -> [UInt8]? {
        // inet_pton stops at a NUL: what follows it must not slip through.
        guard text.utf8.allSatisfy({ Hex.value($0) != nil || $0 == 0x2e || $0 == 0x3a }) else { return nil }
        var bytes = [UInt8](repeating: 0, count: 16)
        if inet_pton(AF_INET, text, &bytes) == 1 { return Array(bytes.prefix(4)) }
        return inet_pton(AF_INET6, text, &bytes) == 1 ? bytes : nil
    }
}
