import Foundation
import TLSPeer
import TLSShim
import Testing

/// The client's end of TLS by itself, over a socket pair: sessions' ends, idle connections, sockets that break. Needs
/// the `openssl` command.
@Suite(.enabled(if: Certificates.areThere)) struct TLSShimTests {
    /// Both ends of a connection; the test carries what the server sends.
    private final class Wire {
        let client: OpaquePointer
        let peer: OpaquePointer
        private let ours: Int32
        private(set) var theirs: Int32

        init(_ context: OpaquePointer, _ server: OpaquePointer, session: OpaquePointer? = nil, end: Int = 0) throws {
            var sockets: [Int32] = [-1, -1]
            let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
            try #require(socketpair(AF_UNIX, kind, 0, &sockets) == 0)
            (ours, theirs) = (sockets[0], sockets[1])
            client = try #require(mc_tls_new(context, ours, "127.0.0.1", true, session, end))
            peer = try #require(tls_peer_new(server))
        }

        deinit {
            mc_tls_end(client)
            tls_peer_free(peer)
            close(ours)
            if theirs >= 0 { close(theirs) }
        }

        /// Both do their part until the client says that the connection stands.
        func shakeHands() throws {
            for _ in 0..<10 {
                let result = mc_tls_handshake(client)
                try #require(result == 0 || result == MC_TLS_AGAIN)
                feed()
                if result == 0 { return }
                deliver()
            }
            Issue.record("no handshake")
        }

        /// What the client sent goes to the server.
        func feed() {
            var bytes = [UInt8](repeating: 0, count: 65536)
            while case let count = recv(theirs, &bytes, bytes.count, 0), count > 0 { tls_peer_feed(peer, bytes, count) }
            _ = tls_peer_read(peer, &bytes, bytes.count)
        }

        /// What the server has for the client goes to it.
        func deliver() {
            var bytes = [UInt8](repeating: 0, count: 65536)
            let count = tls_peer_take(peer, &bytes, bytes.count)
            if count > 0 { #expect(send(theirs, bytes, count, Int32(MSG_NOSIGNAL)) == count) }
        }

        func write(_ text: String) {
            #expect(tls_peer_write(peer, text, text.utf8.count))
            deliver()
        }

        func hangUp() {
            close(theirs)
            theirs = -1
        }

        /// Nil: nothing is there, or the connection broke.
        func receive() -> String? {
            var bytes = [UInt8](repeating: 0, count: 1000)
            var ahead = [UInt8](repeating: 0, count: 65536)
            let count = mc_tls_receive(client, &bytes, bytes.count, &ahead, ahead.count)
            return count < 0 ? nil : String(decoding: bytes[..<count], as: UTF8.self)
        }
    }

    private let certificates: Certificates

    init() throws { certificates = try Certificates() }

    private func contexts(minor: Int32 = 3) throws -> (client: OpaquePointer, server: OpaquePointer) {
        (
            try #require(mc_tls_context_new(certificates.authority, nil)),
            try #require(tls_peer_context_new(certificates.store, certificates.key, minor))
        )
    }

    /// In seconds.
    private static let lifetimes: [(authority: Int, store: Int)] = [(1800, 90_000), (90_000, 1200), (90_000, 90_000)]

    @Test(arguments: [Int32(2), 3], lifetimes)
    func `a chain of sessions ends with the first of its certificates, and after an hour at most`(
        minor: Int32, seconds: (authority: Int, store: Int)
    ) throws {
        let least = min(seconds.authority, seconds.store, Int(MC_TLS_SESSION_SECONDS))
        // The clock is read twice to tell how much of a certificate's life is left.
        let earliest = time(nil) + least - 1
        #expect(tls_peer_shorten(certificates.authority, certificates.authorityKey, seconds.authority))
        #expect(tls_peer_shorten(certificates.store, certificates.authorityKey, seconds.store))
        let (client, server) = try contexts(minor: minor)
        var session: OpaquePointer?
        var end = 0
        for number in 0..<3 {
            let wire = try Wire(client, server, session: session, end: end)
            mc_tls_session_free(session)
            try wire.shakeHands()
            wire.deliver()
            #expect(wire.receive() == nil)
            #expect(tls_peer_was_resumed(wire.peer) == (number > 0))
            session = mc_tls_take_session(wire.client)
            #expect(session != nil)
            if number == 0 {
                end = mc_tls_session_end(wire.client)
                #expect((earliest...time(nil) + least).contains(end))
            }
            #expect(mc_tls_session_end(wire.client) == end, "a resumption verifies nothing")
        }
        mc_tls_session_free(session)
    }

    /// 17 KB each. The growth is measured several times: other tests may allocate meanwhile.
    @Test func `idle connections hold no buffers, also after they were asked`() throws {
        let (client, server) = try contexts()
        let wires = try (0..<100).map { _ in try Wire(client, server) }
        for wire in wires {
            try wire.shakeHands()
            #expect(wire.receive() == nil)
        }
        func growth() -> (bytes: Int, areQuiet: Bool) {
            for wire in wires { mc_tls_rest(wire.client) }
            let before = tls_peer_heap_bytes()
            let areQuiet = wires.allSatisfy { mc_tls_is_quiet($0.client) }
            return (tls_peer_heap_bytes() - before, areQuiet)
        }
        let silent = (0..<20).map { _ in growth() }
        #expect(silent.allSatisfy { $0.areQuiet })
        #expect((silent.map(\.bytes).min() ?? 0) < 400_000)
        // Tickets that come late are taken, and leave no buffer either.
        for wire in wires { wire.deliver() }
        #expect(growth().areQuiet)
        let afterTickets = (0..<20).map { _ in growth() }
        #expect(afterTickets.allSatisfy { $0.areQuiet })
        #expect((afterTickets.map(\.bytes).min() ?? 0) < 400_000)
        for wire in wires {
            let session = mc_tls_take_session(wire.client)
            #expect(session != nil)
            mc_tls_session_free(session)
        }
    }

    @Test func `an idle connection is of no use after bytes, a goodbye or an end`() throws {
        let (client, server) = try contexts()
        for end in 0..<3 {
            let wire = try Wire(client, server)
            try wire.shakeHands()
            wire.deliver()
            mc_tls_rest(wire.client)
            #expect(mc_tls_is_quiet(wire.client))
            switch end {
            case 0: wire.write("unasked")
            case 1:
                tls_peer_say_goodbye(wire.peer)
                wire.deliver()
            default: wire.hangUp()
            }
            #expect(!mc_tls_is_quiet(wire.client))
        }
    }

    @Test func `an answer that came before the socket took no more is received`() throws {
        let (client, server) = try contexts()
        let wire = try Wire(client, server)
        try wire.shakeHands()
        wire.write("503")
        wire.hangUp()
        #expect(mc_tls_send(wire.client, "request", 7) == MC_TLS_FAILED)
        #expect(String(cString: mc_tls_problem(wire.client)).contains("SSL_write"))
        #expect(wire.receive() == "503")
        #expect(wire.receive() == nil)
        #expect(mc_tls_send(wire.client, "request", 7) == MC_TLS_FAILED)
    }
}
