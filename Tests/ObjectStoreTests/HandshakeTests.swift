import Foundation
import ObjectStore
import RangeTransfer
import Synchronization
import TestSupport
import Testing

/// Handshakes that break, and authorities that change. What the engine speaks itself (ranges) and what libcurl speaks
/// (HEAD) are asked alike. Needs the `openssl` command.
@Suite(.enabled(if: Certificates.areThere)) struct HandshakeTests {
    /// The server's doing in place of its part of the handshake.
    enum Fault: Sendable, Hashable {
        case reset, close
        /// https://www.rfc-editor.org/rfc/rfc8446#section-6
        case alert(UInt8)
        case plainHTTP

        /// Once the client has begun.
        func happens(on descriptor: Int32) {
            var hello = [UInt8](repeating: 0, count: 16384)
            _ = recv(descriptor, &hello, hello.count, 0)
            let line = Responder.Line(descriptor: descriptor)
            switch self {
            case .reset: line.resetOnClose()
            case .close: break
            case .alert(let number): line.write([21, 3, 3, 0, 2, 2, number])
            case .plainHTTP: line.write("HTTP/1.1 400 Bad Request\r\n\r\n")
            }
        }
    }

    private static let answer =
        Array(Fixture.rightHead.replacing("\r\n\r\n", with: "\r\nConnection: close\r\n\r\n").utf8) + Fixture.body
    private static let headAnswer =
        Array("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\nETag: \"tag\"\r\nConnection: close\r\n\r\n".utf8)

    private let certificates: Certificates

    init() throws { certificates = try Certificates() }

    /// Closes each connection after its one answer, so that every request makes a handshake.
    private func responder(
        _ answer: [UInt8] = HandshakeTests.answer, greeting: @escaping SecureResponder.Greeting = { _, _ in true },
        before: @escaping @Sendable (SecureResponder.Line) -> Void = { _ in }
    ) throws -> SecureResponder {
        let answers: SecureResponder.Handler = { _, line in
            before(line)
            line.write(answer)
            line.send(line.goodbye())
            return false
        }
        return try SecureResponder(certificates, answers, greeting: greeting)
    }

    private static func trust(_ authority: String, in file: String) throws {
        try Data(contentsOf: URL(fileURLWithPath: authority)).write(to: URL(fileURLWithPath: file), options: .atomic)
    }

    /// Several at once.
    private static func fetches(_ count: Int, by client: StoreClient) async -> [StoreError?] {
        await withTaskGroup(of: StoreError?.self) { group in
            for _ in 0..<count { group.addTask { await client.fetch().error } }
            return await group.reduce(into: []) { $0.append($1) }
        }
    }

    private static func headError(_ client: StoreClient) async -> StoreError? {
        do {
            _ = try await client.head("models/a")
            return nil
        } catch {
            return error
        }
    }

    @Test(arguments: [Fault.reset, .close, .alert(80)])
    func `a handshake that breaks can be tried again`(fault: Fault) async throws {
        let greeting: SecureResponder.Greeting = { number, descriptor in
            if number == 0 { fault.happens(on: descriptor) }
            return number > 0
        }
        let engine = try Fixture.engine(threads: 1, authorityFile: certificates.authority)
        let ranges = try Fixture.client(try responder(greeting: greeting).endpoint, engine: engine)
        let error = await ranges.fetch().error
        #expect(error?.kind == .connectionLost && error?.isRetryable == true && error?.isBeforeRequest == true, "\(error as Any)")
        #expect(await ranges.fetch().error == nil)
        let heads = try Fixture.client(try responder(Self.headAnswer, greeting: greeting).endpoint, engine: engine)
        let headError = await Self.headError(heads)
        #expect(headError?.kind == .connectionLost && headError?.isRetryable == true, "\(headError as Any)")
        #expect(await Self.headError(heads) == nil)
    }

    @Test(arguments: [Fault.alert(70), .alert(40), .plainHTTP])
    func `no common version, or no TLS, is permanent`(fault: Fault) async throws {
        let responder = try responder(greeting: { _, descriptor in
            fault.happens(on: descriptor)
            return false
        })
        let client = try Fixture.client(
            responder.endpoint, engine: try Fixture.engine(authorityFile: certificates.authority))
        for error in [await client.fetch().error, await Self.headError(client)] {
            #expect(error?.kind == .tls && error?.isRetryable == false, "\(error as Any)")
        }
    }

    /// Whatever a server says to a session, it may take a complete handshake; and the origin's other sessions are no
    /// better than the one.
    @Test(arguments: [Fault.reset, .close, .alert(80), .alert(40), .alert(70)])
    func `after a refused session the next handshake is a complete one`(fault: Fault) async throws {
        let resumed = Mutex<[Bool]>([])
        let gate = Gate(2)
        let responder = try responder(
            greeting: { number, descriptor in
                if number == 2 { fault.happens(on: descriptor) }
                return number != 2
            },
            before: { line in
                let count = resumed.withLock { resumed in
                    resumed.append(line.isResumed)
                    return resumed.count
                }
                if count <= 2 { gate.arrive("") }
            })
        let client = try Fixture.client(
            responder.endpoint, engine: try Fixture.engine(threads: 1, authorityFile: certificates.authority))
        // Side by side, so that two sessions are there.
        #expect(await Self.fetches(2, by: client).allSatisfy { $0 == nil })
        let error = await client.fetch().error
        #expect(error?.kind == .connectionLost && error?.isRetryable == true, "\(error as Any)")
        #expect(await client.fetch().error == nil)
        #expect(resumed.withLock { $0 } == [false, false, false])
    }

    @Test func `libcurl's requests take authorities that were replaced, too`() async throws {
        let file = certificates.folder.file("trusted.pem")
        try Self.trust(certificates.authority, in: file)
        // Without a folder libcurl has a cache of authorities.
        for verifiesHostName in [true, false] {
            let engine = try Fixture.engine(threads: 1, authorityFile: file, verifiesHostName: verifiesHostName)
            let client = try Fixture.client(try responder(Self.headAnswer).endpoint, engine: engine)
            #expect(await Self.headError(client) == nil)
            try Self.trust(certificates.stranger, in: file)
            #expect(await Self.headError(client)?.kind == .tls)
            try Self.trust(certificates.authority, in: file)
            #expect(await Self.headError(client) == nil)
        }
    }

    @Test func `an authority's file in a folder that is written anew counts, whatever session there is`() async throws {
        let trusted = try certificates.trusting(certificates.authority)
        let engine = try Fixture.engine(
            threads: 1, authorityFile: certificates.stranger, authorityFolder: trusted.folder)
        let client = try Fixture.client(try responder().endpoint, engine: engine)
        func write(_ authority: String) throws {
            try Data(contentsOf: URL(fileURLWithPath: authority)).write(to: URL(fileURLWithPath: trusted.file))
        }
        #expect(await client.fetch().error == nil)
        try write(certificates.stranger)
        try await eventually("the authority is not trusted") { await client.fetch().error?.kind == .tls }
        try write(certificates.authority)
        try await eventually("it is again") { await client.fetch().error == nil }
    }

    @Test func `where the name is not verified no folder is trusted, of either's requests`() async throws {
        let trusted = try certificates.trusting(certificates.authority)
        for verifiesHostName in [true, false] {
            let engine = try Fixture.engine(
                authorityFile: certificates.stranger, authorityFolder: trusted.folder, verifiesHostName: verifiesHostName)
            let ranges = try Fixture.client(try responder().endpoint, engine: engine)
            #expect(await ranges.fetch().error?.kind == (verifiesHostName ? nil : .tls))
            let heads = try Fixture.client(try responder(Self.headAnswer).endpoint, engine: engine)
            #expect(await Self.headError(heads)?.kind == (verifiesHostName ? nil : .tls))
        }
    }

    /// Sessions are stored, taken and dropped by all threads at once.
    @Test func `threads share sessions, and never beyond the authorities that vouch for them`() async throws {
        let resumptions = Atomic<Int>(0)
        let responder = try responder(before: { line in
            if line.isResumed { resumptions.wrappingAdd(1, ordering: .relaxed) }
        })
        let (file, authority, stranger) = (
            certificates.folder.file("trusted.pem"), certificates.authority, certificates.stranger
        )
        try Self.trust(authority, in: file)
        let client = try Fixture.client(
            responder.endpoint, engine: try Fixture.engine(threads: 4, authorityFile: file))
        for round in 0..<4 {
            for _ in 0..<2 {
                let errors = await Self.fetches(24, by: client)
                #expect(errors.allSatisfy { $0 == nil }, "round \(round): \(errors)")
            }
            // The same authority, written again and again: its sessions are dropped each time.
            async let underWay = Self.fetches(24, by: client)
            for _ in 0..<20 { try Self.trust(authority, in: file) }
            let rewritten = await underWay
            #expect(rewritten.allSatisfy { $0 == nil }, "round \(round): \(rewritten)")
            async let surprised = Self.fetches(24, by: client)
            try Self.trust(stranger, in: file)
            let meanwhile = await surprised
            #expect(meanwhile.allSatisfy { $0 == nil || $0?.kind == .tls }, "round \(round): \(meanwhile)")
            let answered = responder.requests
            let afterwards = await Self.fetches(24, by: client)
            #expect(afterwards.allSatisfy { $0?.kind == .tls }, "round \(round): \(afterwards)")
            #expect(responder.requests == answered, "round \(round)")
            try Self.trust(authority, in: file)
        }
        #expect(resumptions.load(ordering: .relaxed) > 0)
    }
}
