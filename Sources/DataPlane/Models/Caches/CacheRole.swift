internal import AgentAPI
internal import ObjectStore
internal import TextCoding

/// How a cache's source is read as a role, from its definition and the tokens that its callers hand over.
struct CacheRole: Sendable {
    /// The setting of `MC_OPEN` with a token for STS.
    static let tokenSetting = "MODELCACHE_ROLE_TOKEN"

    /// Nil: the caller brought no token for the role, so that it cannot ask the store. It may read the bytes
    /// that others bring.
    let credentials: RoleCredentials?
    /// Stands for the caller's credentials: the role is the ModelCache's, whose namespace's token proved the caller.
    let proof: [String]

    /// Nil: callers bring keys.
    ///
    /// - Parameters:
    ///   - token: of audience ``SourceRole/audience(uri:)``, verified; nil: the caller handed none over.
    ///   - expiry: when the token is of no use any more, in seconds since 1970; nil: unknown.
    ///   - shelf: of the agent.
    /// - Throws: ``AgentFailure`` of code `settings` for a role that cannot be used here.
    init?(
        _ definition: CacheDefinition, uid: String, token: String?, until expiry: Int64?, shelf: RoleShelf,
        options: RegistryOptions
    ) throws(AgentFailure) {
        guard let role = definition.source.role else { return nil }
        guard let assumed = role.assumed else {
            guard options.allowsNodeRole else {
                throw AgentFailure(
                    .settings,
                    "the ModelCache \(definition.namespace)/\(definition.name) is read with the node's own role, which this agent does not allow; its administrator sets MODELCACHE_ALLOW_NODE_ROLE=1"
                )
            }
            let source = try Self.wrapped { () throws(SettingError) in
                try CredentialChain(
                    ["MODELCACHE_CREDENTIALS": "node"],
                    scheme: try ObjectLocation(parsing: definition.source.uri).scheme)
            }
            guard case .role(let node) = source.choice else { return nil }
            credentials = RoleCredentials.shared(node)
            proof = ["node"]
            return
        }
        let endpoint = try Self.wrapped { () throws(SettingError) in try Self.endpoint(definition, options) }
        credentials = token.map { token in
            shelf.role(of: uid, token: token, until: expiry) { Self.source(assumed, $0, endpoint, definition) }
        }
        proof = ["role", assumed.roleARN, assumed.serviceAccount]
    }

    private static func endpoint(_ definition: CacheDefinition, _ options: RegistryOptions) throws(SettingError)
        -> ServiceEndpoint
    {
        let authority = options.sourceDefaults["SSL_CERT_FILE"]
        if let named = options.stsEndpoint {
            return try ServiceEndpoint(parsing: named, field: "MODELCACHE_STS_ENDPOINT", authorityFile: authority)
        }
        let location = try ObjectLocation(parsing: definition.source.uri)
        let host = try StoreEndpoint(parsing: try DefinitionRules.endpointText(definition.source, location.scheme)).host
        return try ServiceEndpoint.ofRegion(
            definition.source.region, scheme: location.scheme, endpointHost: host, authorityFile: authority)
    }

    private static func source(
        _ assumed: SourceRole.Assumed, _ token: WebToken, _ endpoint: ServiceEndpoint, _ definition: CacheDefinition
    ) -> RoleSource {
        let session = String("\(definition.namespace)-\(definition.name)".filter { $0 != "." }.prefix(64))
        let seconds = assumed.sessionSeconds ?? 3600
        guard let provider = assumed.providerARN else {
            return .iamRole(
                .init(
                    roleARN: assumed.roleARN, token: token, sessionName: session, sessionSeconds: seconds,
                    endpoint: endpoint))
        }
        return .ramRole(
            .init(
                roleARN: assumed.roleARN, providerARN: provider, token: token, sessionName: session,
                sessionSeconds: seconds, endpoint: endpoint))
    }

    private static func wrapped<Value>(_ body: () throws(SettingError) -> Value) throws(AgentFailure) -> Value {
        do throws(SettingError) { return try body() } catch { throw AgentFailure(.settings, "\(error)") }
    }
}
