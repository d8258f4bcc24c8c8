import Glibc
import RangeTransfer
import Synchronization
import TestSupport
import Testing

/// A listening socket that takes connections and answers nothing.
private final class SilentServer: Sendable {
    private let descriptor: Int32
    let port: UInt16

    init() throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let listens = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(listener, address, size) == 0 && listen(listener, 16) == 0 && getsockname(listener, address, &size) == 0
            }
        }
        descriptor = listener
        port = address.sin_port.bigEndian
        try #require(listens)
    }

    deinit { close(descriptor) }
}

private final class Sink: RangeSink {
    func receive(_ bytes: UnsafeRawBufferPointer) {}
}

/// How each submission ended, by its number.
private final class Ends: Sendable {
    let all = Mutex<[Int: [String]]>([:])

    func add(_ number: Int, _ result: Result<TransferResponse, TransferError>) {
        let words = switch result {
        case .success: "answered"
        case .failure(let error): error.detail
        }
        all.withLock { $0[number, default: []].append(words) }
    }

    subscript(number: Int) -> [String] { all.withLock { $0[number] ?? [] } }
}

/// Transfers that are repeated under their identifier.
@Suite struct RepeatedTransferTests {
    /// Of both ways: the engine's own, and libcurl's.
    @Test(arguments: [true, false])
    func `a transfer that is repeated while it goes on ends, and the new one has its identifier`(isRange: Bool) async throws {
        let server = try SilentServer()
        let engine = try TransferEngine(TransferEngineConfiguration(threads: 1))
        let ends = Ends()
        func submit(_ number: Int, repeating id: TransferID? = nil) -> TransferID {
            let range = ObjectRange(key: "k", etag: "", objectSize: 8, offset: 0, length: 8)
            return engine.submit(
                url: "http://127.0.0.1:\(server.port)/k", method: "GET", headers: [],
                body: isRange ? .range(range, Sink()) : .collect(limit: 8), repeating: id
            ) { ends.add(number, $0) }
        }
        let id = submit(1)
        // Until it is with the thread, and its connection stands.
        try await Task.sleep(for: .milliseconds(200))
        #expect(submit(2, repeating: id) == id)
        try await eventually("the first has ended") { !ends[1].isEmpty }
        #expect(ends[1] == ["the transfer was repeated"] && ends[2].isEmpty && engine.inFlight == 1)
        try await Task.sleep(for: .milliseconds(200))
        engine.cancel(id)
        try await eventually("the second has ended") { !ends[2].isEmpty }
        #expect(ends[2] == ["cancelled"] && ends[1].count == 1 && engine.inFlight == 0)
        engine.shutDown()
        #expect(ends[1].count == 1 && ends[2].count == 1, "each ends once")
    }
}
