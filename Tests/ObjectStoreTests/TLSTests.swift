import Foundation
import ObjectStore
import TestSupport
import Testing
import TextCoding

/// Certificates are checked: by an authority that is given, and by name. Needs the `openssl` command.
@Suite struct TLSTests {
    /// `openssl s_server` with a certificate of its own authority, which sends a file as the whole answer.
    private static func serving(
        name: String, _ body: (_ port: UInt16, _ authority: String, _ stranger: String) async throws -> Void
    ) async throws {
        let certificates = try Certificates(for: name)
        try FileManager.default.createDirectory(
            atPath: certificates.folder.file("bucket-x/models"), withIntermediateDirectories: true)
        try (Fixture.rightHead + String(repeating: "x", count: 1000))
            .write(toFile: certificates.folder.file("bucket-x/models/a"), atomically: true, encoding: .utf8)
        // A free port: bound for a moment, then the server's.
        let placeholder = try Responder { _, _ in false }
        let port = placeholder.port
        placeholder.stop()
        let server = try certificates.spawn(
            ["s_server", "-accept", "127.0.0.1:\(port)", "-cert", "store.pem", "-key", "store.key", "-HTTP", "-quiet"])
        defer {
            kill(server, SIGKILL)
            waitpid(server, nil, 0)
        }
        try await eventually("the server listens") {
            try await Fixture.client("http://127.0.0.1:\(port)").fetch().error?.kind != .connectionRefused
        }
        try await body(port, certificates.authority, certificates.stranger)
    }

    private static func fetch(_ port: UInt16, _ authority: String?) async throws -> StoreError? {
        let engine = try Fixture.engine(authorityFile: authority)
        return try await Fixture.client("https://127.0.0.1:\(port)", engine: engine).fetch().error
    }

    @Test(.enabled(if: Certificates.areThere))
    func `a private authority is trusted when it is named, and not otherwise`() async throws {
        try await Self.serving(name: "IP:127.0.0.1") { port, authority, stranger in
            let accepted = try await Self.fetch(port, authority)
            #expect(accepted == nil)
            for other in [nil, stranger] {
                let error = try await Self.fetch(port, other)
                #expect(error?.kind == .tls)
                #expect(error?.description.contains("SSL_CERT_FILE") == true)
            }
        }
    }

    @Test(.enabled(if: Certificates.areThere))
    func `a certificate for another name is refused`() async throws {
        try await Self.serving(name: "DNS:other.example") { port, authority, _ in
            let error = try await Self.fetch(port, authority)
            #expect(error?.kind == .tls)
        }
    }

    @Test func `an authority file that cannot be read is a setting's fault`() throws {
        let error = #expect(throws: SettingError.self) { try Fixture.engine(authorityFile: "/nonexistent/ca.pem") }
        #expect(error?.field == "SSL_CERT_FILE")
    }
}
