import FoundationEssentials
import Logging
import NIOSSL

/// The credentials of one request.
struct RequestIdentity: Sendable {
    /// The Authorization header.
    var authorization: String?
    /// Nil for a server without TLS.
    var tls: TLSConfiguration?
    /// Distinguishes one identity from the next.
    var generation: Int
}

/// Gives requests their identity. It makes a new one when files change, a plugin's credentials expire, or the server
/// responds with 401.
///
/// It checks files once a minute at most, because the kubelet rotates a token long before it expires
/// (https://kubernetes.io/docs/concepts/storage/projected-volumes/#serviceaccounttoken). If a file cannot be read, the
/// last good content stays in use.
actor CredentialSource {
    private static let rereadInterval: Duration = .seconds(60)
    /// A plugin's credentials are renewed this long before they expire.
    private static let expiryMargin: TimeInterval = 10

    private let configuration: ClientConfiguration
    private let logger: Logger
    private var identity: RequestIdentity?
    private var sources: LoadedFiles?
    private var readAt: ContinuousClock.Instant?
    private var plugin: ExecCredential?
    /// One run of the plugin at a time; other requests wait for it.
    private var pluginRun: Task<ExecCredential, any Error>?

    init(_ configuration: ClientConfiguration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
    }

    func current() async throws(ConfigurationError) -> RequestIdentity {
        let fresh = try await currentPlugin()
        let due = readAt.map { $0.duration(to: .now) >= Self.rereadInterval } ?? true
        guard due || fresh || identity == nil, let current = try reload() else {
            guard let identity else { throw Self.nothing }
            return identity
        }
        return current
    }

    /// Renews after a 401. False: nothing can differ, so another attempt is useless.
    func renew(after used: RequestIdentity) async -> Bool {
        // Another request's 401 has already led to a new identity.
        if let identity, identity.generation != used.generation { return true }
        if configuration.authentication.exec != nil, pluginRun == nil { plugin = nil }
        readAt = nil
        guard let next = try? await current() else { return false }
        return next.generation != used.generation
    }

    private static let nothing = ConfigurationError(
        source: "credentials", problem: "none could be loaded", remedy: "see the messages before this one")

    /// Reads all files. The identity changes only when a file's content did.
    private func reload() throws(ConfigurationError) -> RequestIdentity? {
        readAt = .now
        let files: LoadedFiles
        do {
            files = try LoadedFiles(configuration)
        } catch {
            guard let identity else { throw error }
            logger.warning("credentials could not be read again, keeping the last", metadata: ["error": "\(error)"])
            return identity
        }
        let wanted = files.with(plugin)
        if let identity, wanted == sources { return identity }
        do {
            let made = RequestIdentity(
                authorization: try wanted.authorization(configuration), tls: try wanted.tls(configuration),
                generation: (identity?.generation ?? 0) + 1)
            (identity, sources) = (made, wanted)
            return made
        } catch {
            guard let identity else { throw error }
            logger.warning("credentials could not be used, keeping the last", metadata: ["error": "\(error)"])
            return identity
        }
    }

    /// Runs the plugin when its credentials are missing or about to expire. True: the credentials are new.
    private func currentPlugin() async throws(ConfigurationError) -> Bool {
        guard let exec = configuration.authentication.exec else { return false }
        if let plugin, !plugin.expires(within: Self.expiryMargin) { return false }
        let run = pluginRun ?? Task { [configuration] in try await exec.run(configuration) }
        pluginRun = run
        // Other callers enter here while the plugin runs, and wait for the same run.
        let result = await run.result
        pluginRun = nil
        switch result {
        case .success(let credential):
            plugin = credential
            return true
        case .failure(let error as ConfigurationError): throw error
        case .failure: throw Self.nothing
        }
    }
}

/// The present contents of all files that the configuration names.
private struct LoadedFiles: Equatable {
    var authority: [UInt8]?
    var certificate: [UInt8]?
    var key: [UInt8]?
    var token: String?

    init(_ configuration: ClientConfiguration) throws(ConfigurationError) {
        let authentication = configuration.authentication
        authority = try Self.read(configuration.tls.certificateAuthority)
        certificate = try Self.read(authentication.clientCertificate)
        key = try Self.read(authentication.clientKey)
        token = authentication.token
        if let file = authentication.tokenFile {
            let text = String(decoding: try Self.read(.file(file)) ?? [], as: UTF8.self)
            token = text.trimmingWhitespace()
            guard let token, !token.isEmpty else {
                throw ConfigurationError(
                    source: file, problem: "the token file is empty", remedy: "write the token to it")
            }
        }
    }

    func with(_ plugin: ExecCredential?) -> LoadedFiles {
        guard let plugin else { return self }
        var all = self
        if all.token == nil { all.token = plugin.token }
        if all.certificate == nil, let certificate = plugin.certificate, let key = plugin.key {
            all.certificate = Array(certificate.utf8)
            all.key = Array(key.utf8)
        }
        return all
    }

    func authorization(_ configuration: ClientConfiguration) throws(ConfigurationError) -> String? {
        if let token {
            // Other characters than a token's could end the header and begin another.
            guard token.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
                throw ConfigurationError(
                    source: configuration.origin, field: "token", problem: "it has characters that no token has",
                    remedy: "look for line breaks in it")
            }
            return "Bearer \(token)"
        }
        guard let user = configuration.authentication.username else { return nil }
        let pair = "\(user):\(configuration.authentication.password ?? "")"
        return "Basic \(Data(pair.utf8).base64EncodedString())"
    }

    func tls(_ configuration: ClientConfiguration) throws(ConfigurationError) -> TLSConfiguration? {
        guard configuration.server.lowercased().hasPrefix("https:") else { return nil }
        var tls = TLSConfiguration.makeClientConfiguration()
        tls.minimumTLSVersion = .tlsv12
        if configuration.tls.insecureSkipVerify { tls.certificateVerification = .none }
        func refuse(_ field: String, _ material: Material?) -> ConfigurationError {
            ConfigurationError(
                source: configuration.origin, field: material.map { "\(field) (\($0))" } ?? field,
                problem: "it is not PEM of the right kind", remedy: "check the file with openssl")
        }
        if let authority {
            guard let certificates = try? NIOSSLCertificate.fromPEMBytes(authority), !certificates.isEmpty else {
                throw refuse("certificate-authority", configuration.tls.certificateAuthority)
            }
            tls.trustRoots = .certificates(certificates)
        }
        if let certificate, let key {
            let authentication = configuration.authentication
            guard let chain = try? NIOSSLCertificate.fromPEMBytes(certificate), !chain.isEmpty else {
                throw refuse("client-certificate", authentication.clientCertificate)
            }
            guard let privateKey = try? NIOSSLPrivateKey(bytes: key, format: .pem) else {
                throw refuse("client-key", authentication.clientKey)
            }
            tls.certificateChain = chain.map { .certificate($0) }
            tls.privateKey = .privateKey(privateKey)
        }
        return tls
    }

    private static func read(_ material: Material?) throws(ConfigurationError) -> [UInt8]? {
        switch material {
        case nil: return nil
        case .inline(let bytes): return bytes
        case .file(let path):
            guard let data = FileManager.default.contents(atPath: path) else {
                throw ConfigurationError(
                    source: path, problem: "the file cannot be read", remedy: "check its path and permissions")
            }
            return Array(data)
        }
    }
}

extension String {
    func trimmingWhitespace() -> String {
        let start = drop { $0.isWhitespace }
        return String(start.reversed().drop { $0.isWhitespace }.reversed())
    }
}
