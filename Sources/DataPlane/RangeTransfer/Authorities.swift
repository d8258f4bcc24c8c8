import CurlShim
import Glibc
import TextCoding

/// Where the trusted certificate authorities lie.
struct Authorities: Sendable {
    /// A PEM file. Nil: none.
    let file: String?
    /// Folders with colons between. Nil: none.
    let folder: String?

    /// A file or folder that is not given comes from `SSL_CERT_FILE` and `SSL_CERT_DIR` of the process
    /// (https://docs.openssl.org/3.0/man3/X509_get_default_cert_file/), else from where libcurl has it, which the
    /// build of libcurl decides.
    ///
    /// Where certificates need not name the host a file alone counts: folders have the public authorities, and any
    /// certificate that those sign would do.
    ///
    /// - Throws: ``SettingError`` for a file or folder that cannot be read.
    init(file: String?, folder: String?, verifiesHostName: Bool) throws(SettingError) {
        let curl = curl_version_info(CURLVERSION_SEVENTH)?.pointee
        self.file =
            try Self.readable([file, Self.environment("SSL_CERT_FILE")], "SSL_CERT_FILE", R_OK, "PEM file") { [$0] }
            ?? curl?.cainfo.map { String(cString: $0) }
        let folder =
            try Self.readable(
                [folder, Self.environment("SSL_CERT_DIR")], "SSL_CERT_DIR", R_OK | X_OK,
                "folder that `openssl rehash` prepared"
            ) { $0.split(separator: ":").map(String.init) } ?? curl?.capath.map { String(cString: $0) }
        self.folder = verifiesHostName ? folder : nil
    }

    private static func environment(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

    private static func readable(
        _ choices: [String?], _ field: String, _ mode: Int32, _ kind: String, _ paths: (String) -> [String]
    ) throws(SettingError) -> String? {
        guard let chosen = choices.lazy.compactMap({ $0 }).first, !chosen.isEmpty else { return nil }
        for path in paths(chosen) where access(path, mode) != 0 {
            throw SettingError(
                field: field, value: path, problem: "cannot be read: \(String(cString: strerror(errno)))",
                remedy: "name a readable \(kind), or leave it unset for the system's authorities")
        }
        return chosen
    }
}
