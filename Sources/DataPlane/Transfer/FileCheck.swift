internal import ChunkStore
internal import Logging

/// Checks and publishes complete files, on threads for what blocks: some digests read the file, a disk is synced.
enum FileCheck {
    /// `done` is called once, with `.stale` soon after `stop`, be the file large and the threads busy with others.
    static func begin(
        _ file: CachedFile, until stop: WorkStop,
        _ done: @escaping @Sendable (Result<Completion, ChunkStoreError>) -> Void
    ) {
        BlockingWork.shared.submit(.completion, until: stop) {
            done(Result { () throws(ChunkStoreError) in try file.complete(until: stop) })
        } stopped: {
            done(.failure(.stale(key: file.key, chunk: 0)))
        }
    }

    /// Tells people of what no mistake of the bytes is: the file's end, or a doubt that a second download settles.
    static func log(_ completion: Completion, of file: CachedFile, to logger: Logger) {
        switch completion {
        case .published(let verification):
            var metadata: Logger.Metadata = [
                "file": "\(file.key)", "bytes": "\(file.size)", "verification": "\(verification)",
            ]
            guard let reason = file.unverifiableReason else {
                return logger.info("file complete", metadata: metadata)
            }
            metadata["reason"] = "\(reason)"
            logger.warning("file complete, its bytes could not be verified", metadata: metadata)
        case .doubted(let reason):
            logger.info("reading a file once more", metadata: ["file": "\(file.key)", "reason": "\(reason)"])
        case .refill, .failed: break
        }
    }
}
