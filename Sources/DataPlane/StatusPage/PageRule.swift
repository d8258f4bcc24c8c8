/// The page, the data or a refusal for each request: a pure value.
///
/// The page has no password, for it listens on the loopback alone. Two others could reach it there: a web page of
/// another site, whose name its owner points at 127.0.0.1 (DNS rebinding), and other users of the machine. The first
/// shows itself by the request's `Host`, the others by the owner of their socket.
package struct PageRule: Sendable {
    package enum Verdict: Sendable, Equatable {
        case page, data
        case refused(status: Int, String)
    }

    /// The user of this program.
    private let user: UInt32

    package init(user: UInt32) { self.user = user }

    /// - Parameters:
    ///   - host: of the request, with or without a port: a tunnel has another one than the server.
    ///   - path: without the query.
    ///   - sender: the owner of the socket at the other end; nil: not found.
    package func verdict(method: String, host: String?, path: String, sender: @autoclosure () -> UInt32?) -> Verdict {
        guard let host, Self.isLoopback(host) else {
            return .refused(status: 403, "the page is for 127.0.0.1 and localhost; use the address that was printed")
        }
        guard let owner = sender(), owner == user || owner == 0 else {
            return .refused(status: 403, "the page is for the user who started it")
        }
        guard method == "GET" || method == "HEAD" else { return .refused(status: 405, "the page takes GET and HEAD") }
        switch path {
        case "/": return .page
        case "/data.json": return .data
        default: return .refused(status: 404, "there is / and /data.json")
        }
    }

    private static func isLoopback(_ host: String) -> Bool {
        var name = host.lowercased()
        if let colon = name.lastIndex(of: ":"), !name.hasSuffix("]") {
            guard name[colon...].dropFirst().utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return false }
            name = String(name[..<colon])
        }
        return name == "127.0.0.1" || name == "localhost" || name == "[::1]"
    }
}
