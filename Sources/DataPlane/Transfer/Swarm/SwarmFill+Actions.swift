internal import ChunkStore
internal import ObjectStore
internal import RangeTransfer
internal import Swarm
internal import SwarmPlan

/// Carries out the actions of the planner and of the machine.
extension SwarmFill {
    // MARK: The planner's actions

    func carryOut(_ action: SwarmAction) {
        guard let net else { return }
        switch action {
        case .connect(let peer): net.connect(peer)
        case .disconnect(let peer): net.disconnect(peer)
        case .sendMap(let peer): net.send(planner.map, to: peer)
        case .announce(let delta, let peers): net.send(delta, to: peers)
        case .fetchFromStore(let fetch, let block, let reason):
            if reason != .owner {
                logger.debug(
                    "read from the store by another than its owner",
                    metadata: ["model": "\(model.id)", "block": "\(block)", "reason": "\(reason)"])
            }
            hand(.fetches(.asked(fetch, block: block, from: .store, isUrgent: false)))
        case .fetchFromPeer(let fetch, let peer, let block, let urgent):
            if book.sentWrongBytes(peer.index) { return hand(.plan(.failed(fetch, .corrupt))) }
            let source: SwarmFillMachine.Source = book.needsStore(block) ? .store : .peer(peer)
            hand(.fetches(.asked(fetch, block: block, from: source, isUrgent: urgent)))
        case .cancel(let fetch): hand(.fetches(.cancelled(fetch)))
        case .ban(let peer, let until, let why):
            logger.notice(
                "peer banned",
                metadata: [
                    "model": "\(model.id)", "peer": "\(net.address(of: peer).map { "\($0)" } ?? "?")",
                    "reason": "\(why)",
                    "seconds": "\((until - min(until, instant)) / 1_000_000_000)",
                ])
        case .tick(let at): nextTick = at
        case .complete: break
        }
    }

    // MARK: The machine's actions

    func carryOut(_ action: SwarmFillMachine.Action) {
        switch action {
        case .begin(let fetch, let block, let source, let isUrgent): begin(fetch, block, source, isUrgent)
        case .returnGrant: grant = nil
        case .cancel(let fetch): parts[fetch]?.transfer?.cancel()
        case .pause(let fetch): parts[fetch]?.transfer?.pause()
        case .resume(let fetch): parts[fetch]?.transfer?.resume()
        case .judge(let fetch): judge(fetch)
        case .forget(let fetch):
            guard let part = parts.removeValue(forKey: fetch) else { return }
            part.sink.abort()
            shared.end(part.block, part.arrival)
        case .tell(let event): hand(.plan(event))
        case .want(let blocks): want(blocks)
        case .readLayout(let file, let chunks): readLayout(file, chunks)
        case .throttleStore(let delay):
            hand(.plan(.storeThrottled(until: instant + UInt64(max(0, delay / .nanoseconds(1))))))
        case .abandon(let blocks):
            shared.lose(blocks)
            hand(.plan(.abandoned([blocks])))
        case .check(let file):
            FileCheck.begin(set.files[file], of: model, until: checking) { [mailbox] in
                mailbox.put(.checked(file, $0))
            }
        case .refill(let file, let reason): refill(file, reason)
        case .readAgain(let file): readAgain(file)
        case .failFile(let file, let kind, let reason): failFile(file, kind, reason)
        case .failUnfinished(let kind, let reason): failUnfinished(kind, reason)
        case .retried: meter.retried()
        case .throttled: meter.wasThrottled()
        }
    }

    // MARK: Fetches

    private func begin(_ fetch: SwarmFetch, _ block: Int, _ source: SwarmFillMachine.Source, _ isUrgent: Bool) {
        guard let grant else { preconditionFailure("a fetch begins with a grant") }
        if case .held = shared.blockState(block) { return refuse(fetch, .isHere) }
        let place = shared.layout.place(of: block)
        if set.files[place.file].state == .failed { return refuse(fetch, .fileFailed) }
        do throws(ChunkStoreError) {
            let assembly = try assembly(place)
            guard let writer = assembly.writer(forBlock: place.blockOfChunk, with: grant, isRelayed: true) else {
                return refuse(fetch, .notNow)
            }
            let peer: SwarmPeer? = if case .peer(let peer) = source { peer } else { nil }
            let arrival = Arrival()
            let sink = FetchSink(writer: writer, arrival: arrival, meter: meter, isFromPeer: peer != nil)
            parts[fetch] = Part(
                block: block, place: place, writer: writer, sink: sink, arrival: arrival, peer: peer,
                isUrgent: isUrgent)
            shared.begin(block, arrival)
            send(fetch)
        } catch .chunkBusy {
            refuse(fetch, .notNow)
        } catch .chunkReceived {
            refuse(fetch, .notShared)
        } catch {
            refuse(fetch, .cache(error))
        }
    }

    private func refuse(_ fetch: SwarmFetch, _ why: SwarmFillMachine.Refusal) {
        hand(.fetches(.didNotBegin(fetch, why)))
    }

    private func assembly(_ place: BlockLayout.Place) throws(ChunkStoreError) -> ChunkAssembly {
        let address = ChunkAddress(file: place.file, chunk: place.chunk)
        if let assembly = assemblies[address] { return assembly }
        let assembly = try set.files[place.file].assembleChunk(place.chunk, blockBytes: shared.layout.blockBytes)
        assemblies[address] = assembly
        return assembly
    }

    private func send(_ fetch: SwarmFetch) {
        guard let part = parts[fetch] else { preconditionFailure("a fetch that was begun has a sink") }
        let party = part.peer == nil ? parties.current(for: part.place.file) : nil
        guard let source = party?.source ?? peerSource(of: part) else {
            return refuse(fetch, part.peer == nil ? .notNow : .peerIsGone)
        }
        let file = set.files[part.place.file]
        let range = part.place.range
        let wanted = ObjectRange(
            key: file.key, etag: part.peer == nil ? set.manifest.files[part.place.file].etag : "",
            objectSize: file.size, offset: range.lowerBound, length: UInt64(range.count))
        if part.peer == nil { meter.requested() }
        parts[fetch]?.party = party?.number
        parts[fetch]?.transfer = source.get(wanted, into: part.sink) { [mailbox] result in
            mailbox.put(.ended(fetch, result))
        }
    }

    private func peerSource(of part: Part) -> (any RangeSource)? {
        guard let peer = part.peer else { return nil }
        return net?.request(to: peer, file: part.place.file).map {
            PeerSource(
                engine: peerEngine, url: $0.url, headers: $0.headers + (part.isUrgent ? ["Priority: u=0"] : []))
        }
    }

    func ended(_ fetch: SwarmFetch, _ result: Result<Void, StoreError>) {
        guard let part = parts[fetch] else { preconditionFailure("a transfer ended that was not begun") }
        parts[fetch]?.transfer = nil
        switch result {
        // Another block may come while this one waits for its digest.
        case .success: part.writer.end()
        case .failure(let error):
            logger.debug(
                "transfer of a block failed",
                metadata: [
                    "file": "\(set.files[part.place.file].key)", "block": "\(part.block)", "reason": "\(error)",
                ])
            // The peer may know the model by another secret's name.
            if let peer = part.peer, error.status == 404, !machine.isCancelling(fetch),
                net?.tryNextKey(for: peer) == true
            {
                return send(fetch)
            }
        }
        var end = SwarmFillMachine.TransferEnd(result, sinkFailure: part.sink.failure)
        if case .failed(let error) = end, let party = part.party, parties.refused(party, file: part.place.file, error) {
            end = .partyRefused(error)
        }
        hand(.fetches(.transferEnded(fetch, end, received: part.arrival.bytes)))
    }

    // MARK: Demands

    /// A reader waits for these blocks, or will.
    func want(_ blocks: Range<Int>) {
        hand(.fetches(.demanded(blocks.filter { shared.digest(of: $0) == nil && !isBeingTakenUp($0) })))
        if hasStarted { hand(.plan(.demand([blocks]))) } else { earlyDemands.append(blocks) }
    }

    /// Lets the file's layout be read once its beginning is there.
    func lookForLayout(_ index: Int) {
        guard let chunks = machine.beginningNeeded(ofFile: index),
            set.files[index].receivedPrefix(of: 0..<chunks) == chunks
        else { return }
        hand(.fetches(.beginningIsThere(file: index)))
    }

    private func readLayout(_ index: Int, _ chunks: Int) {
        let file = set.files[index]
        let bytes = file.range(ofChunk: chunks - 1).upperBound
        // Not here: a table of 10 MB takes tens of milliseconds, and a disk's longer.
        BlockingWork.shared.submit(.demanded, for: model.work) { [mailbox] in
            mailbox.put(.layoutRead(index, LayoutReading(file, bytes: bytes)))
        }
    }
}
