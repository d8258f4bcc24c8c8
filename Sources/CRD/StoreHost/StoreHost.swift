// StoreHost: the hosts that a model may be read from, and the entries of a Secret that have keys.
//
// - `StoreHost` judges a host's text when it is written, and each address at a connection.
// - `CredentialHosts` are the hosts at which a ModelCache's credentials may be used.
// - `SecretKeys` are the names of a Secret's entries.
// Invariants:
// - Metadata services and link-local addresses are always refused, loopback unless an installation allows it.
// - A name may resolve differently each time, so the text's verdict does not replace the address's.
// - An IPv4 address inside an IPv6 one (mapped, NAT64) is judged as the IPv4 address.
// - A name is in the list of stores only if no customer's machine has a name below it.
// Left to others: connections (RangeTransfer), words for a field of the spec (CRD).

internal import Foundation

/// The hosts from which a model may be read: one list for the operator's validation, the agents' definitions, and the
/// addresses that both connect to.
///
/// Operator and agents run inside the cluster's network, the agents in the nodes' own. An endpoint that a user writes
/// must not make them read a cloud's metadata service or a port of the node (server-side request forgery).
/// ``kind(of:)`` judges the text when it is written. ``problem(withAddress:allowsLoopback:)`` judges the resolved
/// address at each connection, since a name may resolve differently each time.
public enum StoreHost {
    /// The kind of a host, as far as its text or address tells.
    public enum Kind: Sendable, Equatable {
        case ordinary, loopback, linkLocal, metadata, unusable, malformed
    }

    /// Metadata services by name: Google, AWS (EC2 classic names), Tencent Cloud.
    private static let metadataNames: Set<String> = [
        "metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal",
        "metadata.tencentyun.com",
    ]

    /// - Parameter host: a name or an address, in any case, IPv6 without brackets.
    public static func kind(of host: String) -> Kind {
        let host = host.lowercased()
        let name = host.hasSuffix(".") ? String(host.dropLast()) : host
        // A zone (fe80::1%eth0) names an interface of the machine that connects.
        let bare = host.split(separator: "%", maxSplits: 1).first.map(String.init) ?? host
        if let address = address(AF_INET6, bare, count: 16) { return kind(ofAddress: address) }
        if let address = address(AF_INET, name, count: 4) { return kind(ofAddress: address) }
        if host.contains(":") || host.contains("%") || looksNumeric(name) { return .malformed }
        if name == "localhost" || name.hasSuffix(".localhost") { return .loopback }
        if metadataNames.contains(name) { return .metadata }
        return isName(name) ? .ordinary : .malformed
    }

    /// - Parameter bytes: 4 of an IPv4 address or 16 of an IPv6 address, in network order.
    public static func kind(ofAddress bytes: [UInt8]) -> Kind {
        switch bytes.count {
        case 4: fourth(bytes)
        case 16: sixth(bytes)
        default: .malformed
        }
    }

    /// The reason why the host may not be read, to follow the host's name in a sentence; nil: it may be read.
    ///
    /// - Parameter allowsLoopback: for testbeds; metadata and link-local addresses stay closed.
    public static func problem(with host: String, allowsLoopback: Bool) -> String? {
        words(kind(of: host), allowsLoopback)
    }

    /// As ``problem(with:allowsLoopback:)``, for an address that a name was resolved to.
    public static func problem(withAddress bytes: [UInt8], allowsLoopback: Bool) -> String? {
        words(kind(ofAddress: bytes), allowsLoopback)
    }

    private static func words(_ kind: Kind, _ allowsLoopback: Bool) -> String? {
        switch kind {
        case .ordinary: nil
        case .loopback: allowsLoopback ? nil : "is this machine itself"
        case .linkLocal: "is a link-local address"
        case .metadata: "is a cloud's metadata service"
        case .unusable: "is an address that no store can have"
        case .malformed: "is neither a name nor an address"
        }
    }

    /// `127.1`, `2130706433` and `0x7f000001` are addresses for a resolver.
    private static func looksNumeric(_ name: String) -> Bool {
        guard let last = name.split(separator: ".").last else { return true }
        let digits = last.hasPrefix("0x") ? last.dropFirst(2) : last
        return last.hasPrefix("0x") ? digits.allSatisfy(\.isHexDigit) : digits.allSatisfy(\.isNumber)
    }

    /// RFC 1123.
    private static func isName(_ name: String) -> Bool {
        name.utf8.count <= 253
            && name.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
                (1...63).contains(label.utf8.count) && !label.hasPrefix("-") && !label.hasSuffix("-")
            }
    }

    private static func address(_ family: Int32, _ text: String, count: Int) -> [UInt8]? {
        guard text.utf8.allSatisfy({ $0 != 0 }) else { return nil }
        var bytes = [UInt8](repeating: 0, count: count)
        return inet_pton(family, text, &bytes) == 1 ? bytes : nil
    }

    /// 100.100.100.200 is Alibaba Cloud's metadata service
    /// (https://help.aliyun.com/zh/ecs/user-guide/view-instance-metadata), 168.63.129.16 is Azure's
    /// (https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16).
    private static func fourth(_ bytes: [UInt8]) -> Kind {
        switch (bytes[0], bytes[1], bytes[2], bytes[3]) {
        case (127, _, _, _): .loopback
        case (169, 254, 169, 254), (100, 100, 100, 200), (168, 63, 129, 16): .metadata
        case (169, 254, _, _): .linkLocal
        case (0, _, _, _), (224..., _, _, _): .unusable
        default: .ordinary
        }
    }

    private static func sixth(_ bytes: [UInt8]) -> Kind {
        let head = Array(bytes[..<12])
        if head.allSatisfy({ $0 == 0 }) {
            if bytes[12...14].allSatisfy({ $0 == 0 }) { return bytes[15] == 1 ? .loopback : .unusable }
            return fourth(Array(bytes[12...]))
        }
        // IPv4-mapped (::ffff:a.b.c.d) and NAT64 (64:ff9b::a.b.c.d) reach the IPv4 address inside.
        let mapped: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]
        let translated: [UInt8] = [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0]
        if head == mapped || head == translated { return fourth(Array(bytes[12...])) }
        if bytes[0] == 0xfe && bytes[1] & 0xc0 == 0x80 { return .linkLocal }
        if bytes[0] == 0xff { return .unusable }
        // fd00:ec2::254 is AWS's, fd20:ce::254 Google's.
        let amazon: [UInt8] = [0xfd, 0, 0x0e, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0x54]
        let google: [UInt8] = [0xfd, 0x20, 0, 0xce, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0x54]
        return bytes == amazon || bytes == google ? .metadata : .ordinary
    }
}
