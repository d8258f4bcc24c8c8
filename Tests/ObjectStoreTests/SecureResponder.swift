import Foundation
import Synchronization
import TLSPeer

/// A TLS server on plain sockets whose records are the test's own: their sizes, and when which of their bytes go out.
///
/// One thread for each connection; requests have no body. Lives until the process's end.
final class SecureResponder: Sendable {
    /// One connection, of its own thread.
    final class Line {
        fileprivate let peer: OpaquePointer
        private let descriptor: Int32

        fileprivate init(_ peer: OpaquePointer, _ descriptor: Int32) {
            (self.peer, self.descriptor) = (peer, descriptor)
            // Without a delay the second piece would wait for the first one's acknowledgement.
            var noDelay: Int32 = 1
            setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &noDelay, socklen_t(MemoryLayout<Int32>.size))
        }

        /// Whether the client resumed a session.
        var isResumed: Bool { tls_peer_was_resumed(peer) }

        func write(_ bytes: [UInt8]) { send(record(bytes)) }

        /// One record, of 16 KiB at most, which has not gone out.
        func record(_ bytes: [UInt8]) -> [UInt8] {
            precondition(tls_peer_write(peer, bytes, bytes.count))
            return waiting
        }

        /// A message that asks for new keys.
        func updateKeys() -> [UInt8] {
            precondition(tls_peer_update_keys(peer))
            return waiting
        }

        func goodbye() -> [UInt8] {
            tls_peer_say_goodbye(peer)
            return waiting
        }

        /// Bytes as they go over the wire.
        func send(_ bytes: [UInt8]) {
            var rest = bytes[...]
            while !rest.isEmpty {
                let sent = rest.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
                guard sent > 0 else { return }
                rest = rest.dropFirst(sent)
            }
        }

        /// What TLS has for the client.
        private var waiting: [UInt8] {
            var bytes: [UInt8] = []
            var piece = [UInt8](repeating: 0, count: 65536)
            while case let count = tls_peer_take(peer, &piece, piece.count), count > 0 { bytes += piece[..<count] }
            return bytes
        }

        /// Waits for the next request; false when the client has closed.
        fileprivate func takesRequest() -> Bool {
            var text: [UInt8] = []
            var piece = [UInt8](repeating: 0, count: 16384)
            while text.firstRange(of: Array("\r\n\r\n".utf8)) == nil {
                let plain = tls_peer_read(peer, &piece, piece.count)
                send(waiting)
                if plain > 0 {
                    text += piece[..<plain]
                    continue
                }
                let count = recv(descriptor, &piece, piece.count, 0)
                guard count > 0 else { return false }
                tls_peer_feed(peer, piece, count)
            }
            return true
        }
    }

    /// Gets the request's number, from 0, over all connections. Returns whether the connection stays open.
    typealias Handler = @Sendable (Int, Line) -> Bool
    /// Gets a connection's number, from 0, and its socket before TLS. Returns whether TLS begins; else the connection is
    /// closed.
    typealias Greeting = @Sendable (Int, Int32) -> Bool

    let port: UInt16
    private let count = Atomic<Int>(0)
    private let listener: Int32
    private let certificates: Certificates
    private let minor: Int32
    private let greeting: Greeting

    var endpoint: String { "https://127.0.0.1:\(port)" }
    var requests: Int { count.load(ordering: .sequentiallyConsistent) }

    /// - Parameter minor: TLS 1.x alone.
    init(
        _ certificates: Certificates, minor: Int32 = 3, _ handler: @escaping Handler,
        greeting: @escaping Greeting = { _, _ in true }
    ) throws {
        (listener, port) = try Responder.bindLoopback()
        (self.certificates, self.minor, self.greeting) = (certificates, minor, greeting)
        guard listen(listener, 512) == 0 else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
        Thread.detachNewThread { [self] in
            // Tickets of one connection are good at the next: they share the context.
            guard let context = tls_peer_context_new(certificates.store, certificates.key, minor) else { return }
            let shared = UInt(bitPattern: context)
            var connections = 0
            while case let descriptor = accept(listener, nil, nil), descriptor >= 0 {
                let connection = connections
                connections += 1
                Thread.detachNewThread { [self] in
                    defer { close(descriptor) }
                    guard greeting(connection, descriptor), let peer = tls_peer_new(OpaquePointer(bitPattern: shared)) else { return }
                    defer { tls_peer_free(peer) }
                    let line = Line(peer, descriptor)
                    while line.takesRequest() {
                        let number = count.wrappingAdd(1, ordering: .sequentiallyConsistent).oldValue
                        guard handler(number, line) else { return }
                    }
                }
            }
        }
    }
}
