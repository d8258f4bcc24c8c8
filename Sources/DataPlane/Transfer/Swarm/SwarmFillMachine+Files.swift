internal import ChunkStore

/// Checks of files that have all chunks, and files that nobody can complete.
extension SwarmFillMachine {
    func blocks(ofFile file: Int) -> Range<Int> { layout.fileStarts[file]..<layout.fileStarts[file + 1] }

    mutating func check(_ file: Int) {
        if checks.begin(file) { actions.append(.check(file: file)) }
    }

    mutating func checked(_ file: Int, _ result: Result<Completion, ChunkStoreError>) {
        let isWanted = checks.ended(file)
        switch result {
        case .success(.published): break
        case .success(.refill(let reason)):
            actions.append(.refill(file: file, reason: reason))
            failAfterEnd(file)
        case .success(.doubted):
            actions.append(.readAgain(file: file))
            failAfterEnd(file)
        case .success(.failed(let reason)): failFile(file, .wrongContent, reason)
        // A fill that stops ends the check, and that is no failure of the file.
        case .failure(.stale) where phase != .filling: break
        // Chunks were lost during the check: they are fetched again, which leads to another.
        case .failure(.notComplete): failAfterEnd(file)
        // The others are none the worse for it.
        case .failure(.nameTaken(let path)):
            let error = ChunkStoreError.nameTaken(path: path)
            return failFile(file, .cache(error), "\(error)")
        // It failed elsewhere meanwhile, or is closed: then the others' own writes say so.
        case .failure(.stale(let key, let chunk)):
            let error = ChunkStoreError.stale(key: key, chunk: chunk)
            return failFile(file, .cache(error), "\(error)")
        case .failure(let error):
            // Its chunks are all there, so that failing what lacks chunks would pass over it.
            failFile(file, .cache(error), "\(error)")
            failAll(.cache(error), "\(error)")
        }
        // Should chunks be missing again, the check says so.
        if isWanted, phase == .filling, !failedFiles.contains(file) { check(file) }
    }

    mutating func abandon(_ blocks: Range<Int>) {
        demanded.subtract(blocks)
        actions.append(.abandon(blocks))
    }

    /// The file cannot be completed here; the others go on.
    mutating func failFile(_ file: Int, _ failure: FillFailure, _ reason: String) {
        guard failedFiles.insert(file).inserted else { return }
        actions.append(.failFile(file, failure, reason: reason))
        abandon(blocks(ofFile: file))
    }

    /// A file that lost chunks while all others failed fails as they did: nobody fetches the chunks.
    private mutating func failAfterEnd(_ file: Int) {
        guard phase != .filling, let (failure, reason) = ending else { return }
        failFile(file, failure, reason)
    }

    /// Nothing more can come: every unfinished file fails with the reason.
    mutating func failAll(_ failure: FillFailure, _ reason: String) {
        guard phase == .filling else { return }
        ending = (failure, reason)
        actions.append(.failUnfinished(failure, reason: reason))
        stop()
    }
}
