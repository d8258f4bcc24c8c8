internal import ChunkStore
internal import Swarm

/// Files that are copied from other caches of this node. The planner asks nobody for their blocks meanwhile; each that
/// is here is announced as one that came from the store.
extension SwarmFill {
    func beginCopy() {
        guard let copy else { return }
        hand(.plan(.abandoned(copy.files.sorted().flatMap { blocks(ofMissingChunksOf: $0) })))
        copy.start { [mailbox] in mailbox.put(.copy($0)) }
    }

    func copied(_ event: LocalCopy.Event) {
        switch event {
        case .copied(let file, let chunks):
            for chunk in chunks {
                let blocks = shared.layout.blocks(ofChunk: chunk.chunk, file: file)
                for (block, digest) in zip(blocks, chunk.digests) { shared.hold(block, digest: digest) }
                hand(.plan(.held([blocks])))
                hand(.fetches(.copied(blocks)))
            }
            lookForLayout(file)
        case .missing(let file, let chunks, let isAwaited):
            let blocks = chunks.map { shared.layout.blocks(ofChunk: $0, file: file) }
            resume(blocks, areAwaited: isAwaited)
        case .ended(let file):
            // A chunk of an earlier agent may have been found wrong meanwhile.
            resume(blocks(ofMissingChunksOf: file), areAwaited: false)
            if set.files[file].state == .filling, set.files[file].receivedChunks == set.files[file].chunkCount {
                hand(.fetches(.complete(file: file)))
            }
        }
    }

    /// A long copy leaves a part to store and peers to learn their rate (``CopyPace``). A file of which they do not
    /// give that part is complete all the same, if later.
    func copyRest() async {
        hasTriedRest = true
        defer { copy?.forgetDonors() }
        guard !left.isEmpty else { return }
        copy?.stop()
        await copy?.finished()
        for (address, assembly) in assemblies where left[address.file] != nil {
            assembly.abort()
            assemblies[address] = nil
        }
        if !isStopRequested, let rest = copy?.rest(of: Set(left.keys)) {
            self.rest = rest
            restFiles = rest.files
            rest.start { [mailbox] in mailbox.put(.rest($0)) }
            while !isClosed, !restFiles.isEmpty || !machine.isQuiet {
                await withCheckedContinuation { waiters.append($0) }
            }
        }
        let all = left
        left = [:]
        for (index, failure) in all.sorted(by: { $0.key < $1.key })
        where set.files[index].state == .filling && !isStopRequested {
            failFile(index, failure.kind, failure.reason)
        }
    }

    /// A demand that came while the planner asked nobody for them was dropped there, and is made again.
    private func resume(_ blocks: [Range<Int>], areAwaited: Bool) {
        hand(.plan(.resumed(blocks)))
        for blocks in blocks where areAwaited || !machine.demanded.isDisjoint(with: blocks) { want(blocks) }
    }

    private func blocks(ofMissingChunksOf file: Int) -> [Range<Int>] {
        set.files[file].missingChunks().map { shared.layout.blocks(ofChunk: $0, file: file) }
    }
}
