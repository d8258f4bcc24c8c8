internal import ChunkStore
internal import Logging
internal import ObjectStore
internal import StoreHost
internal import TextCoding

/// The list at opening is a person's wait: it gives up sooner than a fill does.
private let openingRetry = RetryPolicy(
    maximumAttempts: 6, baseDelay: .milliseconds(200), maximumDelay: .seconds(3), deadline: .seconds(20))

/// A caller's settings. A ``SourceRequest`` is made from them at any time, with the credentials of that time.
package struct SourceQuery: Sendable {
    package var variables: [String: String]
    /// Nil: the model that `variables` name.
    var name: ModelName?
    /// Patterns of the ModelCache; nil: the caller's own.
    var include: [String]?
    /// The namespace whose ServiceAccount token proved the caller; nil: none did.
    var namespace: String?
    /// The role that the ModelCache's source is read as; nil: as `variables` say.
    var role: CacheRole?
    /// The store wants keys: without them in `variables` it is not asked.
    var needsKeys = false
    /// Most bytes a second for the fill; nil: no limit.
    var bytesPerSecond: Int64?
    /// The only listing that the ModelCache allows; nil: any.
    var digest: String?
}

extension SourceQuery {
    package init(variables: [String: String]) { self.init(variables: variables, name: nil) }
}

/// The parts that every request for a source shares.
struct SourceAccess: Sendable {
    let engines: EnginePool
    let doubted: DoubtedListings
    /// Of ModelCaches; a standalone caller's credentials are the caller's own affair.
    let credentialHosts: CredentialHosts
    let logger: Logger
}

/// One caller's request for one model, understood: how to ask the source, and what is known of the caller.
struct SourceRequest: Sendable {
    let query: SourceQuery
    let name: ModelName
    let identity: SourceIdentity
    private(set) var reader: SourceReader
    /// Holds the engine of `reader` open.
    let lease: EnginePool.Lease
    let caller: CallerProof
    /// Requests with one key get the same listing.
    let listingKey: [UInt8]
    /// Most bytes a second for the fill; nil: no limit.
    let bytesPerSecond: Int64?
    /// The store cannot be asked: the caller has no keys and the store wants some, or the source is read as a role for
    /// which no client has handed over a token.
    let lacksCredentials: Bool

    var location: ObjectLocation { reader.location }
    var client: StoreClient { reader.client }
    /// Nil: the store cannot be asked.
    var party: AuditLog.Party? { lacksCredentials ? nil : AuditLog.Party(client.configuration.credentials) }

    /// Reads the credentials file where one is named, and asks for a role's first credentials.
    ///
    /// - Throws: ``AgentFailure``: `settings` names the variable, `capacity` for too many engines.
    static func make(_ query: SourceQuery, _ access: SourceAccess, _ disk: DiskQueue) async throws(AgentFailure)
        -> SourceRequest
    {
        let settings: SourceSettings
        do throws(SettingError) {
            settings = try SourceSettings(query.variables)
        } catch {
            throw AgentFailure(.settings, "\(error)")
        }
        try Self.checkHost(settings.configuration, query, access.credentialHosts)
        let parts: [String]
        if let role = query.role {
            // The role is asked for here, so that a refusal is the opening's own.
            if let held = role.credentials { _ = try await Self.credentials(CredentialsProvider(held), disk) }
            // A caller of the ModelCache's namespace without a token for the role is not refused with it.
            parts = role.credentials == nil && query.namespace != nil ? ["a token of others"] : role.proof
        } else if lacksKeys(query, settings.configuration) {
            parts = ["keys of others"]
        } else {
            let credentials = try await Self.credentials(settings.configuration.credentials, disk)
            parts = [credentials?.keyID ?? "", credentials?.secret ?? "", credentials?.token ?? ""]
        }
        let isTemporary = query.role != nil || !(parts.last ?? "").isEmpty
        // Where nobody shows a token, the socket is what all callers of a ModelCache have in common.
        let namespace = query.namespace.map { ["namespace", $0] } ?? (query.needsKeys ? ["socket"] : nil)
        let proof = CallerProof(
            credentials: Fingerprint.of(parts), isTemporary: isTemporary,
            namespace: namespace.map { Fingerprint.of($0) })
        return try await disk.run { () throws(AgentFailure) in
            try SourceRequest(query, access, settings, proof)
        }
    }

    private static func lacksKeys(_ query: SourceQuery, _ configuration: StoreConfiguration) -> Bool {
        query.needsKeys && configuration.credentials.principal.kind == .anonymous
    }

    /// Before any credentials are read or asked for: those of a ModelCache leave for hosts alone that may have them.
    private static func checkHost(
        _ configuration: StoreConfiguration, _ query: SourceQuery, _ hosts: CredentialHosts
    ) throws(AgentFailure) {
        let isAnonymous = query.role == nil && configuration.credentials.principal.kind == .anonymous
        guard query.name != nil, !isAnonymous, !hosts.allow(configuration.endpoint.host) else { return }
        throw AgentFailure(
            .settings,
            "\(SettingError(field: "spec.source.endpoint", value: configuration.endpoint.canonical, problem: CredentialHosts.problem, remedy: CredentialHosts.remedy))"
        )
    }

    private static func credentials(_ provider: CredentialsProvider, _ disk: DiskQueue) async throws(AgentFailure)
        -> StoreCredentials?
    {
        do throws(StoreError) {
            guard provider.principal.isRole else {
                return try await disk.run { () throws(StoreError) in try provider.current() }
            }
            return try await provider.ready()
        } catch {
            throw AgentFailure(error)
        }
    }

    private init(
        _ query: SourceQuery, _ access: SourceAccess, _ settings: SourceSettings, _ proof: CallerProof
    ) throws(AgentFailure) {
        var configuration = settings.configuration
        configuration.retry = openingRetry
        if let role = query.role {
            configuration.credentials = role.credentials.map { CredentialsProvider($0) } ?? .anonymous
        }
        lacksCredentials = query.role.map { $0.credentials == nil } ?? Self.lacksKeys(query, settings.configuration)
        configuration.notice = { [logger = access.logger] in logger.warning("\($0)") }
        identity = SourceIdentity(
            endpoint: configuration.endpoint.canonical, bucket: configuration.location.bucket,
            prefix: configuration.location.prefix)
        self.query = query
        name = query.name ?? .source(identity)
        lease = try access.engines.lease(EngineKey(settings, isGuarded: query.name != nil))
        reader = SourceReader(
            client: StoreClient(configuration, engine: lease.value), location: configuration.location,
            include: query.include ?? settings.include, doubted: access.doubted, logger: access.logger)
        caller = proof
        let meant = query.variables.filter { $0.key != "MODEL_DIR" && !$0.value.isEmpty }.sorted { $0.key < $1.key }
        listingKey = Fingerprint.of(["\(name)"] + meant.flatMap { [$0.key, $0.value] }) + caller.credentials
        bytesPerSecond = query.bytesPerSecond
    }
}

/// The objects that the store showed to a caller.
struct Listing: Sendable {
    let set: ModelSet
    /// Of the request, decided.
    let location: ObjectLocation
    let warnings: [ModelWarning]
    /// Without digests.
    let manifest: Manifest

    init(
        _ files: [ManifestFile], at location: ObjectLocation, _ warnings: [ModelWarning], of request: SourceRequest
    ) throws(AgentFailure) {
        set = ModelSet(files)
        self.location = location
        self.warnings = warnings
        manifest = try request.manifest(files)
    }
}

extension SourceRequest {
    func manifest(_ files: [ManifestFile]) throws(AgentFailure) -> Manifest {
        do {
            return try Manifest(identity: identity, files: files, scheme: location.scheme.rawValue)
        } catch {
            throw AgentFailure(error)
        }
    }

    /// Lists the source.
    func list() async throws(AgentFailure) -> Listing {
        let (files, location, warnings) = try await reader.list()
        return try Listing(files, at: location, warnings, of: self)
    }

    /// The request for what the store showed.
    func decided(by listing: Listing) -> SourceRequest {
        var decided = self
        decided.reader = reader.at(listing.location)
        return decided
    }

    /// The listed objects with their digests. Objects that stand as in `known` are not asked for again.
    func describe(_ listing: Listing, known: Manifest?) async throws(AgentFailure) -> Manifest {
        let old = Dictionary((known?.files ?? []).map { ($0.key, $0) }) { $1 }
        let standing = listing.manifest.files.filter { file in
            old[file.key].map { $0.size == file.size && $0.etag == file.etag } ?? false
        }
        let standingKeys = Set(standing.map(\.key))
        let described = try await reader.describe(
            listing.manifest.files.filter { !standingKeys.contains($0.key) }, areAll: standing.isEmpty)
        return try manifest(standing.map { old[$0.key] ?? $0 } + described)
    }
}
