import CurlShim
import Glibc

/// Which addresses may be connected to, whatever name led there: for stores that someone else than the process's owner
/// names.
///
/// Asked with the very address that is then connected to, so that a name that resolves otherwise a moment later gains
/// nothing.
public struct AddressGuard: Sendable {
    /// Why not, to follow the address in a sentence; nil: it may be connected to.
    public let problem: @Sendable (_ address: [UInt8]) -> String?

    /// - Parameter problem: gets 4 bytes of an IPv4 address or 16 of an IPv6 address, in network order.
    public init(_ problem: @escaping @Sendable (_ address: [UInt8]) -> String?) { self.problem = problem }

    /// Address and reason, such as `169.254.169.254, which is a link-local address`; nil: it may be connected to. A
    /// family that is neither is refused.
    func refusal(of name: UnsafeRawPointer) -> String? {
        let family = Int32(name.loadUnaligned(as: sockaddr.self).sa_family)
        let bytes: [UInt8]
        switch family {
        case AF_INET: bytes = withUnsafeBytes(of: name.loadUnaligned(as: sockaddr_in.self).sin_addr) { Array($0) }
        case AF_INET6: bytes = withUnsafeBytes(of: name.loadUnaligned(as: sockaddr_in6.self).sin6_addr) { Array($0) }
        default: return "an address of family \(family), which no store has"
        }
        return problem(bytes).map { "\(Self.text(family, bytes)), which \($0)" }
    }

    private static func text(_ family: Int32, _ bytes: [UInt8]) -> String {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(INET6_ADDRSTRLEN)) { buffer in
            guard let base = buffer.baseAddress, inet_ntop(family, bytes, base, socklen_t(buffer.count)) != nil else {
                return ""
            }
            return String(cString: base)
        }
    }

    /// libcurl's CURLOPT_OPENSOCKETFUNCTION, whose context is the transfer. It is called for each address that is
    /// tried.
    static func openSocket(_ context: UnsafeMutableRawPointer?, _ address: UnsafeMutablePointer<curl_sockaddr>?)
        -> curl_socket_t
    {
        guard let context, let address, let offset = MemoryLayout<curl_sockaddr>.offset(of: \.addr) else { return -1 }
        let transfer = Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue()
        if let refusal = transfer.addressGuard?.refusal(of: UnsafeRawPointer(address) + offset) {
            transfer.refusedAddress = refusal
            return -1
        }
        return mc_curl_socket(address)
    }
}
