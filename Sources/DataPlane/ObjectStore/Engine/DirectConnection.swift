import CurlShim
import Glibc
import LinuxShim

/// A connection that libcurl made and that the engine speaks on itself: plain HTTP, ranged GETs. Of one worker's thread.
///
/// libcurl hands a body out in pieces of 16 KiB from a buffer of its own; here the kernel writes it where it belongs.
struct DirectConnection {
    let descriptor: Int32
    let origin: DirectOrigin
    /// Index into the source addresses.
    let source: Int
    let localAddress: String
    let remoteAddress: String

    /// Takes over the socket of a finished CONNECT_ONLY transfer that still is in its multi handle: a duplicate, since libcurl
    /// closes its own. Nil when there is none or no descriptor is free.
    init?(of handle: UnsafeMutableRawPointer, origin: DirectOrigin, source: Int) {
        let theirs = mc_curl_active_socket(handle)
        guard theirs >= 0 else { return nil }
        let ours = fcntl(theirs, F_DUPFD_CLOEXEC, 0)
        guard ours >= 0 else { return nil }
        _ = fcntl(ours, F_SETFL, fcntl(ours, F_GETFL) | O_NONBLOCK)
        // Requests and acknowledgements go before what this node uploads to others: behind it they would wait for as long as the
        // uplink's queue is, and so would every answer.
        mc_mark_urgent(ours)
        descriptor = ours
        self.origin = origin
        self.source = source
        localAddress = mc_curl_string(handle, CURLINFO_LOCAL_IP).map { String(cString: $0) } ?? ""
        remoteAddress = mc_curl_string(handle, CURLINFO_PRIMARY_IP).map { String(cString: $0) } ?? ""
    }

    /// Whether an idle connection can carry a request: the server neither closed it nor sent what nobody asked for.
    var isQuiet: Bool {
        var byte: UInt8 = 0
        return recv(descriptor, &byte, 1, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT)) < 0 && errno == EAGAIN
    }

    func end() {
        // The duplicate alone would leave the connection open, had libcurl kept its own.
        shutdown(descriptor, Int32(SHUT_RDWR))
        close(descriptor)
    }
}

/// Where a plain `http://` URL leads.
struct DirectOrigin: Hashable {
    /// `host[:port]`, as in the URL.
    let authority: String

    /// Authority and target of a URL that may be spoken directly, nil for another.
    static func parse(_ url: String) -> (origin: DirectOrigin, target: Substring)? {
        guard url.hasPrefix("http://") else { return nil }
        let rest = url.dropFirst(7)
        guard let slash = rest.utf8.firstIndex(of: 0x2f), slash > rest.startIndex, !rest[..<slash].utf8.contains(0x40) else { return nil }
        return (DirectOrigin(authority: String(rest[..<slash])), rest[slash...])
    }

    /// For libcurl, which makes the connection.
    var url: String { "http://\(authority)/" }

    /// The request as it goes over the wire. Header lines are `name: value`; one without a value is left out, as libcurl does.
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
