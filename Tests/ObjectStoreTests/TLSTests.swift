import Foundation
import ObjectStore
import Testing

/// Certificates are checked: by an authority that is given, and by name. Needs the `openssl` command.
@Suite struct TLSTests {
    private static let openssl = "/usr/bin/openssl"

    /// Starts `openssl` with `directory` as its own, silent.
    private static func spawn(_ arguments: [String], in directory: URL) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for descriptor: Int32 in 0...2 { posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_RDWR, 0) }
        var words: [UnsafeMutablePointer<CChar>?] = (["sh", "-c", "cd \"$0\" && exec \"$@\"", directory.path, openssl] + arguments).map { strdup($0) } + [nil]
        defer { words.forEach { free($0) } }
        var child = pid_t()
        let failed = posix_spawn(&child, "/bin/sh", &actions, nil, &words, environ)
        guard failed == 0 else { throw POSIXError(POSIXErrorCode(rawValue: failed) ?? .EIO) }
        return child
    }

    private static func run(_ arguments: [String], in directory: URL) throws {
        var status: Int32 = -1
        waitpid(try spawn(arguments, in: directory), &status, 0)
        #expect(status == 0, "\(arguments)")
    }

    /// `openssl s_server` with a certificate of its own authority, which sends a file as the whole answer.
    private static func serving(
        name: String, _ body: (_ port: UInt16, _ authority: String, _ stranger: String) async throws -> Void
    ) async throws {
        let directory = try Fixture.directory()
        defer { try? FileManager.default.removeItem(at: directory) }
        for authority in ["authority", "stranger"] {
            try run(
                ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=\(authority)", "-keyout", "\(authority).key",
                    "-out", "\(authority).pem"], in: directory)
        }
        try run(["req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=store", "-keyout", "store.key", "-out", "store.csr"], in: directory)
        try "subjectAltName=\(name)\n".write(to: directory.appending(path: "names"), atomically: true, encoding: .utf8)
        try run(
            ["x509", "-req", "-in", "store.csr", "-CA", "authority.pem", "-CAkey", "authority.key", "-CAcreateserial", "-days", "2",
                "-extfile", "names", "-out", "store.pem"], in: directory)
        try FileManager.default.createDirectory(at: directory.appending(path: "bucket-x/models"), withIntermediateDirectories: true)
        try (Fixture.rightHead + String(repeating: "x", count: 1000))
            .write(to: directory.appending(path: "bucket-x/models/a"), atomically: true, encoding: .utf8)
        // A free port: bound for a moment, then the server's.
        let placeholder = try Responder { _, _ in false }
        let port = placeholder.port
        placeholder.stop()
        let server = try spawn(
            ["s_server", "-accept", "127.0.0.1:\(port)", "-cert", "store.pem", "-key", "store.key", "-HTTP", "-quiet"],
            in: directory)
        defer {
            kill(server, SIGKILL)
            waitpid(server, nil, 0)
        }
        for _ in 0..<200 {
            let error = try await Fixture.client("http://127.0.0.1:\(port)").fetch().error
            guard error?.kind == .connectionRefused else { break }
            try await Task.sleep(for: .milliseconds(20))
        }
        try await body(port, directory.appending(path: "authority.pem").path, directory.appending(path: "stranger.pem").path)
    }

    private static func fetch(_ port: UInt16, _ authority: String?) async throws -> StoreError? {
        let engine = try Fixture.engine(authorityFile: authority)
        return try await Fixture.client("https://127.0.0.1:\(port)", engine: engine).fetch().error
    }

    @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: openssl)))
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

    @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: openssl)))
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
