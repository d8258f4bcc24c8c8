import Glibc
import Synchronization
internal import TextCoding

/// The addresses of `HTTP_SOURCE_IP`, and how connections are dealt over them.
///
/// A transfer is given an address (`AddressShares`), then one of its worker's handles of that address, which has it for
/// life, and so have the connections it makes: libcurl reuses a connection only for the address it left from. Test:
/// `connections leave from both addresses evenly`.
final class SourceAddresses: Sendable {
    /// Index in, address out; one nil address when the kernel is to choose.
    let addresses: [String?]
    private let shares: Mutex<AddressShares>

    /// Throws for the first address that is malformed or not on this machine, and names it.
    init(_ addresses: [String], field: String = "HTTP_SOURCE_IP") throws(SettingError) {
        for address in addresses {
            guard NumericAddress.isIPv4(address) || NumericAddress.isIPv6(address) else {
                throw SettingError(
                    field: field, value: address, problem: "is not an IP address",
                    remedy: "write addresses of this machine, separated by commas")
            }
            if let problem = Self.bindingProblem(address) {
                throw SettingError(
                    field: field, value: address, problem: problem,
                    remedy: "choose from \(Self.ofThisMachine().sorted().joined(separator: ", "))")
            }
        }
        // An address named twice would get twice its share.
        var seen: Set<String> = []
        let distinct = addresses.filter { seen.insert($0).inserted }
        self.addresses = distinct.isEmpty ? [nil] : distinct
        shares = Mutex(AddressShares(addresses: self.addresses.count))
    }

    /// The address for a transfer of a worker that has `own` transfers of each; `end` when it has ended.
    func deal(_ bytes: UInt64, own: [Int]) -> Int { shares.withLock { $0.deal(bytes, own: own) } }
    func end(_ index: Int) { shares.withLock { $0.end(index) } }

    /// Whether a socket can be bound to it is the kernel's to say: an address of 127.0.0.0/8, or of a local route, is
    /// on no interface's list and yet this machine's own.
    private static func bindingProblem(_ address: String) -> String? {
        let isIPv6 = address.contains(":")
        let descriptor = socket(
            isIPv6 ? AF_INET6 : AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return "cannot be checked: \(String(cString: strerror(errno)))" }
        defer { close(descriptor) }
        let failed: Bool
        if isIPv6 {
            var name = sockaddr_in6()
            name.sin6_family = sa_family_t(AF_INET6)
            inet_pton(AF_INET6, address, &name.sin6_addr)
            failed = bound(descriptor, &name) != 0
        } else {
            var name = sockaddr_in()
            name.sin_family = sa_family_t(AF_INET)
            inet_pton(AF_INET, address, &name.sin_addr)
            failed = bound(descriptor, &name) != 0
        }
        guard failed else { return nil }
        return errno == EADDRNOTAVAIL
            ? "is not an address of this machine" : "cannot be used: \(String(cString: strerror(errno)))"
    }

    private static func bound<Name>(_ descriptor: Int32, _ name: inout Name) -> Int32 {
        withUnsafeBytes(of: &name) { bytes in
            guard let address = bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self) else { return -1 }
            return bind(descriptor, address, socklen_t(bytes.count))
        }
    }

    /// For the remedy: what the interfaces list.
    private static func ofThisMachine() -> Set<String> {
        var first: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&first) == 0 else { return [] }
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
            guard getnameinfo(address, socklen_t(length), &name, socklen_t(name.count), nil, 0, NI_NUMERICHOST) == 0
            else {
                continue
            }
            let bytes = name.prefix { $0 != 0 }
            // A link-local address needs its interface ("%eth0"), which the setting does not carry.
            guard !bytes.contains(CChar(UInt8(ascii: "%"))) else { continue }
            found.insert(String(decoding: bytes.map(UInt8.init(bitPattern:)), as: UTF8.self))
        }
        return found
    }
}
