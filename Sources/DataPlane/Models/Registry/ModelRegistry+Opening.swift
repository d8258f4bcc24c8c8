internal import AgentAPI
internal import ChunkStore
internal import Foundation
internal import Logging
internal import ObjectStore
internal import Transfer

/// How long a caller who is authorized for a complete copy waits for the store's word. It goes on being asked, and what
/// it says holds from the next opening on.
private let storePatience: Duration = .seconds(2)

/// The caller's half of an opening: its proof, then its place at the model's machine.
extension ModelRegistry {
    /// Gives the caller the model that its settings name, filling it if need be. The caller holds it until
    /// ``release(_:)``.
    package func open(_ variables: [String: String]) async throws(AgentFailure) -> ModelHold {
        guard !isClosed else { throw Self.closing }
        var request: SourceRequest?
        do throws(AgentFailure) {
            let understood = try await understood(SourceQuery(variables: variables))
            request = understood
            return try await open(understood)
        } catch {
            audit.refused(
                model: request.map { id($0.name) } ?? "", source: variables["OSS_PATH"] ?? "", request?.party,
                error)
            throw error
        }
    }

    /// The holder from ``open(_:)`` is done with the model.
    package nonisolated func release(_ hold: ModelHold) {
        hold.reader?.leaves(hold)
        hold.model.release(hold)
    }

    func understood(_ query: SourceQuery) async throws(AgentFailure) -> SourceRequest {
        try await SourceRequest.make(query, sources, disk)
    }

    func open(_ request: SourceRequest) async throws(AgentFailure) -> ModelHold {
        guard !isClosed else { throw Self.closing }
        if request.lacksCredentials {
            guard isAuthorized(request), let held = holdForReading(request) else { throw lacking(request.name) }
            return held
        }
        if recentProofs.contains(request.caller, request.name), let held = holdOpen(request, onlyComplete: false) {
            return held
        }
        let listing: Listing
        do throws(AgentFailure) {
            guard let heard = try await storesWord(request) else {
                if let held = serveUnasked(request, because: "it is slow") { return held }
                // Evicted meanwhile: there is nothing to serve without the store.
                listing = try await check(request).value.get()
                return try await admit(request, listing)
            }
            listing = heard
        } catch {
            if request.caller.isSilence(error), let held = serveUnasked(request, because: "\(error)") { return held }
            throw error
        }
        return try await admit(request, listing)
    }

    /// The store's answer to the caller's credentials. Nil: it takes long, and the caller may have the complete copy
    /// without it.
    private func storesWord(_ request: SourceRequest) async throws(AgentFailure) -> Listing? {
        let check = check(request)
        guard mayBeServedUnasked(request) else { return try await check.value.get() }
        let (words, word) = AsyncStream.makeStream(of: Result<Listing, AgentFailure>?.self)
        let asking = Task { word.yield(await check.value) }
        let waiting = Task {
            try? await Task.sleep(for: storePatience)
            word.yield(nil)
        }
        defer {
            asking.cancel()
            waiting.cancel()
        }
        for await first in words { return try first?.get() }
        return nil
    }

    /// Lists the source once for all equal requests that come meanwhile.
    private func check(_ request: SourceRequest) -> Task<Result<Listing, AgentFailure>, Never> {
        if let running = listings[request.listingKey] { return running }
        let task = Task { () -> Result<Listing, AgentFailure> in
            let result: Result<Listing, AgentFailure>
            do throws(AgentFailure) { result = .success(try await request.list()) } catch { result = .failure(error) }
            judged(request, result)
            return result
        }
        listings[request.listingKey] = task
        return task
    }

    private func judged(_ request: SourceRequest, _ result: Result<Listing, AgentFailure>) {
        listings[request.listingKey] = nil
        switch result {
        case .success: recentProofs.add(request.caller, request.name)
        case .failure(let failure):
            guard request.caller.isWithdrawn(by: failure), var known = authorizations[request.name],
                request.caller.isAuthorized(by: known), known.judged(request.caller.credentials, .denied)
            else { return }
            authorizations[request.name] = known
            recentProofs.forget(request.name)
            save(request.name)
        }
    }

    /// Takes the caller's place at the model's machine.
    private func admit(_ asked: SourceRequest, _ listing: Listing) async throws(AgentFailure) -> ModelHold {
        guard !isClosed else { throw Self.closing }
        try asked.checkPin(listing)
        let request = asked.decided(by: listing)
        if case .cache(let uid) = request.name, caches[uid] == nil { throw ModelMachine.gone }
        let caller = nextNumber()
        let result = await withCheckedContinuation { continuation in
            openings[caller] = WaitingOpening(request: request, listing: listing, continuation: continuation)
            send(request.name) { $0.listed(caller, listing.set) }
        }
        let held = try result.get()
        held.model.note(listing.warnings, detour: request.client.detour)
        remember(request)
        return try await fill(held, request)
    }

    // MARK: Without the store

    static let lacksCredentials = AgentFailure(
        .unreachable,
        "no client on this node has handed over the keys, or a token for the role, that the ModelCache's source is read with; see that a warm-up Job of the ModelCache runs on this node"
    )

    /// Why nothing comes for a caller without credentials: what the last one that had some was told, where it is known.
    private func lacking(_ name: ModelName) -> AgentFailure {
        guard case .cache(let uid) = name, let cache = caches[uid],
            let refusal = cache.failure ?? cache.report.error
        else { return Self.lacksCredentials }
        return AgentFailure(
            .unreachable,
            "the bytes that are missing on this node cannot be fetched: \(refusal.message) (so ended the last try of a client that had the keys, or a token for the role, that the ModelCache's source is read with)"
        )
    }

    private func isAuthorized(_ request: SourceRequest) -> Bool {
        authorizations[request.name].map { request.caller.isAuthorized(by: $0) } ?? false
    }

    private func mayBeServedUnasked(_ request: SourceRequest) -> Bool {
        isAuthorized(request) && machines[request.name]?.isOpen == true && model(request.name)?.isComplete == true
    }

    /// Holds a model that the credentials of others have filled as far as it can be, or fill now. Chunks that are lost
    /// meanwhile are theirs to fetch too.
    private func holdForReading(_ request: SourceRequest) -> ModelHold? {
        guard machines[request.name]?.isOpen == true, let model = model(request.name), model.needsNoNewFill else {
            return nil
        }
        return hold(model, request.name, request.query)
    }

    /// A pod that has shown a token of the ModelCache's namespace, and brings no credentials of its own, reads the
    /// complete files here whatever the source says: the source's credentials are a fill's.
    ///
    /// - Returns: nil: bytes are missing, the copy is not the pinned one, or the refusal is not the source's: of the
    ///   caller's own credentials, of a malformed setting, or of this node's medium.
    func holdForNamespace(_ uid: String, _ query: SourceQuery, because refusal: AgentFailure) -> ModelHold? {
        let name = ModelName.cache(uid)
        guard !isClosed, refusal.code != .capacity, refusal.code != .internal || refusal.storeKind != nil,
            machines[name]?.isOpen == true, let model = model(name), model.isComplete,
            let settings = try? SourceSettings(query.variables),
            settings.configuration.credentials.principal.kind == .anonymous,
            query.digest == nil || SourceDigest(of: model.cached.manifest).description == query.digest
        else { return nil }
        logger.warning(
            "the source cannot be asked, serving the complete cached copy",
            metadata: ["model": "\(uid)", "reason": "\(refusal)"])
        return hold(model, name, query)
    }

    private func serveUnasked(_ request: SourceRequest, because reason: String) -> ModelHold? {
        guard mayBeServedUnasked(request), let held = holdOpen(request, onlyComplete: true) else { return nil }
        logger.warning(
            "the store does not answer, serving the complete cached copy",
            metadata: ["model": "\(id(request.name))", "reason": "\(reason)"])
        return held
    }

    /// Holds the model when it is open and nothing of it failed.
    private func holdOpen(_ request: SourceRequest, onlyComplete: Bool) -> ModelHold? {
        guard machines[request.name]?.isOpen == true, let model = model(request.name),
            onlyComplete ? model.isComplete : !model.hasFailed
        else { return nil }
        let held = hold(model, request.name, request.query)
        // A chunk may have been lost while nobody held the model.
        if model.needsFill() { startFill(model, request) }
        return held
    }

    /// The caller holds the model from now on, and lends its settings for chunks that are lost meanwhile.
    func hold(_ model: OpenModel, _ name: ModelName, _ query: SourceQuery) -> ModelHold {
        // The closure outlives this caller's hold: the query, which has its keys, must not be in it.
        model.hold(query) { [weak self, weak model] in
            if let model { await self?.chunkWasLost(model, name) }
        }
    }

    // MARK: Authorizations

    private func remember(_ request: SourceRequest) {
        guard machines[request.name]?.isOpen == true else { return }
        var known = authorizations[request.name] ?? Authorizations()
        var isNew = known.judged(request.caller.credentials, .allowed)
        if let namespace = request.caller.namespace, known.judged(namespace, .allowed) { isNew = true }
        authorizations[request.name] = known
        if isNew { save(request.name) }
    }

    /// Nobody is authorized for a model that has no bytes.
    func forgetCallers(_ name: ModelName) {
        recentProofs.forget(name)
        if authorizations.removeValue(forKey: name) != nil { save(name) }
    }

    /// Writes what is known of one model's callers, one write at a time.
    private func save(_ name: ModelName) {
        guard saving.updateValue(true, forKey: name) == nil else { return }
        let root = medium(name) == .memory ? options.root : options.diskRoot ?? options.root
        let files = AuthorizationFiles(root: root)
        let id = id(name)
        Task {
            while saving[name] == true {
                saving[name] = false
                let known = authorizations[name]
                do {
                    try await disk.run {
                        if let known { try files.write(known, id) } else { files.remove(id) }
                    }
                } catch {
                    logger.warning(
                        "callers are forgotten at the next start: they cannot be written down",
                        metadata: ["model": "\(id)", "error": "\(error)"])
                }
            }
            saving[name] = nil
        }
    }

    // MARK: Filling

    /// Sees that a model that was handed out is filled.
    private func fill(_ held: ModelHold, _ request: SourceRequest) async throws(AgentFailure) -> ModelHold {
        let model = held.model
        if model.hasFailed, model.mayRevive() { await revive(model, request.name) }
        // A model on its way out must not be filled again.
        guard self.model(request.name) === model, machines[request.name]?.isOpen == true, !isClosed else {
            release(held)
            throw isClosed
                ? Self.closing
                : AgentFailure(.unreachable, "the model was evicted while it was being opened; start again")
        }
        startFill(model, request)
        return held
    }

    /// A chunk was found wrong. Where no fill runs, one begins with the settings of a caller that holds the model, so
    /// that readers get the right bytes without a new opening. Where that cannot be, they hear the reason. Readers
    /// without credentials wait: the operator sees that the copy is not complete, and makes a Job that has some.
    private func chunkWasLost(_ model: OpenModel, _ name: ModelName) async {
        var refusal: AgentFailure?
        var waitsForOthers = false
        for query in model.holders {
            guard mayRefill(model, name), model.needsFill() else { return }
            do throws(AgentFailure) {
                let request = try await understood(query)
                if request.lacksCredentials { throw Self.lacksCredentials }
                guard mayRefill(model, name) else { return }
                return startFill(model, request)
            } catch {
                if error == Self.lacksCredentials { waitsForOthers = true } else { refusal = error }
            }
        }
        guard let refusal, !waitsForOthers, mayRefill(model, name), model.needsFill() else { return }
        model.updateBegins()
        defer { model.updateEnded() }
        let reason =
            "a damaged chunk cannot be fetched again: \(refusal.message); mend that and start the program again"
        await disk.run { model.failFilling(reason: reason) }
    }

    private func mayRefill(_ model: OpenModel, _ name: ModelName) -> Bool {
        // A revival begins a fill when the failed files are ready for it.
        !isClosed && self.model(name) === model && machines[name]?.isOpen == true && revivals[name] == nil
    }

    /// A failure was the last caller's: expired credentials, a store that was away. This one may do better.
    private func revive(_ model: OpenModel, _ name: ModelName) async {
        if let running = revivals[name] { return await running.value }
        let revival = Task {
            // The fill that failed may not have quite ended; chunks that it has stay.
            await model.stopFill()
            await disk.run { for file in model.cached.files { file.resume() } }
            revivals[name] = nil
        }
        revivals[name] = revival
        await revival.value
    }

    func startFill(_ model: OpenModel, _ request: SourceRequest) {
        let most = min(options.connections ?? .max, Int(options.inFlightBytes) / (2 << 20))
        let limits = FillLimits(
            maximumTransfers: most, initialTransfers: options.connections ?? 8, bytesPerSecond: request.bytesPerSecond)
        if let peers { model.share(peers: peers, limits: limits, logger: logger) }
        let (id, name, party) = (model.cached.id, request.name, request.party)
        let source = model.source
        let cached = model.cached
        model.fill(
            client: request.client, lease: request.lease, pool: pool, peers: peers, limits: limits, prefetches: true,
            donors: donors(for: model, name), logger: logger
        ) { [audit, weak self, weak model] hasLost in
            guard let model else { return }
            let event = model.isComplete ? "filled" : model.fillFailure != nil ? "failed" : "unfinished"
            var entry = AuditLog.Entry(event, model: id, source: source)
            entry.bytes = cached.statistics.receivedBytes
            entry.party = party
            entry.reason = event == "failed" ? cached.files.first { $0.state == .failed }?.message : nil
            audit.record(entry)
            Task {
                await self?.offer(model, name)
                if hasLost { await self?.chunkWasLost(model, name) }
            }
        }
    }

    /// Offers the model to other nodes, should it be whole: also files that were published beside a fill.
    func offer(_ model: OpenModel, _ name: ModelName) {
        guard let peers, mayRefill(model, name) else { return }
        let limit: Int64? = if case .cache(let uid) = name { caches[uid]?.definition.bandwidthLimit } else { nil }
        model.share(peers: peers, limits: FillLimits(maximumTransfers: 1, bytesPerSecond: limit), logger: logger)
    }
}
