internal import ChunkStore
internal import Logging
internal import ObjectStore
internal import Swarm
internal import SwarmPlan
internal import Synchronization

/// Received blocks are checked and made visible, and files completed.
extension SwarmFill {
    // MARK: Digests

    /// The block is complete: is it right?
    func judge(_ fetch: SwarmFetch) {
        guard let part = parts[fetch] else { return }
        hand(.fetches(.judged(fetch, verdict(on: fetch, part, part.writer.checksum))))
        // Only the beginning's own chunks can make it complete.
        if let needed = machine.beginningNeeded(ofFile: part.place.file), part.place.chunk < needed {
            lookForLayout(part.place.file)
        }
    }

    private func verdict(on fetch: SwarmFetch, _ part: Part, _ crc: UInt64) -> SwarmFillMachine.Verdict {
        let short = ControlFrame.digest(of: crc)
        guard let peer = part.peer else {
            for wrong in book.settled(part.block, digest: short) {
                recordFault(of: SwarmPeer(wrong), it: "asserted a wrong digest of block \(part.block)")
            }
            return accept(fetch, part, crc)
        }
        switch book.judge(
            part.block, digest: short, from: peer.index, announced: announced[peer]?.contains(part.block) == true)
        {
        case .right: return accept(fetch, part, crc)
        case .unknown: return .unknown
        case .corrupt:
            recordFault(of: peer, it: "sent wrong bytes for block \(part.block)")
            book.distrust(peer.index)
            return .corrupt
        case .disputed: return .disputed
        case .broken: return .broken
        }
    }

    private func recordFault(of peer: SwarmPeer, it did: String) {
        let address = net?.address(of: peer).map { "\($0)" } ?? "?"
        meter.wrongPeerBlock()
        faults.withLock { $0[address, default: 0] += 1 }
        logger.error(
            "a peer is not to be trusted",
            metadata: ["model": "\(model.id)", "peer": "\(address)", "reason": "it \(did)"])
    }

    private func accept(_ fetch: SwarmFetch, _ part: Part, _ crc: UInt64) -> SwarmFillMachine.Verdict {
        let address = ChunkAddress(file: part.place.file, chunk: part.place.chunk)
        do throws(ChunkStoreError) {
            let outcome = try part.writer.assembly.accept(block: part.place.blockOfChunk, checksum: crc)
            shared.hold(part.block, digest: crc)
            if let address = part.peer.flatMap({ net?.address(of: $0) }) {
                receipts.withLock { $0.received(Int64(part.place.range.count), from: "\(address)", now: .now) }
            }
            // Gone before the machine says so: the block is not void for those it was relayed to.
            parts[fetch] = nil
            if outcome.chunkIsComplete { assemblies[address] = nil }
            return .accepted(isFilesLast: outcome.isLast)
        } catch {
            assemblies[address] = nil
            return .stale
        }
    }

    // MARK: Whole files

    func checked(_ index: Int, _ result: Result<Completion, ChunkStoreError>) {
        let file = set.files[index]
        if case .success(let completion) = result { FileCheck.log(completion, of: file, to: logger) }
        hand(.fetches(.fileChecked(index, result)))
    }

    func refill(_ index: Int, _ reason: String) {
        logger.error(
            "whole file's digest is wrong, reading it again from the store",
            metadata: ["file": "\(set.files[index].key)", "reason": "\(reason)"])
        meter.refilled()
        // Somebody asserted a wrong digest.
        readAgain(index)
    }

    /// The store alone is believed now, and tells who asserted a wrong digest.
    func readAgain(_ index: Int) {
        let blocks = shared.layout.fileStarts[index]..<shared.layout.fileStarts[index + 1]
        book.dispute(blocks)
        lose(blocks)
        resume(takeUp.lost(file: index))
    }

    /// The medium could not read a chunk back: it is missing again.
    func lost(_ chunk: LostChunk) {
        guard let place = set.position(ofFileIndex: chunk.fileIndex) else { return }
        let blocks = shared.layout.blocks(ofChunk: chunk.chunk, file: place)
        lose(blocks)
        let address = ChunkAddress(file: place, chunk: chunk.chunk)
        if takeUp.lost(address) { resume([address]) }
        guard chunk.isAwaited else { return }
        want(blocks)
    }

    private func lose(_ blocks: Range<Int>) {
        guard !blocks.isEmpty else { return }
        shared.lose(blocks)
        hand(.plan(.lost([blocks])))
    }

    /// The planner asked nobody for them.
    private func resume(_ chunks: [ChunkAddress]) {
        guard !chunks.isEmpty else { return }
        hand(.plan(.resumed(chunks.map { shared.layout.blocks(ofChunk: $0.chunk, file: $0.file) })))
    }

    func failFile(_ index: Int, _ kind: FillFailure, _ reason: String) {
        if kind.isLackOfBytes, !hasTriedRest, copy?.mayBring(file: index) == true {
            return left[index] = (kind, reason)
        }
        let file = set.files[index]
        cause.withLock { $0 = $0 ?? kind }
        logger.error("file failed", metadata: ["model": "\(model.id)", "file": "\(file.key)", "reason": "\(reason)"])
        file.fail(reason: reason, alone: kind.isFilesOwn)
    }

    func failUnfinished(_ kind: FillFailure, _ reason: String) {
        for (index, file) in set.files.enumerated()
        where file.state == .filling && file.receivedChunks < file.chunkCount {
            failFile(index, kind, reason)
            carryOut(.abandon(shared.layout.fileStarts[index]..<shared.layout.fileStarts[index + 1]))
        }
    }
}
