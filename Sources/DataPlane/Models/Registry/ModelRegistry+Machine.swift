internal import AgentAPI
internal import ChunkStore
internal import Foundation
internal import Logging
internal import ObjectStore

/// Carries out what the machines decide.
extension ModelRegistry {
    /// Tells the model's machine what happened.
    func send(_ name: ModelName, _ event: (inout ModelMachine) -> [ModelMachine.Action]) {
        var machine = machines[name] ?? ModelMachine()
        let actions = event(&machine)
        machines[name] = machine.isClosed ? nil : machine
        for action in actions { carryOut(action, name) }
    }

    private func carryOut(_ action: ModelMachine.Action, _ name: ModelName) {
        switch action {
        case .describe(let lead): describe(lead, name)
        case .reserve(let lead): begin(nextNumber()) { await self.reserve(lead, name) }
        case .make(let lead): begin(lead) { await self.make(lead, name) }
        case .finish(let lead): finish(lead, name)
        case .handOut(let callers): handOut(callers, name)
        case .refuse(let callers, let failure): for caller in callers { answer(caller, .failure(failure)) }
        case .evict(let reason): begin(nextNumber()) { await self.evictFiles(name, reason: reason) }
        case .tell(let requesters, let outcome): for requester in requesters { tell(requester, outcome, of: name) }
        }
    }

    /// File work that the registry awaits before it closes: under the number of the lead whose opening it belongs to,
    /// or its own.
    private func begin(_ number: UInt64, _ step: @escaping @Sendable () async -> Void) {
        steps[number] = Task {
            await step()
            steps[number] = nil
        }
    }

    private func answer(_ caller: ModelMachine.Caller, _ result: Result<ModelHold, AgentFailure>) {
        // Closing the registry has refused everybody.
        guard let waiting = openings.removeValue(forKey: caller) else { return }
        waiting.continuation.resume(returning: result)
    }

    private func handOut(_ callers: [ModelMachine.Caller], _ name: ModelName) {
        guard let model = model(name) else { preconditionFailure("a model is handed out that is not open") }
        for caller in callers {
            guard let waiting = openings[caller] else { continue }
            answer(caller, .success(hold(model, waiting.request.name, waiting.request.query)))
        }
    }

    // MARK: Steps of an opening

    private func describe(_ lead: ModelMachine.Caller, _ name: ModelName) {
        guard let waiting = openings[lead] else { return }
        let known = model(name)?.cached.manifest
        descriptions[lead] = Task {
            defer { descriptions[lead] = nil }
            do throws(AgentFailure) {
                let manifest = try await waiting.request.describe(waiting.listing, known: known)
                self.described(lead, name, manifest)
            } catch {
                self.failed(lead, name, error)
            }
        }
    }

    private func described(_ lead: ModelMachine.Caller, _ name: ModelName, _ manifest: Manifest) {
        openings[lead]?.described = manifest
        send(name) { $0.described(lead) }
    }

    private func failed(_ lead: ModelMachine.Caller, _ name: ModelName, _ failure: AgentFailure) {
        // Files that were replaced are gone, though the new ones could not be made.
        let keepsFormer = model(name) != nil
        send(name) { $0.failed(lead, failure, keepsFormer: keepsFormer) }
    }

    private func reserve(_ lead: ModelMachine.Caller, _ name: ModelName) async {
        let medium = medium(name)
        let policy: EvictionPolicy
        do throws(AgentFailure) { policy = try await self.policy(medium) } catch { return failed(lead, name, error) }
        // The opening may have been given up meanwhile: nobody would take its promise back.
        guard machines[name]?.isReserving(lead) == true, let manifest = openings[lead]?.described else { return }
        var bytes = manifest.totalBytes
        if case .cache(let uid) = name { bytes = max(bytes, caches[uid]?.reservedBytes ?? 0) }
        let grant: CapacityBook.Grant
        do throws(ChunkStoreError) {
            let leaving = Set(machines.filter { $0.value.isLeaving }.map { id($0.key) })
            let usages = usages(medium, except: name)
            grant = try books[medium, default: CapacityBook()].reserve(
                bytes, for: .opening(name), policy: policy, among: usages, leaving: leaving)
        } catch {
            return failed(lead, name, AgentFailure(error))
        }
        let ids = grant.victims + grant.leaving
        // The opening's own id, so that nothing is granted before every victim was told.
        awaitedEvictions[lead] = Set(ids + [id(name)])
        for victim in ids {
            guard let victimName = self.name(victim) else {
                awaitedEvictions[lead]?.remove(victim)
                continue
            }
            requestEviction(
                of: victimName, by: .opening(lead), force: false,
                reason: "the model was evicted for the capacity of another; start again")
            // One that refuses ends the opening: no other model goes for it.
            guard awaitedEvictions[lead] != nil else { return }
        }
        evictionEnded(id(name), for: lead)
    }

    private func evictionEnded(_ id: String, for lead: ModelMachine.Caller) {
        guard var awaited = awaitedEvictions[lead] else { return }
        awaited.remove(id)
        awaitedEvictions[lead] = awaited.isEmpty ? nil : awaited
        guard awaited.isEmpty, let name = openings[lead]?.request.name else { return }
        send(name) { $0.granted(lead) }
    }

    /// The step is over or given up. The lead itself may be answered already, or lead no more.
    private func finish(_ lead: ModelMachine.Caller, _ name: ModelName) {
        awaitedEvictions[lead] = nil
        books[medium(name)]?.release(.opening(name))
        // Of an opening that was given up: its listing need not be described any more.
        if openings[lead] == nil { descriptions.removeValue(forKey: lead)?.cancel() }
    }

    private func make(_ lead: ModelMachine.Caller, _ name: ModelName) async {
        guard let waiting = openings[lead], let manifest = waiting.described else {
            return failed(lead, name, Self.closing)
        }
        do throws(AgentFailure) {
            if let model = model(name) {
                try await update(model, name, to: manifest, waiting.request)
            } else {
                try await make(manifest, name, waiting.request)
            }
        } catch {
            return failed(lead, name, error)
        }
        send(name) { $0.made(lead) }
    }

    private func make(_ manifest: Manifest, _ name: ModelName, _ request: SourceRequest) async throws(AgentFailure) {
        let cached: CachedModel
        let source: String
        do throws(ChunkStoreError) {
            switch name {
            case .source:
                source = request.location.description
                cached = try await disk.run { [root] () throws(ChunkStoreError) in try root.open(manifest) }
            case .cache(let uid):
                guard let cache = caches[uid] else { throw ModelMachine.gone.asMissingVolume(uid) }
                source = cache.definition.source.uri
                cached = try await disk.run { () throws(ChunkStoreError) in try cache.volume.open(manifest) }
            }
        } catch {
            throw AgentFailure(error)
        }
        let model = OpenModel(cached: cached, source: source)
        take(model, name)
        var entry = AuditLog.Entry("open", model: id(name), source: source)
        entry.bytes = cached.manifest.totalBytes
        entry.party = request.party
        audit.record(entry)
        logger.info(
            "model opened",
            metadata: [
                "model": "\(id(name))", "source": "\(source)", "files": "\(cached.manifest.files.count)",
                "bytes": "\(cached.manifest.totalBytes)",
            ])
        if cached.manifest.change(to: manifest).isEmpty { return startFill(model, request) }
        // The start could not take this model up, and the source has changed since it was cached.
        do throws(AgentFailure) { try await update(model, name, to: manifest, request) } catch {
            await model.stopFill()
            // The next opening takes it up again.
            if self.model(name) === model { gone(model, name) }
            throw error
        }
    }

    private func take(_ model: OpenModel, _ name: ModelName) {
        switch name {
        case .source(let identity): models[identity] = model
        case .cache(let uid):
            caches[uid]?.model = model
            caches[uid]?.failure = nil
        }
    }

    /// The source has other objects than the model has files. Those that stand keep their chunks and readers.
    private func update(
        _ model: OpenModel, _ name: ModelName, to manifest: Manifest, _ request: SourceRequest
    ) async throws(AgentFailure) {
        let change = model.cached.manifest.change(to: manifest)
        // The listing and the description can differ: then the files stand though the listing changed.
        if change.isEmpty { return }
        logger.notice("the source has changed", metadata: ["model": "\(id(name))", "change": "\(change.summary)"])
        model.updateBegins()
        defer { model.updateEnded() }
        await model.stopFill()
        let cached = model.cached
        do throws(ChunkStoreError) {
            _ = try await disk.run { () throws(ChunkStoreError) in try cached.update(to: manifest) }
        } catch {
            if cached.isClosed {
                // The former set is gone too: the next opening makes the model anew from what lies there.
                let reason = "the model's files could not be changed (\(error)); start again"
                await disk.run { model.failFilling(reason: reason) }
                gone(model, name)
            } else {
                model.updateEnded()
                startFill(model, request)
            }
            throw AgentFailure(error)
        }
        var entry = AuditLog.Entry("update", model: id(name), source: model.source)
        entry.bytes = cached.manifest.totalBytes
        entry.change = change.summary
        entry.party = request.party
        audit.record(entry)
        model.updateEnded()
        startFill(model, request)
    }

    // MARK: Eviction

    private func tell(_ requester: ModelMachine.Requester, _ outcome: ModelMachine.Outcome, of name: ModelName) {
        switch requester {
        case .request(let number): evictions.removeValue(forKey: number)?.resume(returning: outcome)
        case .upkeep: break
        case .opening(let lead):
            if case .refused(let failure) = outcome {
                guard awaitedEvictions.removeValue(forKey: lead) != nil, let waiting = openings[lead] else { return }
                failed(lead, waiting.request.name, failure)
            } else {
                evictionEnded(id(name), for: lead)
            }
        }
    }

    func requestEviction(
        of name: ModelName, by requester: ModelMachine.Requester, force: Bool, isFinal: Bool = false, reason: String
    ) {
        let (users, isPinned) = (model(name)?.cached.usage.inUse ?? 0, isPinned(name))
        send(name) {
            $0.evictRequested(
                by: requester, force: force, isFinal: isFinal, users: users, isPinned: isPinned, reason: reason)
        }
    }

    private func evictFiles(_ name: ModelName, reason: String) async {
        var failure: AgentFailure?
        if let model = model(name) {
            await model.endFill()
            // Waiting readers hear that nothing more comes.
            await disk.run { model.failFilling(reason: reason) }
            do throws(AgentFailure) { try await removeFiles(model, name, reason: reason) } catch { failure = error }
        }
        forgetCallers(name)
        send(name) { $0.evicted(failure) }
    }

    /// Stops the fill and gives up the bytes. Of a cache, volume, socket and definition stay, so that a later client
    /// streams again.
    private func removeFiles(_ model: OpenModel, _ name: ModelName, reason: String) async throws(AgentFailure) {
        await model.stopFill()
        defer { gone(model, name) }
        do throws(ChunkStoreError) {
            switch name {
            case .source: try await disk.run { [root] () throws(ChunkStoreError) in try root.evict(model.cached) }
            case .cache(let uid):
                guard let volume = caches[uid]?.volume else { return }
                try await disk.run { () throws(ChunkStoreError) in try volume.drop() }
            }
        } catch {
            logger.error("model cannot be removed", metadata: ["model": "\(id(name))", "error": "\(error)"])
            throw AgentFailure(error)
        }
        var entry = AuditLog.Entry("evict", model: id(name), source: model.source)
        entry.bytes = model.cached.manifest.totalBytes
        audit.record(entry)
        logger.info("model evicted", metadata: ["model": "\(id(name))", "reason": "\(reason)"])
    }

    private func gone(_ model: OpenModel, _ name: ModelName) {
        switch name {
        case .source(let identity): models[identity] = nil
        case .cache(let uid):
            caches[uid]?.pastOriginBytes += model.originBytes
            caches[uid]?.pastPeerBytes += model.peerBytes
            caches[uid]?.pastCopiedBytes += model.copiedBytes
            caches[uid]?.model = nil
        }
    }
}

extension AgentFailure {
    fileprivate func asMissingVolume(_ uid: String) -> ChunkStoreError {
        .io(operation: "find the volume of", path: uid, errno: ENOENT)
    }
}
