import Glibc
import Synchronization
package import TextCoding

/// The addresses of `HTTP_SOURCE_IP`, and how connections are dealt over them.
///
/// A transfer is given an address (`AddressShares`), then one of its worker's handles of that address, which has it for
/// life, and so have the connections it makes: libcurl reuses a connection only for the address it left from. Test:
/// `connections leave from both addresses evenly`.
package final class SourceAddresses: Sendable {
    /// Each has handles of its own in every worker.
    package static let most = 64

    /// Index in, address out; one nil address when the kernel is to choose.
    package let addresses: [String?]
    private let shares: Mutex<AddressShares>

    /// Throws for the first entry that is malformed, or that names nothing on this machine, and names it.
    ///
    /// - Parameter entries: addresses, and ranges such as `10.0.0.0/16`, which stand for all addresses of this machine
    ///   in them: the nodes of a pool have one setting and addresses of their own.
    package init(
        _ entries: [String], field: String = "HTTP_SOURCE_IP",
        ofMachine: () -> [String] = { InterfaceAddresses.all() }
    ) throws(SettingError) {
        var chosen: [String] = []
        for entry in entries {
            if let range = AddressRange(entry) {
                chosen += try Self.addresses(in: range, entry, field, ofMachine())
            } else {
                try Self.check(entry, field, ofMachine)
                chosen.append(entry)
            }
        }
        // An address named twice would get twice its share.
        var seen: Set<String> = []
        let distinct = chosen.filter { seen.insert($0).inserted }
        guard distinct.count <= Self.most else {
            throw SettingError(
                field: field, value: entries.joined(separator: ","),
                problem: "names \(distinct.count) addresses, the most is \(Self.most)", remedy: "name fewer")
        }
        addresses = distinct.isEmpty ? [nil] : distinct
        shares = Mutex(AddressShares(addresses: addresses.count))
    }

    private static func addresses(
        in range: AddressRange, _ entry: String, _ field: String, _ own: [String]
    ) throws(SettingError) -> [String] {
        let found = own.filter { NumericAddress.bytes(of: $0).map(range.contains) ?? false }
        // No store is reached from an address of the loopback interface, but one on this machine.
        let outward = found.filter { $0 != "::1" && !$0.hasPrefix("127.") }
        guard found.isEmpty else { return outward.isEmpty ? found : outward }
        throw SettingError(
            field: field, value: entry, problem: "has no address of this machine",
            remedy: "choose a range with one of \(own.sorted().joined(separator: ", "))")
    }

    private static func check(
        _ address: String, _ field: String, _ ofMachine: () -> [String]
    ) throws(SettingError) {
        guard NumericAddress.bytes(of: address) != nil else {
            throw SettingError(
                field: field, value: address, problem: "is neither an IP address nor a range of them",
                remedy: "write addresses of this machine or ranges such as 10.0.0.0/16, separated by commas")
        }
        if let problem = bindingProblem(address) {
            throw SettingError(
                field: field, value: address, problem: problem,
                remedy: "choose from \(ofMachine().sorted().joined(separator: ", "))")
        }
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
}
