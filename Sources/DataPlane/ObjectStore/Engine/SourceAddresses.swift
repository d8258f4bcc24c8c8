import Glibc
import Synchronization

/// The addresses of `HTTP_SOURCE_IP`, dealt out in turn.
final class SourceAddresses: Sendable {
    private let addresses: [String]
    private let turn = Atomic<Int>(0)

    /// Throws for the first address that is malformed or not on this machine, and names it.
    init(_ addresses: [String], field: String = "HTTP_SOURCE_IP") throws(SettingError) {
        let own = addresses.isEmpty ? [] : try Self.ofThisMachine()
        for address in addresses {
            guard EndpointText.isIPv4(address) || EndpointText.isIPv6(address) else {
                throw SettingError(
                    field: field, value: address, problem: "is not an IP address",
                    remedy: "write addresses of this machine, separated by commas")
            }
            guard own.contains(Self.normalized(address)) else {
                throw SettingError(
                    field: field, value: address, problem: "is not an address of this machine",
                    remedy: "choose from \(own.sorted().joined(separator: ", "))")
            }
        }
        self.addresses = addresses
    }

    /// The next address, or nil when the kernel is to choose.
    func next() -> String? {
        guard !addresses.isEmpty else { return nil }
        let index = turn.wrappingAdd(1, ordering: .relaxed).oldValue
        return addresses[Int(UInt(bitPattern: index) % UInt(addresses.count))]
    }

    private static func normalized(_ text: String) -> String {
        var address = in6_addr()
        guard inet_pton(AF_INET6, text, &address) == 1 else { return text }
        var buffer = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        guard inet_ntop(AF_INET6, &address, &buffer, socklen_t(buffer.count)) != nil else { return text }
        return String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    private static func ofThisMachine() throws(SettingError) -> Set<String> {
        var first: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&first) == 0 else {
            throw SettingError(
                field: "HTTP_SOURCE_IP", value: nil, problem: "cannot be checked: \(String(cString: strerror(errno)))",
                remedy: "leave it unset")
        }
        defer { freeifaddrs(first) }
        var found: Set<String> = []
        var next = first
        while let entry = next {
            next = entry.pointee.ifa_next
            guard let address = entry.pointee.ifa_addr else { continue }
            let length: Int
            switch Int32(address.pointee.sa_family) {
            case AF_INET: length = MemoryLayout<sockaddr_in>.size
            case AF_INET6: length = MemoryLayout<sockaddr_in6>.size
            default: continue
            }
            var name = [CChar](repeating: 0, count: Int(NI_MAXHOST))
            guard getnameinfo(address, socklen_t(length), &name, socklen_t(name.count), nil, 0, NI_NUMERICHOST) == 0 else {
                continue
            }
            // A link-local address is printed with its interface ("%eth0"), which the setting does not carry.
            let bytes = name.prefix { $0 != 0 && $0 != CChar(UInt8(ascii: "%")) }
            found.insert(String(decoding: bytes.map(UInt8.init(bitPattern:)), as: UTF8.self))
        }
        return found
    }
}
