internal import ChunkStore
internal import Swarm

/// Chunks that are here already. Those whose digests are known, as a former fill of this agent left them, are offered
/// at once. The others are held against their CRCs in the background: readers and transfers never wait for that.
extension SwarmFill {
    /// Tells planner and peers which blocks are here. The planner asks nobody for those that are to be checked first.
    func takeUpReceived() {
        let layout = shared.layout
        var unknown: Set<ChunkAddress> = []
        for (place, file) in set.files.enumerated() {
            for chunk in 0..<file.chunkCount where file.isReceived(chunk) {
                guard let digests = file.knownDigests(of: chunk, blockBytes: layout.blockBytes) else {
                    unknown.insert(ChunkAddress(file: place, chunk: chunk))
                    continue
                }
                hold(layout.blocks(ofChunk: chunk, file: place), digests)
            }
        }
        guard !unknown.isEmpty else { return }
        var order: [ChunkAddress] = []
        var left = unknown
        for block in layout.readingOrder {
            let place = layout.place(of: Int(block))
            if let chunk = left.remove(ChunkAddress(file: place.file, chunk: place.chunk)) { order.append(chunk) }
        }
        takeUp = TakeUp(order)
        hand(.plan(.abandoned(order.map { layout.blocks(ofChunk: $0.chunk, file: $0.file) })))
    }

    private func hold(_ blocks: Range<Int>, _ digests: [UInt64]) {
        for (block, digest) in zip(blocks, digests) { shared.hold(block, digest: digest) }
    }

    /// One chunk in a turn: the models of the node take turns.
    func checkNextReceived() {
        guard !machine.isStopping, !isClosed, let next = takeUp.next() else { return }
        let (file, blockBytes) = (set.files[next.file], shared.layout.blockBytes)
        BlockingWork.shared.submit(.completion, for: model.work, until: checking) { [mailbox] in
            mailbox.put(.takenUp(next, file.check(next.chunk, blockBytes: blockBytes)))
        } stopped: {
            // Nothing is taken up after a stop.
        }
    }

    func takenUp(_ address: ChunkAddress, _ check: ChunkCheck) {
        var digests: [UInt64]?
        // A chunk that was lost since is told as lost.
        if case .right(let found) = check, set.files[address.file].isReceived(address.chunk) { digests = found }
        if takeUp.ended(isRight: digests != nil), let digests {
            let blocks = shared.layout.blocks(ofChunk: address.chunk, file: address.file)
            hold(blocks, digests)
            hand(.plan(.held([blocks])))
        }
        checkNextReceived()
    }

    /// Another node asks for the block.
    func isWantedElsewhere(_ block: Int) {
        guard block >= 0, block < shared.layout.count else { return }
        let place = shared.layout.place(of: block)
        takeUp.want(ChunkAddress(file: place.file, chunk: place.chunk))
    }

    /// A block that is here, and is checked before it is offered.
    func isBeingTakenUp(_ block: Int) -> Bool {
        let place = shared.layout.place(of: block)
        return takeUp.isPending(ChunkAddress(file: place.file, chunk: place.chunk))
    }
}
