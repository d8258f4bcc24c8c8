import Foundation
import Synchronization

/// An HTTP responder on plain sockets whose answers are written by the test byte by byte: what no proper server sends.
///
/// One thread for each connection; requests have no body. Lives until `stop` or the process's end.
final class Responder: Sendable {
    struct Request: Sendable {
        let method: String
        let target: String
        /// Lowercase names.
        let headers: [String: String]
        /// From 0, over all connections.
        let number: Int
        /// The address the connection came from.
        let peer: String
    }

    /// What an answer is written to.
    struct Line: Sendable {
        let descriptor: Int32

        func write(_ text: String) { write(Array(text.utf8)) }

        func write(_ bytes: [UInt8]) {
            var rest = bytes[...]
            while !rest.isEmpty {
                let sent = rest.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
                guard sent > 0 else { return }
                rest = rest.dropFirst(sent)
            }
        }

        /// The next close sends RST in place of FIN.
        func resetOnClose() {
            var value = linger(l_onoff: 1, l_linger: 0)
            setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &value, socklen_t(MemoryLayout<linger>.size))
        }

        /// Returns when the other side closes.
        func waitForClose() {
            var byte: UInt8 = 0
            while recv(descriptor, &byte, 1, 0) > 0 {}
        }
    }

    /// Returns whether the connection stays open.
    typealias Handler = @Sendable (Request, Line) -> Bool

    let port: UInt16
    private let listener: Int32
    private let count = Atomic<Int>(0)
    private let connections = Mutex<[String]>([])

    var requests: Int { count.load(ordering: .sequentiallyConsistent) }
    /// The peers' addresses, one for each connection.
    var peers: [String] { connections.withLock { $0 } }
    var endpoint: String { "http://127.0.0.1:\(port)" }

    /// A socket on a free port of 127.0.0.1 that does not listen yet: connections to it are refused.
    static func bindLoopback() throws -> (socket: Int32, port: UInt16) {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var name = sockaddr_in()
        name.sin_family = sa_family_t(AF_INET)
        name.sin_addr.s_addr = inet_addr("127.0.0.1")
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let failed = withUnsafeMutableBytes(of: &name) { bytes in
            let address = bytes.baseAddress!.assumingMemoryBound(to: sockaddr.self)
            return bind(descriptor, address, length) != 0 || getsockname(descriptor, address, &length) != 0
        }
        guard !failed else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
        return (descriptor, UInt16(bigEndian: name.sin_port))
    }

    init(_ handler: @escaping Handler) throws {
        let (listener, port) = try Self.bindLoopback()
        guard listen(listener, 512) == 0 else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
        self.listener = listener
        self.port = port
        Thread.detachNewThread { [self] in
            while true {
                var peer = sockaddr_in()
                var length = socklen_t(MemoryLayout<sockaddr_in>.size)
                let descriptor = withUnsafeMutableBytes(of: &peer) {
                    accept(listener, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), &length)
                }
                guard descriptor >= 0 else { return }
                let address = String(cString: inet_ntoa(peer.sin_addr))
                connections.withLock { $0.append(address) }
                Thread.detachNewThread { [self] in
                    serve(descriptor, peer: address, handler)
                    close(descriptor)
                }
            }
        }
    }

    func stop() {
        shutdown(listener, Int32(SHUT_RDWR))
        close(listener)
    }

    private func serve(_ descriptor: Int32, peer: String, _ handler: Handler) {
        var buffer: [UInt8] = []
        let end = Array("\r\n\r\n".utf8)
        while true {
            guard let found = buffer.firstRange(of: end) else {
                var piece = [UInt8](repeating: 0, count: 16384)
                let got = recv(descriptor, &piece, piece.count, 0)
                guard got > 0 else { return }
                buffer += piece[..<got]
                continue
            }
            let lines = String(decoding: buffer[..<found.lowerBound], as: UTF8.self).components(separatedBy: "\r\n")
            buffer.removeSubrange(..<found.upperBound)
            let words = lines[0].split(separator: " ")
            var headers: [String: String] = [:]
            for line in lines.dropFirst() {
                guard let colon = line.firstIndex(of: ":") else { continue }
                headers[line[..<colon].lowercased()] = line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
            }
            let request = Request(
                method: String(words[0]), target: String(words[1]), headers: headers,
                number: count.wrappingAdd(1, ordering: .sequentiallyConsistent).oldValue, peer: peer)
            guard handler(request, Line(descriptor: descriptor)) else { return }
        }
    }
}
