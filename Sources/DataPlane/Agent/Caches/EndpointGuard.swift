internal import Glibc

/// Which hosts a cache may be filled from: not the machine itself, not what a cloud offers on link-local addresses, where
/// a privileged agent on the node's network would be a way to the node's own credentials (server-side request forgery).
///
/// Looks at what is written, in every form that the resolver takes for an address. A name that resolves to such an
/// address is not found out here.
package enum EndpointGuard {
    /// Why this host may not be read from; nil: it may.
    ///
    /// - Parameters:
    ///   - host: a name, an IPv4 address in any form of inet_aton(3), or an IPv6 address without brackets.
    ///   - allowsLoopback: for testbeds; metadata and link-local addresses stay closed.
    package static func problem(with host: String, allowsLoopback: Bool) -> String? {
        var name = host.lowercased()
        while name.hasSuffix(".") { name.removeLast() }
        if name == "localhost" || name.hasSuffix(".localhost") { return allowsLoopback ? nil : "is this machine itself" }
        if metadataNames.contains(name) { return "is a cloud's metadata service" }
        var version4 = in_addr()
        if inet_aton(name, &version4) != 0 {
            return problem(with: UInt32(bigEndian: version4.s_addr), allowsLoopback: allowsLoopback)
        }
        var version6 = in6_addr()
        let bare = name.split(separator: "%", maxSplits: 1).first.map(String.init) ?? name
        guard inet_pton(AF_INET6, bare, &version6) == 1 else { return nil }
        let bytes = withUnsafeBytes(of: version6) { Array($0) }
        let leading = bytes.prefix(12)
        // IPv4-mapped, IPv4-compatible and NAT64 (RFC 4291, RFC 6052) carry an IPv4 address at their end.
        let carries4 =
            leading == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff] || leading == [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0]
            || (leading.allSatisfy { $0 == 0 } && bytes[12] != 0)
        if carries4 {
            let number = bytes.suffix(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            return problem(with: number, allowsLoopback: allowsLoopback)
        }
        if bytes.prefix(15).allSatisfy({ $0 == 0 }) {
            if bytes[15] == 0 { return "is the unspecified address" }
            if bytes[15] == 1 { return allowsLoopback ? nil : "is this machine itself" }
        }
        if bytes[0] == 0xfe && bytes[1] & 0xc0 == 0x80 { return "is a link-local address" }
        if bytes == awsMetadata6 { return "is a cloud's metadata service" }
        return nil
    }

    private static func problem(with address: UInt32, allowsLoopback: Bool) -> String? {
        switch address {
        case 0x7f00_0000...0x7fff_ffff: allowsLoopback ? nil : "is this machine itself"
        case 0x0000_0000...0x00ff_ffff: "is the unspecified address"
        case 0xa9fe_0000...0xa9fe_ffff: "is a link-local address"
        // 100.100.100.200, Alibaba Cloud's metadata service; 168.63.129.16, Azure's.
        case 0x6464_64c8, 0xa83f_8110: "is a cloud's metadata service"
        case 0xe000_0000...0xffff_ffff: "is no unicast address"
        default: nil
        }
    }

    private static let metadataNames: Set = ["metadata.google.internal", "metadata", "metadata.tencentyun.com", "instance-data"]
    /// fd00:ec2::254
    private static let awsMetadata6: [UInt8] = [0xfd, 0, 0x0e, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0x54]
}
