import Checksum
import ChunkStore
import Foundation
import Glibc
import Logging
import Swarm
import TestSupport
import Testing
import Transfer

/// A node that serves one model, whose bytes are all there.
final class ServingNode {
    static let secret = Array("a secret of thirty-two bytes, at least".utf8)

    let cache: FakeCache
    let swarm: Swarm
    let shared: SharedModel
    let net: ModelSwarm
    var bytes: [UInt8] { cache.contents["a"] ?? [] }

    /// - Parameter held: whether the blocks are announced as held; else they are absent, though their bytes are there.
    init(_ folder: TemporaryFolder, bytes: Int, medium: MediumOptions.Preference, held: Bool = true) async throws {
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        cache = try FakeCache(folder: folder.file("cache"), files: ["a": bytes], medium: medium)
        await ModelFill(
            model: cache.model, source: FakeSource(cache.contents), pool: StagingPool(limitBytes: 16 << 20),
            limits: FillLimits(maximumTransfers: 4), logger: logger
        ).run()
        try "".write(toFile: folder.file("peers"), atomically: true, encoding: .utf8)
        swarm = try Swarm(
            SwarmConfiguration(peers: .file(folder.file("peers")), listen: PeerAddress(host: "127.0.0.1", port: 0)),
            secrets: { [ServingNode.secret] }, logger: logger)
        try await swarm.start()
        shared = SharedModel(cache.model)
        net = swarm.join(shared)
        if held { for block in 0..<shared.layout.count { hold(block) } }
    }

    func hold(_ block: Int) {
        let range = shared.layout.place(of: block).range
        let part = Array(bytes[Int(range.lowerBound)..<Int(range.upperBound)])
        shared.hold(block, digest: mc_crc64(0, part, part.count))
    }

    func close() async {
        swarm.leave(net)
        await swarm.shutDown()
        cache.root.close()
    }
}

/// One connection to a node, whose bytes are written and read by hand.
final class RawPeer {
    private let connection: Int32
    private let shared: SharedModel?
    private var received: [UInt8] = []

    convenience init(_ node: ServingNode) throws { try self.init(port: node.swarm.port, shared: node.shared) }

    /// - Parameter shared: the model to ask for.
    init(port: Int, shared: SharedModel? = nil) throws {
        self.shared = shared
        connection = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        // So small that an upload cannot end in it.
        var size: Int32 = 64 << 10
        setsockopt(connection, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(connection, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
        try #require(result == 0)
    }

    deinit { close(connection) }

    func ask(_ method: String, _ rest: String, _ range: Range<Int>? = nil, authorization: String? = nil, headers: [String] = []) {
        let key = SwarmKey(secret: ServingNode.secret)
        guard let shared else { preconditionFailure("a question names a model") }
        let id = key.modelID(shared.identity)
        let token = key.authorization(modelID: id, now: Int64(Date.now.timeIntervalSince1970))
        var text = "\(method) /swarm/v1/models/\(id)/\(rest) HTTP/1.1\r\nHost: x\r\nAuthorization: \(authorization ?? token)\r\n"
        if let range { text += "Range: bytes=\(range.lowerBound)-\(range.upperBound - 1)\r\n" }
        for header in headers { text += header + "\r\n" }
        write(Array((text + "\r\n").utf8))
    }

    func write(_ bytes: [UInt8]) { _ = send(connection, bytes, bytes.count, Int32(MSG_NOSIGNAL)) }

    func get(_ range: Range<Int>) { ask("GET", "files/0", range) }

    /// False: the node ended the connection.
    private func receive() throws -> Bool {
        var buffer = [UInt8](repeating: 0, count: 256 << 10)
        var waited = pollfd(fd: connection, events: Int16(POLLIN), revents: 0)
        try #require(poll(&waited, 1, 60_000) == 1, "the node says nothing")
        let count = recv(connection, &buffer, buffer.count, 0)
        guard count > 0 else { return false }
        received += buffer.prefix(count)
        return true
    }

    /// Status of the next response; nil: the node ended the connection.
    func head() throws -> Int? {
        while true {
            if let end = received.firstRange(of: Array("\r\n\r\n".utf8)) {
                let head = String(decoding: received[..<end.lowerBound], as: UTF8.self)
                received.removeSubrange(..<end.upperBound)
                return Int(head.split(separator: " ")[1])
            }
            guard try receive() else { return nil }
        }
    }

    /// So many bytes of a body, or those that came before the node ended the connection.
    func body(_ count: Int) throws -> [UInt8] {
        while received.count < count { guard try receive() else { break } }
        defer { received.removeSubrange(..<min(count, received.count)) }
        return Array(received.prefix(count))
    }
}
