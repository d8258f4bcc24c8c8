internal import ChunkStore
internal import Logging
internal import Swarm
internal import SwarmPlan
internal import Synchronization

/// What becomes of blocks that came: checked, made visible, and files completed.
extension SwarmFill {
    // MARK: Digests

    /// The block is whole: is it right?
    func judge(_ fetch: SwarmFetch, _ flight: Flight) {
        guard let crc = flight.waitsForDigest else { return }
        let short = ControlFrame.digest(of: crc)
        guard let peer = flight.peer else {
            fatalAnswers = 0
            for liar in book.settled(flight.block, digest: short) { blame(SwarmPeer(liar), "asserted a wrong digest of block \(flight.block)") }
            return accept(fetch, flight, crc)
        }
        switch book.judge(flight.block, digest: short, from: peer.index, announced: announced[peer]?.contains(flight.block) == true) {
        case .right: accept(fetch, flight, crc)
        case .unknown: break
        case .corrupt:
            blame(peer, "sent wrong bytes for block \(flight.block)")
            book.distrust(peer.index)
            drop(fetch, flight)
            handle(.failed(fetch, .corrupt))
        case .disputed:
            drop(fetch, flight)
            handle(.failed(fetch, .notThere))
        case .broken:
            drop(fetch, flight)
            handle(.failed(fetch, .broken))
        }
    }

    func blame(_ peer: SwarmPeer, _ what: String) {
        let address = net?.address(of: peer).map { "\($0)" } ?? "?"
        meter.wrongPeerBlock()
        faults.withLock { $0[address, default: 0] += 1 }
        logger.error("a peer is not to be trusted", metadata: ["model": "\(model.id)", "peer": "\(address)", "reason": "it \(what)"])
    }

    func accept(_ fetch: SwarmFetch, _ flight: Flight, _ crc: UInt64) {
        let address = ChunkAddress(file: flight.place.file, chunk: flight.place.chunk)
        let outcome: (chunkIsComplete: Bool, isLast: Bool)
        do {
            outcome = try flight.assembly.accept(block: flight.place.blockOfChunk, checksum: crc)
        } catch {
            assemblies[address] = nil
            drop(fetch, flight)
            return refuse(fetch)
        }
        shared.hold(flight.block, digest: crc)
        if let peer = flight.peer { receivedFrom[peer, default: 0] += Int64(flight.place.range.count) }
        flights[fetch] = nil
        busy[flight.block] = nil
        if outcome.chunkIsComplete { assemblies[address] = nil }
        handle(.received(fetch))
        if let other = waiting.removeValue(forKey: flight.block) { refuse(other.fetch) }
        if outcome.isLast { complete(flight.place.file) }
    }

    // MARK: Whole files

    func complete(_ index: Int) {
        guard completing.insert(index).inserted else { return }
        let file = model.files[index]
        Task.detached { [weak self] in
            // Blocking: some digests read the whole file.
            let result = Result { () throws(ChunkStoreError) in try file.complete() }
            await self?.completed(index, result)
        }
    }

    func completed(_ index: Int, _ result: Result<Completion, ChunkStoreError>) {
        defer { if isDone { doneNap?.cancel() } }
        completing.remove(index)
        let file = model.files[index]
        let blocks = shared.layout.fileStarts[index]..<shared.layout.fileStarts[index + 1]
        switch result {
        case .success(.published(let verification)):
            logger.info("file complete", metadata: ["file": "\(file.key)", "bytes": "\(file.size)", "verification": "\(verification)"])
        case .success(.refill(let reason)):
            logger.error("whole file's digest is wrong, reading it again from the store", metadata: ["file": "\(file.key)", "reason": "\(reason)"])
            meter.refilled()
            // Somebody asserted a wrong digest: the store alone is believed now, and tells who it was.
            book.dispute(blocks)
            lose(blocks)
        case .success(.failed(let reason)):
            logger.error("file failed", metadata: ["file": "\(file.key)", "reason": "\(reason)"])
            cause.withLock { $0 = $0 ?? .wrongContent }
            lose(blocks)
        case .failure(let error): fail(.cache(error), "\(error)")
        }
    }

    func lose(_ blocks: Range<Int>) {
        guard !blocks.isEmpty else { return }
        shared.lose(blocks)
        handle(.lost([blocks]))
    }

    /// Nothing more can come: every unfinished file fails with the reason.
    func fail(_ kind: FillFailure, _ reason: String) {
        cause.withLock { $0 = $0 ?? kind }
        logger.error("fill failed", metadata: ["model": "\(model.id)", "reason": "\(reason)"])
        for file in model.files where file.state == .filling && file.receivedChunks < file.chunkCount { file.fail(reason: reason) }
        stop()
    }
}
