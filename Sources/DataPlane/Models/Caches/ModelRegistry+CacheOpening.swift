internal import AgentAPI
internal import ChunkStore

/// Openings through a cache's own socket.
extension ModelRegistry {
    /// Gives the caller the model of one cache, filling it if need be. The caller holds it until ``release(_:)``.
    package func open(
        _ variables: [String: String], cache uid: String, callers: any CallerGate
    ) async throws(AgentFailure) -> ModelHold {
        let arrival = ReaderArrival.now
        var variables = variables
        let token = variables.removeValue(forKey: CacheSource.tokenSetting)
        let roleToken = variables.removeValue(forKey: CacheRole.tokenSetting)
        let admitted: AdmittedCaller?
        do throws(AgentFailure) {
            admitted = try await callers.admit(token: token, to: { await self.servedDefinition(of: uid) }) {
                [logger] in
                logger.info(
                    "a caller waits for newer token keys: its token names one that is not known yet",
                    metadata: ["cache": "\(uid)"])
            }
        } catch {
            refused(error, cache: uid, nil)
            throw error
        }
        guard let admitted else { throw isClosed ? Self.closing : ModelMachine.gone }
        let definition = admitted.definition
        guard let pod = admitted.pod else {
            return try await open(variables, roleToken, cache: uid, definition, callers)
        }
        let reader = readers.opens(pod, cache: uid, arrival)
        do throws(AgentFailure) {
            return try await open(variables, roleToken, cache: uid, definition, callers).read(by: reader)
        } catch {
            reader.refused()
            throw error
        }
    }

    private func open(
        _ variables: [String: String], _ roleToken: String?, cache uid: String, _ definition: CacheDefinition,
        _ callers: any CallerGate
    ) async throws(AgentFailure) -> ModelHold {
        let merged: [String: String]
        do throws(AgentFailure) {
            merged = try CacheSource.variables(of: variables, for: definition, defaults: options.sourceDefaults)
        } catch {
            refused(error, cache: uid, nil)
            throw error
        }
        var party: AuditLog.Party?
        var lacksCredentials = false
        // Until the role is known: bytes that are lost are others' to fetch again.
        var query = SourceQuery(
            variables: merged, name: .cache(uid), include: definition.source.include, needsKeys: true,
            digest: definition.source.digest)
        do throws(AgentFailure) {
            query = try await self.query(merged, roleToken, cache: uid, definition, callers)
            let request = try await understood(query)
            party = request.party
            lacksCredentials = request.lacksCredentials
            let held = try await open(request)
            caches[uid]?.failure = nil
            return held
        } catch {
            if roleToken == nil, definition.callers != nil, let held = holdForNamespace(uid, query, because: error) {
                return held
            }
            // Held against the cache only where it has nothing better to show (``PreparedCache/state``), and where
            // somebody could have filled it.
            if !lacksCredentials {
                caches[uid]?.failure = CacheReport.Failure(code: error.reason.rawValue, message: error.message)
                refused(error, cache: uid, party)
            }
            throw error
        }
    }

    private func query(
        _ variables: [String: String], _ roleToken: String?, cache uid: String, _ definition: CacheDefinition,
        _ callers: any CallerGate
    ) async throws(AgentFailure) -> SourceQuery {
        // A token of another namespace was refused above.
        let namespace = definition.callers == nil ? nil : definition.namespace
        var expiry: Int64?
        if let roleToken { expiry = try await callers.admit(roleToken: roleToken, to: definition) }
        let role = try CacheRole(definition, uid: uid, token: roleToken, until: expiry, shelf: roles, options: options)
        if roleToken != nil, role?.credentials != nil {
            logger.info(
                "a token for the role of a ModelCache was handed over",
                metadata: ["cache": "\(uid)", "namespace": "\(definition.namespace)", "name": "\(definition.name)"])
        }
        return SourceQuery(
            variables: variables, name: .cache(uid), include: definition.source.include, namespace: namespace,
            role: role, needsKeys: definition.source.needsKeys ?? false, bytesPerSecond: definition.bandwidthLimit,
            digest: definition.source.digest)
    }

    private func refused(_ failure: AgentFailure, cache uid: String, _ party: AuditLog.Party?) {
        audit.refused(
            model: id(.cache(uid)), source: caches[uid]?.definition.source.uri ?? "", party, failure)
    }

    private func servedDefinition(of uid: String) -> CacheDefinition? { isClosed ? nil : caches[uid]?.definition }

    /// The state that a cache's own socket shows.
    package func modelStatus(ofCache uid: String) -> ModelStatus? { caches[uid]?.status(now: Self.wallClockSeconds) }

    /// Whether the cache's socket answers those alone who opened it with a token.
    package func isGuarded(cache uid: String) -> Bool { caches[uid]?.definition.callers != nil }
}

extension PreparedCache {
    func isIdle(now: Int64) -> Bool {
        guard !definition.pinned, definition.idleSeconds > 0, let usage = model?.cached.usage, usage.inUse == 0 else {
            return false
        }
        return now - usage.lastUsed >= Int64(definition.idleSeconds)
    }
}
