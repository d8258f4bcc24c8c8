internal import ChunkStore

/// Checks of files that have all chunks, ends of copies, and files that nobody can complete.
extension FillMachine {
    mutating func check(_ file: Int) {
        // Its lost chunks may be here before the copied ones.
        if copying.contains(file) { return }
        if checks.begin(file) { actions.append(.check(file: file)) }
    }

    mutating func checked(_ file: Int, _ result: Result<Completion, ChunkStoreError>, _ now: Instant) {
        let isWanted = checks.ended(file)
        switch result {
        case .success(.published): break
        case .success(.refill(let reason)):
            actions.append(.refilled(file: file, reason: reason))
            planner.reset(file: file)
            failAfterEnd(file, now)
        // Nothing was found wrong: not counted as wrong bytes.
        case .success(.doubted):
            planner.reset(file: file)
            failAfterEnd(file, now)
        case .success(.failed(let reason)): fail(file, .wrongContent, reason, now)
        // A fill that stops ends the check, and that is no failure of the file.
        case .failure(.stale) where phase != .filling: break
        // Chunks were lost during the check: they are fetched again, which leads to another.
        case .failure(.notComplete): failAfterEnd(file, now)
        // The others are none the worse for it.
        case .failure(.nameTaken(let path)):
            let error = ChunkStoreError.nameTaken(path: path)
            return fail(file, .cache(error), "\(error)", now)
        // It failed elsewhere meanwhile, or is closed: then the others' own writes say so.
        case .failure(.stale(let key, let chunk)):
            let error = ChunkStoreError.stale(key: key, chunk: chunk)
            return fail(file, .cache(error), "\(error)", now)
        case .failure(let error):
            // Its chunks are all there, so that failing what lacks chunks would pass over it.
            fail(file, .cache(error), "\(error)", now)
            failAll(.cache(error), "\(error)", now)
        }
        if isWanted, phase == .filling, planner.missingChunks(ofFile: file) == 0 { check(file) }
    }

    mutating func copyEnded(_ file: Int, _ now: Instant) {
        // It may have failed for a chunk that was fetched.
        guard copying.remove(file) != nil else { return }
        lookForLayout(file)
        if planner.missingChunks(ofFile: file) == 0 { check(file) } else { failAfterEnd(file, now) }
    }

    mutating func fail(_ file: Int, _ failure: FillFailure, _ reason: String, _ now: Instant) {
        copying.remove(file)
        failedFiles.insert(file)
        actions.append(.failFile(file, failure, reason: reason))
        planner.abandon(file: file)
        for id in records.keys.sorted() where records[id]?.run.file == file { drop(id, now) }
    }

    /// A file that lost chunks while all others failed fails as they did: nobody fetches the chunks.
    mutating func failAfterEnd(_ file: Int, _ now: Instant) {
        guard phase != .filling, let (failure, reason) = ending else { return }
        fail(file, failure, reason, now)
    }

    /// Nothing more can come: every unfinished file fails with the reason.
    mutating func failAll(_ failure: FillFailure, _ reason: String, _ now: Instant) {
        ending = ending ?? (failure, reason)
        for file in names.indices where planner.missingChunks(ofFile: file) > 0 { fail(file, failure, reason, now) }
        stop(now)
    }
}
