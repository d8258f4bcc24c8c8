internal import TextCoding

/// The user at the other end of a TCP connection within this machine, as the kernel's table of sockets has it
/// (proc_net_tcp.rst of the kernel's documentation).
package enum LoopbackUser {
    /// One end of a connection.
    package struct End: Sendable {
        /// IPv4, as text.
        var host: String
        var port: UInt16

        package init(host: String, port: UInt16) {
            self.host = host
            self.port = port
        }
    }

    /// Nil: the table has no such socket.
    static func find(client: End, server: End) -> UInt32? {
        // A program may reach an IPv4 address through a socket of IPv6. While other sockets come and go, the kernel may
        // pass over one: its table is no snapshot.
        for path in ["/proc/net/tcp", "/proc/net/tcp6", "/proc/net/tcp", "/proc/net/tcp6"] {
            if let user = KernelText.read(path).flatMap({ user(in: $0, client: client, server: server) }) {
                return user
            }
        }
        return nil
    }

    /// - Parameter client: the other end, whose user is asked for.
    package static func user(in table: String, client: End, server: End) -> UInt32? {
        guard let local = field(client), let remote = field(server) else { return nil }
        for row in table.utf8.split(separator: UInt8(ascii: "\n")).dropFirst() {
            let fields = row.split(separator: UInt8(ascii: " "), maxSplits: 8)
            guard fields.count > 7, ends(fields[1], with: local), ends(fields[2], with: remote) else { continue }
            return UInt32(String(decoding: fields[7], as: UTF8.self))
        }
        return nil
    }

    /// `0100007F:1F90`: the address as a number of this machine's byte order, and the port.
    private static func field(_ end: End) -> [UInt8]? {
        guard let bytes = NumericAddress.bytes(of: end.host), bytes.count == 4 else { return nil }
        let port = [UInt8(end.port >> 8), UInt8(end.port & 0xff)]
        return Array("\(Hex.encode(bytes.reversed())):\(Hex.encode(port))".uppercased().utf8)
    }

    /// An IPv6 address that stands for one of IPv4 ends with it.
    private static func ends(_ field: Substring.UTF8View, with text: [UInt8]) -> Bool {
        field.count >= text.count && field.suffix(text.count).elementsEqual(text)
    }
}
