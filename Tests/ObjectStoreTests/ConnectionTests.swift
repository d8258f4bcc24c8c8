import Foundation
import ObjectStore
import Testing
import TextCoding

/// Connections that cannot be made, stall, are cancelled, or must leave from given addresses.
@Suite struct ConnectionTests {
    @Test func `a port where nothing listens is a refused connection`() async throws {
        // Bound, so that no other test listens there meanwhile.
        let (socket, port) = try Responder.bindLoopback()
        defer { close(socket) }
        let error = try await Fixture.client("http://127.0.0.1:\(port)").fetch().error
        #expect(error?.kind == .connectionRefused)
        #expect(error?.description.contains("127.0.0.1:\(port) refuses connections") == true)
    }

    @Test func `a name that does not exist is told as such`() async throws {
        let error = try await Fixture.client("http://store.invalid").fetch().error
        #expect(error?.kind == .nameResolution)
    }

    @Test func `a body that stops is stalled`() async throws {
        let responder = try Responder { _, line in
            line.write(Fixture.rightHead + "some")
            line.waitForClose()
            return false
        }
        let engine = try Fixture.engine(stallTimeout: .seconds(1))
        let error = try await Fixture.client(responder.endpoint, engine: engine).fetch().error
        #expect(error?.kind == .stalled)
    }

    @Test func `an answer that never begins is stalled`() async throws {
        let responder = try Responder { _, line in
            line.waitForClose()
            return false
        }
        let engine = try Fixture.engine(stallTimeout: .seconds(1))
        let error = try await Fixture.client(responder.endpoint, engine: engine).fetch().error
        #expect(error?.kind == .stalled)
    }

    @Test func `a TLS handshake that hangs is a connect time-out`() async throws {
        // The responder takes the connection and waits for a request that never comes in clear text.
        let responder = try Responder { _, _ in false }
        let engine = try Fixture.engine(connectTimeout: .seconds(2))
        let error = try await Fixture.client("https://127.0.0.1:\(responder.port)", engine: engine).fetch().error
        #expect(error?.kind == .connectTimeout)
    }

    @Test(arguments: ["192.0.2.77", "2001:db8::77", "127.0.0.1\u{0}x", "eth0", "127.5.0.0/16", "127.0.0.0/+8"])
    func `a source address of another machine is refused by name`(address: String) throws {
        let error = #expect(throws: SettingError.self) { try Fixture.engine(["127.0.0.2", address]) }
        #expect(error?.field == "HTTP_SOURCE_IP")
        #expect(error?.value == address)
    }

    /// A loopback source has no way to an outside host: the kernel refuses before a packet leaves.
    @Test func `a source address without a way to the store is named`() async throws {
        let engine = try Fixture.engine(["127.0.0.2"])
        let error = try await Fixture.client("http://192.0.2.1", engine: engine).fetch().error
        #expect(error?.description.contains("127.0.0.2") == true)
        #expect(error?.kind != .connectionRefused)
    }

    @Test(arguments: [["127.0.0.2", "127.0.0.3"], ["127.0.0.2", "127.0.0.3", "127.0.0.4"]], [2, 5, 16, 33])
    func `connections leave from both addresses evenly`(sources: [String], transfers: Int) async throws {
        let gate = Gate(transfers)
        let responder = try Responder { request, line in
            gate.arrive(request.peer)
            line.write(Fixture.rightHead)
            line.write(Fixture.body)
            return true
        }
        let engine = try Fixture.engine(sources)
        let client = try Fixture.client(responder.endpoint, engine: engine)
        func wave(_ count: Int) async {
            await withTaskGroup { group in
                for _ in 0..<count { group.addTask { #expect(await client.fetch().error == nil) } }
            }
        }
        func spread(_ peers: [String]) -> Int {
            let counts = sources.map { source in peers.count { $0 == source } }
            return (counts.max() ?? 0) - (counts.min() ?? 0)
        }
        await wave(transfers)
        #expect(responder.peers.count == transfers)
        #expect(spread(responder.peers) <= 2, "\(responder.peers)")
        // Waves of fewer transfers reuse the connections, and each is spread again.
        for count in [transfers / 2 + 1, transfers] {
            gate.reset(count)
            await wave(count)
            #expect(spread(gate.peers) <= 2, "\(gate.peers)")
        }
        // Each of the two workers may have come to need one more of each address.
        #expect(responder.peers.count <= transfers + 2 * sources.count, "connections are reused")
    }

    @Test func `transfers one after another leave from both addresses, over a connection of each`() async throws {
        let responder = try Responder { _, line in
            line.write(Fixture.rightHead)
            line.write(Fixture.body)
            return true
        }
        let engine = try Fixture.engine(["127.0.0.2", "127.0.0.3"], threads: 1)
        let client = try Fixture.client(responder.endpoint, engine: engine)
        var addresses: [String] = []
        for _ in 0..<6 { addresses.append(try await client.fetch().get().localAddress) }
        #expect(addresses == ["127.0.0.2", "127.0.0.3", "127.0.0.2", "127.0.0.3", "127.0.0.2", "127.0.0.3"])
        #expect(responder.peers == ["127.0.0.2", "127.0.0.3"])
    }

    @Test func `a cancellation ends a transfer that waits for its answer`() async throws {
        let responder = try Responder { _, line in
            line.waitForClose()
            return false
        }
        let client = try Fixture.client(responder.endpoint)
        let result = await withCheckedContinuation { continuation in
            let id = client.get(Fixture.range, into: Collector()) { continuation.resume(returning: $0) }
            client.cancel(id)
        }
        #expect(result.error?.kind == .cancelled)
    }

    /// The first answer refuses the token, the second never comes: a lost cancellation would end as a stall.
    @Test func `a cancellation that lands while the request is repeated is not lost`() async throws {
        let responder = try Responder { request, line in
            if request.headers["x-oss-security-token"] == "old" {
                line.write(Fixture.answer("403 Forbidden", Fixture.xml("SecurityTokenExpired")))
                return true
            }
            line.waitForClose()
            return false
        }
        let directory = try Fixture.directory()
        defer { try? FileManager.default.removeItem(at: directory) }
        let engine = try Fixture.engine()
        for round in 0..<150 {
            let path = directory.appending(path: "credentials").path
            func write(_ token: String) throws {
                try "OSS_ACCESS_KEY_ID=id\nOSS_ACCESS_KEY_SECRET=s\nOSS_SESSION_TOKEN=\(token)\n"
                    .write(toFile: path, atomically: true, encoding: .utf8)
            }
            try write("old")
            let provider = CredentialsProvider.file(path)
            _ = try provider.current()
            try write("new")
            let client = try Fixture.client(responder.endpoint, credentials: provider, engine: engine)
            let result = await withCheckedContinuation { continuation in
                let id = client.get(Fixture.range, into: Collector()) { continuation.resume(returning: $0) }
                usleep(UInt32(round * 10))
                client.cancel(id)
            }
            #expect(result.error?.kind == .cancelled, "round \(round): \(String(describing: result.error))")
        }
        #expect(engine.inFlight == 0)
    }
}
