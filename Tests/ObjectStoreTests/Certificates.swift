import Foundation
import TestSupport
import Testing

/// Certificates for a store on this machine, made by the `openssl` command.
struct Certificates {
    static let openssl = "/usr/bin/openssl"
    static var areThere: Bool { FileManager.default.isExecutableFile(atPath: openssl) }

    let folder: TemporaryFolder
    /// PEM files. `authority` signed `store`, whose key is `key`; `stranger` is another authority.
    var authority: String { folder.file("authority.pem") }
    var stranger: String { folder.file("stranger.pem") }
    var store: String { folder.file("store.pem") }
    var key: String { folder.file("store.key") }
    var authorityKey: String { folder.file("authority.key") }

    /// - Parameter name: a subjectAltName, such as `IP:127.0.0.1`.
    init(for name: String = "IP:127.0.0.1") throws {
        folder = try TemporaryFolder("certificates")
        let newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        for authority in ["authority", "stranger"] {
            try run(
                ["req", "-x509"] + newKey
                    + ["-days", "2", "-subj", "/CN=\(authority)", "-keyout", "\(authority).key", "-out", "\(authority).pem"])
        }
        try run(["req"] + newKey + ["-subj", "/CN=store", "-keyout", "store.key", "-out", "store.csr"])
        try "subjectAltName=\(name)\n".write(toFile: folder.file("names"), atomically: true, encoding: .utf8)
        try run([
            "x509", "-req", "-in", "store.csr", "-CA", "authority.pem", "-CAkey", "authority.key", "-CAcreateserial", "-days", "2",
            "-extfile", "names", "-out", "store.pem",
        ])
    }

    /// Starts `openssl` in the folder, silent.
    func spawn(_ arguments: [String]) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for descriptor: Int32 in 0...2 { posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_RDWR, 0) }
        var words: [UnsafeMutablePointer<CChar>?] =
            (["sh", "-c", "cd \"$0\" && exec \"$@\"", folder.path, Self.openssl] + arguments).map { strdup($0) } + [nil]
        defer { words.forEach { free($0) } }
        var child = pid_t()
        let failed = posix_spawn(&child, "/bin/sh", &actions, nil, &words, environ)
        guard failed == 0 else { throw POSIXError(POSIXErrorCode(rawValue: failed) ?? .EIO) }
        return child
    }

    /// Makes a folder that trusts the certificate, as `openssl rehash` prepares it, and gives the path of both.
    func trusting(_ certificate: String) throws -> (folder: String, file: String) {
        let path = folder.file("trusted")
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        try FileManager.default.copyItem(atPath: certificate, toPath: "\(path)/one.pem")
        try run(["rehash", path])
        return (path, "\(path)/one.pem")
    }

    private func run(_ arguments: [String]) throws {
        var status: Int32 = -1
        waitpid(try spawn(arguments), &status, 0)
        #expect(status == 0, "\(arguments)")
    }
}
