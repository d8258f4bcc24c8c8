// Why not `curl_easy_recv` and `curl_easy_send`, which need no duplicate of libcurl's socket: over TLS one call returns
// one record, of 16 KiB at most, out of a read that libcurl makes for OpenSSL. That is the cost that this connection is
// here to avoid. `TLSShim` reads as much from the socket as the caller's buffer still holds, into memory that all
// connections of a thread share, and OpenSSL decrypts it to where it belongs. libcurl would also keep an easy handle
// for each idle connection, and would end sessions and authorities at times of its own (`TLSTrust`). So libcurl
// resolves, chooses the source address and connects; from then on the socket is ours.
import CurlShim
import Glibc
import LinuxShim
import TLSShim
import TextCoding

/// A connection that libcurl made and that the engine speaks on itself, in TLS where the URL says so: ranged GETs. Of
/// one worker's thread.
///
/// libcurl hands a body out 16 KiB at a time from a buffer of its own; here the kernel, or OpenSSL, writes it where it
/// belongs.
struct DirectConnection {
    /// The result of a read or write.
    enum Outcome {
        /// 0 of a read: the server has closed.
        case bytes(Int)
        /// Not now: wait for the socket.
        case again
        /// In words.
        case failed(String)
    }

    /// Why a handshake is not done.
    enum HandshakeProblem {
        case again
        /// The certificate; in words.
        case untrusted(String)
        /// Nothing in common, or no TLS at the other end; in words.
        case mismatch(String)
        /// The connection broke, or the server did not like the session; in words.
        case failed(String)
    }

    let descriptor: Int32
    /// Nil: plain HTTP.
    private let tls: OpaquePointer?
    let origin: DirectOrigin
    /// Index into the source addresses.
    let source: Int
    let localAddress: String
    let remoteAddress: String

    /// Takes over the socket of a finished CONNECT_ONLY transfer that still is in its multi handle: a duplicate, since
    /// libcurl closes its own. Nil when there is none, no descriptor is free, or the authorities cannot be read.
    init?(of handle: UnsafeMutableRawPointer, origin: DirectOrigin, source: Int, trust: TLSTrust) {
        let theirs = mc_curl_active_socket(handle)
        guard theirs >= 0 else { return nil }
        let ours = fcntl(theirs, F_DUPFD_CLOEXEC, 0)
        guard ours >= 0 else { return nil }
        if origin.isSecure {
            guard let opened = trust.open(ours, to: origin) else {
                close(ours)
                return nil
            }
            tls = opened
        } else {
            tls = nil
        }
        _ = fcntl(ours, F_SETFL, fcntl(ours, F_GETFL) | O_NONBLOCK)
        // Requests and acknowledgements go before what this node uploads to others: behind it they would wait for as
        // long as the uplink's queue is, and so would every answer.
        mc_mark_urgent(ours)
        descriptor = ours
        self.origin = origin
        self.source = source
        localAddress = mc_curl_string(handle, CURLINFO_LOCAL_IP).map { String(cString: $0) } ?? ""
        remoteAddress = mc_curl_string(handle, CURLINFO_PRIMARY_IP).map { String(cString: $0) } ?? ""
    }

    var isSecure: Bool { tls != nil }

    /// Bytes that may lie in this process while poll(2) finds the socket silent.
    var readAheadBytes: UInt64 { tls == nil ? 0 : UInt64(MC_TLS_RECORD_BYTES) }

    /// Whether `receive` has something to say although the socket may be silent.
    var hasMore: Bool { tls.map(mc_tls_has_more) ?? false }

    /// Whether a read or handshake waits until the socket can be written.
    var wantsOutput: Bool { tls.map(mc_tls_wants_output) ?? false }

    /// Goes on with TLS' handshake. Nil: the connection stands. `again`: wait for the socket.
    func shakeHands() -> HandshakeProblem? {
        guard let tls else { return nil }
        switch mc_tls_handshake(tls) {
        case 0: return nil
        case MC_TLS_AGAIN: return .again
        case MC_TLS_UNTRUSTED: return .untrusted(problem(tls))
        case MC_TLS_MISMATCH: return .mismatch(problem(tls))
        default: return .failed(problem(tls))
        }
    }

    func send(_ bytes: UnsafeRawBufferPointer) -> Outcome {
        if let tls { return outcome(mc_tls_send(tls, bytes.baseAddress, bytes.count), tls) }
        return Self.repeated { Glibc.send(descriptor, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL)) }
            ?? .failed("Send failure: \(String(cString: strerror(errno)))")
    }

    /// Fills a head of `space`. Fewer bytes than it holds: the socket was empty, or `hasMore`. `ahead` is for encrypted
    /// bytes, within the call.
    func receive(into space: UnsafeMutableRawBufferPointer, by ahead: UnsafeMutableRawBufferPointer) -> Outcome {
        if let tls {
            return outcome(mc_tls_receive(tls, space.baseAddress, space.count, ahead.baseAddress, ahead.count), tls)
        }
        return Self.repeated { recv(descriptor, space.baseAddress, space.count, 0) }
            ?? .failed("Recv failure: \(String(cString: strerror(errno)))")
    }

    private func outcome(_ count: Int, _ tls: OpaquePointer) -> Outcome {
        if count >= 0 { return .bytes(count) }
        return count == MC_TLS_AGAIN ? .again : .failed(problem(tls))
    }

    private func problem(_ tls: OpaquePointer) -> String { String(cString: mc_tls_problem(tls)) }

    /// Nil for an error, which is in errno.
    private static func repeated(_ call: () -> Int) -> Outcome? {
        while true {
            let count = call()
            if count >= 0 { return .bytes(count) }
            if errno == EAGAIN { return .again }
            if errno != EINTR { return nil }
        }
    }

    /// A session that another connection to the origin may resume, which the caller frees, and its end in seconds
    /// since 1970.
    func takeSession() -> (session: OpaquePointer, end: Int)? {
        guard let tls, let session = mc_tls_take_session(tls) else { return nil }
        return (session, mc_tls_session_end(tls))
    }

    /// The authorities by which its server was verified; nil without TLS.
    var trustContext: OpaquePointer? { tls.flatMap(mc_tls_context_of) }

    /// Frees what only a connection at work needs.
    func rest() { if let tls { mc_tls_rest(tls) } }

    /// Whether an idle connection can carry a request: the server neither closed it nor sent what nobody asked for.
    var isQuiet: Bool {
        if let tls { return mc_tls_is_quiet(tls) }
        var byte: UInt8 = 0
        return recv(descriptor, &byte, 1, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT)) < 0 && errno == EAGAIN
    }

    func end() {
        if let tls { mc_tls_end(tls) }
        // The duplicate alone would leave the connection open, had libcurl kept its own.
        shutdown(descriptor, Int32(SHUT_RDWR))
        close(descriptor)
    }
}

/// Where a URL leads.
struct DirectOrigin: Hashable {
    /// HTTPS.
    let isSecure: Bool
    /// `host[:port]`, as in the URL.
    let authority: String
    /// An IPv6 address without brackets.
    let host: String
    private let port: UInt16

    /// Authority and target of a URL that may be spoken directly, nil for another.
    static func parse(_ url: String) -> (origin: DirectOrigin, target: Substring)? {
        let isSecure = url.hasPrefix("https://")
        guard isSecure || url.hasPrefix("http://") else { return nil }
        let rest = url.dropFirst(isSecure ? 8 : 7)
        guard let slash = rest.utf8.firstIndex(of: 0x2f), slash > rest.startIndex, !rest[..<slash].utf8.contains(0x40),
            // libcurl turns other letters into the ones that certificates have.
            rest[..<slash].utf8.allSatisfy({ $0 < 0x80 }), let place = HostPort(rest[..<slash])
        else { return nil }
        let origin = DirectOrigin(
            isSecure: isSecure, authority: String(rest[..<slash]), host: place.host,
            port: place.port ?? (isSecure ? 443 : 80))
        return (origin, rest[slash...])
    }

    /// For libcurl, which makes the connection; TLS is the engine's own.
    var url: String { "http://\(host.contains(":") ? "[\(host)]" : host):\(port)/" }

    /// The request as it goes over the wire. Header lines are `name: value`; one without a value is left out, as
    /// libcurl does.
    func request(target: Substring, headers: [String]) -> [UInt8] {
        var text = "GET \(target) HTTP/1.1\r\n"
        if !headers.contains(where: { $0.lowercased().hasPrefix("host:") }) { text += "Host: \(authority)\r\n" }
        for line in headers where !line.hasSuffix(":") { text += "\(line)\r\n" }
        return Array((text + "\r\n").utf8)
    }
}

/// A worker's idle direct connections.
struct DirectIdle {
    private struct Key: Hashable {
        let origin: DirectOrigin
        let source: Int
    }

    private var idle: [Key: [(connection: DirectConnection, since: ContinuousClock.Instant)]] = [:]
    private var count = 0

    /// As libcurl's own pool is set: CURLMOPT_MAXCONNECTS and the default of CURLOPT_MAXAGE_CONN.
    static let maximum = 512
    private static let maximumAge = Duration.seconds(118)

    /// The connection used last, if one is still good.
    mutating func take(_ origin: DirectOrigin, source: Int, now: ContinuousClock.Instant) -> DirectConnection? {
        let key = Key(origin: origin, source: source)
        while let (connection, since) = idle[key]?.popLast() {
            count -= 1
            if since.duration(to: now) < Self.maximumAge, connection.isQuiet { return connection }
            connection.end()
        }
        return nil
    }

    mutating func give(_ connection: DirectConnection, now: ContinuousClock.Instant) {
        guard count < Self.maximum else { return connection.end() }
        connection.rest()
        count += 1
        idle[Key(origin: connection.origin, source: connection.source), default: []].append((connection, now))
    }

    /// Closes what has been idle for too long or was closed by the server.
    mutating func prune(now: ContinuousClock.Instant) {
        guard count > 0 else { return }
        for (key, list) in idle {
            let kept = list.filter { $0.since.duration(to: now) < Self.maximumAge && $0.connection.isQuiet }
            guard kept.count < list.count else { continue }
            let keptDescriptors = Set(kept.map(\.connection.descriptor))
            for entry in list where !keptDescriptors.contains(entry.connection.descriptor) { entry.connection.end() }
            count -= list.count - kept.count
            idle[key] = kept.isEmpty ? nil : kept
        }
    }

    mutating func drain() {
        for list in idle.values { for entry in list { entry.connection.end() } }
        idle = [:]
        count = 0
    }
}
