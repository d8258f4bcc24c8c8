import Foundation
import ObjectStore
import RangeTransfer
import Synchronization
import Testing

/// Addresses are looked at where the connection is made: a name tells nothing of where it leads.
@Suite struct AddressGuardTests {
    private func engine(_ guarding: AddressGuard) throws -> TransferEngine {
        try TransferEngine(TransferEngineConfiguration(threads: 1, connectTimeout: .seconds(5), addressGuard: guarding))
    }

    @Test func `a name that leads to a refused address is not connected to`() async throws {
        let requests = Atomic<Int>(0)
        let responder = try Responder { _, line in
            requests.wrappingAdd(1, ordering: .relaxed)
            line.write(Fixture.rightHead)
            line.write(Fixture.body)
            return true
        }
        let client = try Fixture.client(
            "http://localhost:\(responder.port)", engine: try engine(AddressGuard { $0.first == 127 || $0.count == 16 ? "is this machine itself" : nil }))
        // Ranges are spoken by the engine on a socket of libcurl's, everything else by libcurl.
        for error in [await client.fetch().error, await #expect(throws: StoreError.self) { try await client.list() }] {
            #expect(error?.kind == .settings)
            #expect(error?.isRetryable == false)
            #expect(error?.description.contains("1, which is this machine itself") == true)
        }
        #expect(requests.load(ordering: .relaxed) == 0)
    }

    @Test func `the guard sees each address and lets the others pass`() async throws {
        let responder = try Responder { _, line in
            line.write(Fixture.rightHead)
            line.write(Fixture.body)
            return true
        }
        let seen = Mutex<[[UInt8]]>([])
        let guarding = AddressGuard { address in
            seen.withLock { $0.append(address) }
            return nil
        }
        let client = try Fixture.client("http://127.0.0.1:\(responder.port)", engine: try engine(guarding))
        #expect(await client.fetch().error == nil)
        #expect(await client.fetch().error == nil)
        #expect(seen.withLock { $0 } == [[127, 0, 0, 1]], "a connection that is used again was looked at once")
    }
}
