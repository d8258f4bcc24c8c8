package import AgentAPI
internal import Foundation
internal import ObjectStore

/// The settings that a client of a cache's own socket may name, and those that the definition sets for it.
package enum CacheSource {
    /// The setting of `MC_OPEN` that carries the caller's ServiceAccount token.
    package static let tokenSetting = "MODELCACHE_TOKEN"

    /// Files that a caller names would be read, and roles assumed, by the agent with the agent's rights.
    private static let agentsOwn = CredentialChain.partyVariables.union([
        "SSL_CERT_FILE", "SSL_CERT_DIR", "AWS_ENDPOINT_URL",
    ])

    /// The variables of an `MC_OPEN` with the definition's source in them.
    ///
    /// - Parameter defaults: the agent's own `HTTP_SOURCE_IP`, `SSL_CERT_FILE` and `SSL_CERT_DIR`.
    /// - Throws: ``AgentFailure``: `denied` when the caller names another source than the definition, `settings` when
    ///   what it names is malformed.
    package static func variables(
        of caller: [String: String], for definition: CacheDefinition, defaults: [String: String] = [:]
    ) throws(AgentFailure) -> [String: String] {
        let source = definition.source
        do {
            let location = try ObjectLocation(parsing: source.uri)
            let endpointText = try DefinitionRules.endpointText(source, location.scheme)
            var merged = caller.filter { !agentsOwn.contains($0.key) && !$0.value.isEmpty }
            if let path = merged["OSS_PATH"], try !ObjectLocation(parsing: path).isSame(as: location) {
                throw AgentFailure.otherSource("OSS_PATH names \(path)", definition, source.uri)
            }
            if let endpoint = merged["OSS_ENDPOINT"],
                try StoreEndpoint(parsing: endpoint).canonical != StoreEndpoint(parsing: endpointText).canonical
            {
                throw AgentFailure.otherSource("OSS_ENDPOINT names \(endpoint)", definition, endpointText)
            }
            let include = source.include.joined(separator: ",")
            if let patterns = merged["MODELCACHE_INCLUDE"], list(patterns) != list(include) {
                throw AgentFailure.otherSource(
                    "MODELCACHE_INCLUDE is \(patterns)", definition, include.isEmpty ? "every object" : include)
            }
            // The role's rights are the ModelCache's; a caller's own keys would be others.
            if source.role != nil { for name in CredentialChain.keyVariables { merged[name] = nil } }
            // Without keys the request is anonymous: the node's own role is not the caller's.
            merged["MODELCACHE_CREDENTIALS"] = "keys"
            merged["OSS_PATH"] = source.uri
            merged["OSS_ENDPOINT"] = endpointText
            merged["MODELCACHE_INCLUDE"] = include
            if let region = source.region { merged["OSS_REGION"] = region }
            // The definition's alone: who pays, where the bucket stands and how much a signature covers is no caller's
            // choice.
            merged["MODELCACHE_SIGNATURE"] = nil
            merged["MODELCACHE_ADDRESSING"] = source.addressing
            merged["MODELCACHE_REQUEST_PAYER"] = source.requesterPays == true ? "requester" : nil
            return defaults.merging(merged) { $1 }
        } catch let error as AgentFailure {
            throw error
        } catch {
            // Every other error here is a SettingError.
            throw AgentFailure(.settings, "\(error)")
        }
    }

    private static func list(_ text: String) -> [String] {
        text.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
    }
}

extension AgentFailure {
    fileprivate static func otherSource(_ what: String, _ definition: CacheDefinition, _ served: String) -> AgentFailure
    {
        AgentFailure(
            .denied,
            "\(what), but this socket serves the ModelCache \(definition.namespace)/\(definition.name) alone: \(served); unset the variable or correct it"
        )
    }
}
