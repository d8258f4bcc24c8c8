import FoundationEssentials

/// The output of a credential plugin. Has secrets, so it is never printed.
package struct ExecCredential: Sendable, Equatable {
    package var token: String?
    package var certificate: String?
    package var key: String?
    /// Nil: valid until the server responds with 401.
    var expires: Timestamp?

    func expires(within margin: TimeInterval) -> Bool {
        guard let expires else { return false }
        return expires.date <= Date().addingTimeInterval(margin)
    }

    private struct Document: Decodable {
        struct Status: Decodable {
            var token: String?
            var clientCertificateData: String?
            var clientKeyData: String?
            var expirationTimestamp: Timestamp?
        }
        var apiVersion: String?
        var kind: String?
        var status: Status?
    }

    /// - Throws: ``ConfigurationError``, which never quotes the output.
    package static func parse(_ output: [UInt8], of plugin: ExecPlugin) throws(ConfigurationError) -> ExecCredential {
        func refuse(_ problem: String) -> ConfigurationError {
            ConfigurationError(
                source: plugin.command, problem: problem, remedy: "run the plugin by hand and look at its output")
        }
        let document: Document
        do {
            document = try ResourceCoding.decode(Document.self, Data(output))
        } catch {
            throw refuse("the plugin's output is no ExecCredential: \(ResourceCoding.explain(error))")
        }
        guard document.kind == "ExecCredential", document.apiVersion == plugin.apiVersion else {
            throw refuse("the plugin's output is no ExecCredential of \(plugin.apiVersion)")
        }
        guard let status = document.status else { throw refuse("the plugin's output has no status") }
        let hasToken = !(status.token ?? "").isEmpty
        let hasCertificate = !(status.clientCertificateData ?? "").isEmpty
        guard hasCertificate == !(status.clientKeyData ?? "").isEmpty else {
            throw refuse("the plugin gave a certificate without its key, or a key without its certificate")
        }
        guard hasToken || hasCertificate else { throw refuse("the plugin gave neither a token nor a certificate") }
        return ExecCredential(
            token: hasToken ? status.token : nil, certificate: hasCertificate ? status.clientCertificateData : nil,
            key: hasCertificate ? status.clientKeyData : nil, expires: status.expirationTimestamp)
    }
}

extension ExecPlugin {
    static let supportedVersions = ["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"]

    private struct Request: Encodable {
        struct Cluster: Encodable {
            var server: String
            var tlsServerName: String?
            var insecureSkipTLSVerify: Bool?
            var certificateAuthorityData: String?
            var proxyURL: String?

            private enum CodingKeys: String, CodingKey {
                case server
                case tlsServerName = "tls-server-name"
                case insecureSkipTLSVerify = "insecure-skip-tls-verify"
                case certificateAuthorityData = "certificate-authority-data"
                case proxyURL = "proxy-url"
            }
        }
        struct Spec: Encodable {
            var interactive = false
            var cluster: Cluster?
        }
        var apiVersion: String
        var kind = "ExecCredential"
        var spec: Spec
    }

    func run(_ configuration: ClientConfiguration) async throws -> ExecCredential {
        var spec = Request.Spec()
        if provideClusterInfo {
            var authority: [UInt8]?
            switch configuration.tls.certificateAuthority {
            case .inline(let bytes): authority = bytes
            case .file(let path): authority = FileManager.default.contents(atPath: path).map { Array($0) }
            case nil: break
            }
            spec.cluster = Request.Cluster(
                server: configuration.server, tlsServerName: configuration.tls.serverName,
                insecureSkipTLSVerify: configuration.tls.insecureSkipVerify ? true : nil,
                certificateAuthorityData: authority.map { Data($0).base64EncodedString() },
                proxyURL: configuration.proxyURL)
        }
        let info = try ResourceCoding.encode(Request(apiVersion: apiVersion, spec: spec))
        var variables = ProcessInfo.processInfo.environment
        variables.merge(environment) { _, ours in ours }
        variables["KUBERNETES_EXEC_INFO"] = String(decoding: info, as: UTF8.self)
        let output = try await ExecProcess(
            command: command, arguments: arguments, environment: variables, installHint: installHint
        ).output()
        return try ExecCredential.parse(output, of: self)
    }
}
