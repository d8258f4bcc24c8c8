import AgentAPI
import ChunkStore
import DevStore
import Foundation
import Glibc
import Logging
import Models
import Sessions
import Synchronization
import TestSupport
import Testing

/// An agent's socket with all that is behind it, but for the status.
private final class World: Sendable {
    let folder: TemporaryFolder
    let server: SessionServer
    let registry: ModelRegistry
    let ended = DispatchSemaphore(value: 0)
    var socket: String { folder.file("agent.sock") }

    init() throws {
        folder = try TemporaryFolder("sessions")
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        for name in ["root", "volume", "volume/.modelcache"] {
            try FileManager.default.createDirectory(atPath: folder.file(name), withIntermediateDirectories: true)
        }
        let options = RegistryOptions(root: folder.file("root"), receiveThreads: 1)
        registry = ModelRegistry(
            options: options, root: try CacheDirectory(root: options.root, .models, medium: MediumOptions(preference: .directory)),
            logger: logger, audit: AuditLog(nil))
        server = try SessionServer(path: folder.file("agent.sock"), logger: logger)
        let sessions = ModelSessions(registry: registry, callers: NoCaches(), faultDevice: FaultDevice(-1), logger: logger) {
            AgentStatus(
                version: "test", processID: getpid(), root: "", medium: "", uptimeSeconds: 0, budgetBytes: 0, cachedBytes: 0,
                inFlightLimitBytes: 0, inFlightBytes: 0, sessions: 0, models: [])
        }
        Thread.detachNewThread { [server, ended] in
            server.run(handler: sessions)
            ended.signal()
        }
    }

    func settings(port: Int, key: String = "k") -> [String: String] {
        [
            "OSS_PATH": "oss://models/m/", "OSS_ENDPOINT": "http://127.0.0.1:\(port)", "OSS_ACCESS_KEY_ID": key,
            "OSS_ACCESS_KEY_SECRET": "s",
        ]
    }

    func close() async {
        server.stop()
        try? await onThread { [ended] in ended.wait() }
        await registry.close()
    }
}

/// The agent's own socket asks no gate.
private struct NoCaches: CallerGate {
    func admit(
        token: String?, to current: @Sendable () async -> CacheDefinition?, waits: @Sendable () -> Void
    ) async throws(AgentFailure) -> AdmittedCaller? { nil }
    func admit(roleToken: String, to definition: CacheDefinition) async throws(AgentFailure) -> Int64? { nil }
}

/// One connection to the agent, packet by packet.
private final class Client {
    private let descriptor: Int32

    init(_ path: String) throws {
        descriptor = socket(AF_UNIX, Int32(SOCK_SEQPACKET.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8) + [0]) }
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
        try #require(result == 0)
    }

    deinit { close(descriptor) }

    func send(_ packet: Packet) { send(packet.encoded) }

    /// An agent that has turned the client away may have closed the connection already.
    func send(_ bytes: [UInt8]) { _ = Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) }

    /// The next packet; nil: the agent ended the conversation.
    func receive() async throws -> Packet? {
        let bytes = try await onThread { [descriptor] in
            var buffer = [UInt8](repeating: 0, count: Packet.maximumBytes)
            var waited = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            try #require(poll(&waited, 1, 60_000) == 1, "the agent says nothing")
            let count = recv(descriptor, &buffer, buffer.count, 0)
            return Array(buffer.prefix(max(0, count)))
        }
        return bytes.isEmpty ? nil : try Packet(decoding: bytes)
    }

    func error() async throws -> (code: UInt32, message: String)? {
        if case .error(let code, let message) = try await receive() { (code, message) } else { nil }
    }
}

/// A store that takes requests and says nothing, until ``refuse()``.
private final class SilentStore: Sendable {
    private struct State {
        var waiting: [Int32] = []
        var refuses = false
    }
    private let listener: Int32
    private let state = Mutex(State())
    let port: Int

    init() throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isListening = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, length) == 0 && listen(listener, 1024) == 0 && getsockname(listener, $0, &length) == 0
            }
        }
        try #require(isListening)
        self.listener = listener
        port = Int(UInt16(bigEndian: address.sin_port))
        Thread.detachNewThread { [self] in
            while true {
                let connection = accept(listener, nil, nil)
                guard connection >= 0 else { return }
                Thread.detachNewThread { self.serve(connection) }
            }
        }
    }

    var requests: Int { state.withLock { $0.waiting.count } }

    private func serve(_ connection: Int32) {
        var request: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = read(connection, &buffer, buffer.count)
            guard count > 0 else { return }
            request += buffer.prefix(count)
            guard request.suffix(4) == [13, 10, 13, 10] else { continue }
            request = []
            let refuses = state.withLock { state in
                if !state.refuses { state.waiting.append(connection) }
                return state.refuses
            }
            if refuses { Self.refuse(connection) }
        }
    }

    /// From now on every request is refused at once, those that wait among them.
    func refuse() {
        let waiting = state.withLock { state in
            state.refuses = true
            defer { state.waiting = [] }
            return state.waiting
        }
        for connection in waiting { Self.refuse(connection) }
    }

    private static func refuse(_ connection: Int32) {
        let answer = Array("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".utf8)
        _ = Glibc.send(connection, answer, answer.count, Int32(MSG_NOSIGNAL))
    }

    func close() { shutdown(listener, Int32(SHUT_RDWR)) }
}

@Suite struct SessionServerTests {
    @Test func `a client that asks and leaves over and over has no more openings under way than one that stays`() async throws {
        let world = try World()
        let store = try SilentStore()
        for number in 0..<SessionCensus.mostOfProcess {
            let client = try Client(world.socket)
            client.send(.open(settings: world.settings(port: store.port, key: "key-\(number)")))
            try await eventually("the store is asked") { store.requests == number + 1 }
        }
        try await eventually("the clients are gone") { world.server.sessionCount == 0 }
        let refused = try #require(try await Client(world.socket).error())
        #expect(refused.code == AgentFailure.Code.capacity.rawValue && refused.message.contains("process \(getpid()) has \(SessionCensus.mostOfProcess)"))
        // The openings end, and with them their places.
        store.refuse()
        try await eventually("there is a place") {
            let client = try Client(world.socket)
            client.send(.subscribe)
            return try await client.error()?.code == AgentFailure.Code.protocol.rawValue
        }
        store.close()
        await world.close()
    }

    @Test func `a store that is lost during an opening is an error for its client alone`() async throws {
        let world = try World()
        let store = try SilentStore()
        let (waiting, other) = (try Client(world.socket), try Client(world.socket))
        waiting.send(.open(settings: world.settings(port: store.port)))
        try await eventually("the store is asked") { store.requests == 1 }
        // Its opening goes on, so the other one's question is answered before.
        other.send(.control(json: Array("{\"status\":{}}".utf8)))
        guard case .control = try await other.receive() else {
            Issue.record("no status")
            return
        }
        store.refuse()
        let error = try #require(try await waiting.error())
        #expect(error.code == AgentFailure.Code.denied.rawValue, "\(error)")
        #expect(try await waiting.receive() == nil)
        other.send(.control(json: Array("{\"status\":{}}".utf8)))
        guard case .control = try await other.receive() else {
            Issue.record("no status")
            return
        }
        store.close()
        await world.close()
    }

    @Test func `a client that leaves while its opening goes on holds nothing afterwards`() async throws {
        let world = try World()
        let bucket = world.folder.file("bucket/m")
        try FileManager.default.createDirectory(atPath: bucket, withIntermediateDirectories: true)
        try Data(repeating: 7, count: 3 << 20).write(to: URL(filePath: bucket + "/x"))
        var configuration = StoreConfiguration()
        configuration.buckets = [try #require(BucketTree(name: "models", directory: world.folder.file("bucket")))]
        let store = StoreServer(service: StoreService(configuration), threads: 1, bandwidth: nil, accessLog: nil)
        let port = try await store.listen(host: "127.0.0.1", port: 0)
        let settings = ["OSS_PATH": "oss://models/m/", "OSS_ENDPOINT": "http://127.0.0.1:\(port)"]
        for round in 0..<20 {
            let client = try Client(world.socket)
            client.send(.open(settings: settings))
            if round % 2 == 1 {
                guard case .opened = try await client.receive() else {
                    Issue.record("not opened")
                    return
                }
                client.send(.subscribe)
                client.send(.demand(file: 0, offset: 0, length: 1))
            }
        }
        try await eventually("the model is complete and nobody uses it") {
            let statuses = await world.registry.modelStatuses
            return statuses.count == 1 && statuses[0].phase == .complete && statuses[0].users == 0
        }
        // Without force: nobody is in the way.
        let id = try #require(await world.registry.modelStatuses.first?.id)
        #expect(try await world.registry.evict(id, force: false) == [id])
        await world.close()
        await store.shutDown()
    }

    @Test func `what is no packet, and what is none of the client's, is answered once and ends that client alone`() async throws {
        let world = try World()
        let other = try Client(world.socket)
        for bytes in [[UInt8](repeating: 9, count: 40), [1], Packet.notice.encoded, Packet.demand(file: 0, offset: 0, length: 1).encoded] {
            let client = try Client(world.socket)
            client.send(bytes)
            #expect(try await client.error()?.code == AgentFailure.Code.protocol.rawValue)
            #expect(try await client.receive() == nil)
        }
        let store = try SilentStore()
        let twice = try Client(world.socket)
        for _ in 0..<2 { twice.send(.open(settings: world.settings(port: store.port))) }
        #expect(try await twice.error()?.message.contains("a second open") == true)
        #expect(try await twice.receive() == nil)
        other.send(.control(json: Array("{\"status\":{}}".utf8)))
        guard case .control = try await other.receive() else {
            Issue.record("no status")
            return
        }
        store.refuse()
        store.close()
        await world.close()
    }

    @Test func `a cache's socket that is closed ends its clients, and the agent's own go on`() async throws {
        let world = try World()
        let path = world.folder.file("volume/.modelcache/agent.sock")
        try world.server.listen(at: path, forCache: "u")
        let (own, cache) = (try Client(world.socket), try Client(path))
        try await eventually("both are there") { world.server.sessionCount == 2 }
        world.server.close(cache: "u")
        #expect(try await cache.receive() == nil)
        #expect(!FileManager.default.fileExists(atPath: path))
        own.send(.control(json: Array("{\"status\":{}}".utf8)))
        guard case .control = try await own.receive() else {
            Issue.record("no status")
            return
        }
        // At the end every client reads end of file, and nothing listens.
        await world.close()
        #expect(try await own.receive() == nil)
        #expect(!FileManager.default.fileExists(atPath: world.socket))
    }
}
