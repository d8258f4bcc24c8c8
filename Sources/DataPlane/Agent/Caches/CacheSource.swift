package import AgentAPI
internal import Foundation
internal import ObjectStore

/// What a client of a cache's own socket may say, and what the definition says for it.
package enum CacheSource {
    /// Files that a caller names would be read by the agent with the agent's rights.
    private static let agentsOwn: Set = ["OSS_CREDENTIALS_FILE", "SSL_CERT_FILE", "AWS_ENDPOINT_URL"]

    /// The variables of an `MC_OPEN` with the definition's source in them.
    ///
    /// - Parameter defaults: the agent's own `HTTP_SOURCE_IP` and `SSL_CERT_FILE`.
    /// - Throws: ``AgentFailure``: `denied` when the caller names another source than the definition, `settings` when what it
    ///   names is malformed.
    package static func variables(
        of caller: [String: String], for definition: CacheDefinition, defaults: [String: String] = [:]
    ) throws(AgentFailure) -> [String: String] {
        let source = definition.source
        do {
            let location = try ObjectLocation(parsing: source.uri)
            let endpointText = try DefinitionRules.endpointText(source, location.scheme)
            var merged = caller.filter { !agentsOwn.contains($0.key) && !$0.value.isEmpty }
            if let path = merged["OSS_PATH"], try ObjectLocation(parsing: path) != location {
                throw AgentFailure.otherSource("OSS_PATH names \(path)", definition, source.uri)
            }
            if let endpoint = merged["OSS_ENDPOINT"],
                try StoreEndpoint(parsing: endpoint).canonical != StoreEndpoint(parsing: endpointText).canonical
            {
                throw AgentFailure.otherSource("OSS_ENDPOINT names \(endpoint)", definition, endpointText)
            }
            let include = source.include.joined(separator: ",")
            if let patterns = merged["MODELCACHE_INCLUDE"], list(patterns) != list(include) {
                throw AgentFailure.otherSource("MODELCACHE_INCLUDE is \(patterns)", definition, include.isEmpty ? "every object" : include)
            }
            merged["OSS_PATH"] = source.uri
            merged["OSS_ENDPOINT"] = endpointText
            merged["MODELCACHE_INCLUDE"] = include
            if let region = source.region { merged["OSS_REGION"] = region }
            return defaults.merging(merged) { $1 }
        } catch let error as AgentFailure {
            throw error
        } catch {
            // What is left is a SettingError.
            throw AgentFailure(.settings, "\(error)")
        }
    }

    private static func list(_ text: String) -> [String] {
        text.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
    }
}

extension AgentFailure {
    fileprivate static func otherSource(_ what: String, _ definition: CacheDefinition, _ served: String) -> AgentFailure {
        AgentFailure(
            .denied,
            "\(what), but this socket serves the ModelCache \(definition.namespace)/\(definition.name) alone: \(served); unset the variable or correct it")
    }
}
