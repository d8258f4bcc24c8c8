internal import Foundation
package import ObjectStore
package import TextCoding

/// Which model a client wants and how to read it: the environment variables of its `MC_OPEN`, parsed.
package struct SourceSettings: Sendable {
    package let configuration: StoreConfiguration
    /// `HTTP_SOURCE_IP`: connections leave from these addresses.
    package let sourceAddresses: [String]
    package let authorityFile: String?
    package let authorityFolder: String?
    /// Shell patterns on keys below the prefix; empty: everything.
    package let include: [String]

    /// - Throws: ``SettingError`` that names the variable.
    package init(_ variables: [String: String]) throws(SettingError) {
        func value(_ name: String) -> String? { variables[name].flatMap { $0.isEmpty ? nil : $0 } }
        let location = try ObjectLocation(parsing: value("OSS_PATH") ?? "")
        var endpointText = value("OSS_ENDPOINT")
        if endpointText == nil, location.scheme == .s3 {
            endpointText =
                value("AWS_ENDPOINT_URL")
                ?? "https://s3.\(value("OSS_REGION") ?? value("AWS_REGION") ?? "us-east-1").amazonaws.com"
        }
        let endpoint = try StoreEndpoint(
            parsing: endpointText ?? "", for: location,
            addressing: try AddressingSetting(parsing: value("MODELCACHE_ADDRESSING")))
        let signature: SignatureVersion
        switch value("MODELCACHE_SIGNATURE")?.lowercased() {
        case nil, "auto": signature = .automatic
        case "v1": signature = .v1
        case "v4": signature = .v4
        case .some(let other):
            throw SettingError(
                field: "MODELCACHE_SIGNATURE", value: other, problem: "is not known", remedy: "set auto, v1 or v4")
        }
        configuration = try StoreConfiguration(
            location: location, endpoint: endpoint,
            region: value("OSS_REGION") ?? (location.scheme == .s3 ? value("AWS_REGION") : nil),
            signatureVersion: signature,
            credentials: CredentialsProvider(
                try CredentialChain(variables, scheme: location.scheme, endpointHost: endpoint.host)),
            requesterPays: try Self.requesterPays(value("MODELCACHE_REQUEST_PAYER")))
        sourceAddresses = (value("HTTP_SOURCE_IP") ?? "").split(separator: ",")
            .map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
        authorityFile = value("SSL_CERT_FILE")
        authorityFolder = value("SSL_CERT_DIR")
        include = (value("MODELCACHE_INCLUDE") ?? "").split(separator: ",")
            .map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
    }

    /// Names of the variables that describe a source; what a client sends.
    package static let variables: Set<String> = CredentialChain.keyVariables.union(CredentialChain.partyVariables)
        .union([
            "OSS_ENDPOINT", "OSS_REGION", "OSS_PATH", "AWS_REGION", "AWS_ENDPOINT_URL", "HTTP_SOURCE_IP", "MODEL_DIR",
            "SSL_CERT_FILE", "SSL_CERT_DIR", "MODELCACHE_INCLUDE", "MODELCACHE_SIGNATURE", "MODELCACHE_ADDRESSING",
            "MODELCACHE_REQUEST_PAYER",
        ])

    private static func requesterPays(_ text: String?) throws(SettingError) -> Bool {
        switch text?.lowercased() {
        case nil, "owner": return false
        case "requester": return true
        case .some:
            throw SettingError(
                field: "MODELCACHE_REQUEST_PAYER", value: text, problem: "is not known",
                remedy: "set requester, or nothing")
        }
    }
}
