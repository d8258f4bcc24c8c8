internal import Foundation
internal import Glibc
internal import TextCoding

/// One look at a ``PeerSource``. Blocking: DNS may take seconds.
enum PeerLookup {
    /// - Returns: nil when the source says nothing now (DNS fails, the file is not there): what was known stays.
    static func addresses(of source: PeerSource, defaultPort: Int) -> Set<PeerAddress>? {
        switch source {
        case .dns(let name, let port): return resolve(name, port: port ?? defaultPort)
        case .fixed(let entries): return resolve(entries, defaultPort: defaultPort)
        case .file(let path):
            guard let data = FileManager.default.contents(atPath: path), data.count <= 1 << 20 else { return nil }
            let entries = String(decoding: data, as: UTF8.self).split(whereSeparator: \.isNewline).compactMap {
                line -> String? in
                let text = line.prefix { $0 != "#" }.filter { !$0.isWhitespace }
                return text.isEmpty ? nil : text
            }
            return resolve(entries, defaultPort: defaultPort)
        }
    }

    private static func resolve(_ entries: [String], defaultPort: Int) -> Set<PeerAddress> {
        var all: Set<PeerAddress> = []
        for entry in entries {
            guard let address = PeerAddress(entry, defaultPort: defaultPort) else { continue }
            all.formUnion(resolve(address.host, port: address.port) ?? [])
        }
        return all
    }

    /// getaddrinfo(3), numeric addresses included.
    private static func resolve(_ name: String, port: Int) -> Set<PeerAddress>? {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(name, nil, &hints, &list) == 0 else { return nil }
        defer { freeaddrinfo(list) }
        var all: Set<PeerAddress> = []
        var entry = list
        while let info = entry?.pointee {
            if let host = numeric(info.ai_addr, info.ai_addrlen) { all.insert(PeerAddress(host: host, port: port)) }
            entry = info.ai_next
        }
        return all
    }

    private static func numeric(_ address: UnsafePointer<sockaddr>?, _ length: socklen_t) -> String? {
        var host = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        guard let address, getnameinfo(address, length, &host, socklen_t(host.count), nil, 0, NI_NUMERICHOST) == 0
        else { return nil }
        return String(decoding: host.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Addresses of this machine's interfaces: a member among them that has our port is this node.
    static func ownHosts() -> Set<String> { Set(InterfaceAddresses.all()) }
}
