internal import Foundation
package import ObjectStore

/// Which model a client wants and how to read it: the environment variables of its `MC_OPEN`, parsed.
package struct SourceSettings: Sendable {
    package let configuration: StoreConfiguration
    /// `HTTP_SOURCE_IP`: connections leave from these addresses.
    package let sourceAddresses: [String]
    package let authorityFile: String?
    /// Shell patterns on keys below the prefix; empty: everything.
    package let include: [String]
    /// SHA-256 of who asks: key id, secret and token. To recognise a caller who proved itself before.
    package let fingerprint: [UInt8]

    /// - Throws: ``SettingError`` that names the variable.
    package init(_ variables: [String: String]) throws(SettingError) {
        func value(_ name: String) -> String? { variables[name].flatMap { $0.isEmpty ? nil : $0 } }
        let location = try ObjectLocation(parsing: value("OSS_PATH") ?? "")
        var endpointText = value("OSS_ENDPOINT")
        if endpointText == nil, location.scheme == .s3 {
            endpointText = value("AWS_ENDPOINT_URL") ?? "https://s3.\(value("OSS_REGION") ?? value("AWS_REGION") ?? "us-east-1").amazonaws.com"
        }
        let pathStyle: Bool?
        switch value("MODELCACHE_ADDRESSING") {
        case nil, "auto": pathStyle = nil
        case "path": pathStyle = true
        case "virtual": pathStyle = false
        case .some(let other):
            throw SettingError(field: "MODELCACHE_ADDRESSING", value: other, problem: "is not known", remedy: "set auto, path or virtual")
        }
        let endpoint = try StoreEndpoint(parsing: endpointText ?? "", forcePathStyle: pathStyle)
        let signature: SignatureVersion
        switch value("MODELCACHE_SIGNATURE")?.lowercased() {
        case nil, "auto": signature = .automatic
        case "v1": signature = .v1
        case "v4": signature = .v4
        case .some(let other):
            throw SettingError(field: "MODELCACHE_SIGNATURE", value: other, problem: "is not known", remedy: "set auto, v1 or v4")
        }
        configuration = try StoreConfiguration(
            location: location, endpoint: endpoint, region: value("OSS_REGION") ?? (location.scheme == .s3 ? value("AWS_REGION") : nil),
            signatureVersion: signature,
            credentials: try CredentialsProvider.environment(variables, scheme: location.scheme))
        sourceAddresses = (value("HTTP_SOURCE_IP") ?? "").split(separator: ",")
            .map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
        authorityFile = value("SSL_CERT_FILE")
        include = (value("MODELCACHE_INCLUDE") ?? "").split(separator: ",")
            .map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
        fingerprint = Fingerprint.of([
            "OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", "OSS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN", "OSS_CREDENTIALS_FILE",
        ].map { variables[$0] ?? "" })
    }

    /// Names of the variables that describe a source; what a client sends.
    package static let variables: Set<String> = [
        "OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", "OSS_SESSION_TOKEN", "OSS_ENDPOINT", "OSS_REGION", "OSS_PATH",
        "OSS_CREDENTIALS_FILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION",
        "AWS_ENDPOINT_URL", "HTTP_SOURCE_IP", "MODEL_DIR", "SSL_CERT_FILE", "MODELCACHE_INCLUDE", "MODELCACHE_SIGNATURE",
        "MODELCACHE_ADDRESSING",
    ]

    /// Whether a key below the prefix belongs to the model.
    package func includes(_ relativeKey: String) -> Bool {
        include.isEmpty || include.contains { ShellPattern.matches($0, relativeKey) }
    }
}
