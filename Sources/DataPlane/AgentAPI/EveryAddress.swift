internal import Glibc

/// The host that a server listens on when its address names none.
public enum EveryAddress {
    /// `::`, which on Linux takes connections of both families (ipv6(7), IPV6_V6ONLY); `0.0.0.0` where the kernel has
    /// no IPv6.
    public static let host: String = {
        let descriptor = socket(AF_INET6, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { return "0.0.0.0" }
        defer { close(descriptor) }
        var address = sockaddr_in6()
        address.sin6_family = sa_family_t(AF_INET6)
        let bound = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in6>.size))
            }
        }
        return bound == 0 ? "::" : "0.0.0.0"
    }()
}
