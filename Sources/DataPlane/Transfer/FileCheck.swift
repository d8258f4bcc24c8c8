internal import ChunkStore
internal import Logging

/// Checks and publishes complete files, on threads for what blocks: some digests read the file, a disk is synced.
enum FileCheck {
    /// `done` is called once, with `.stale` soon after `stop`, be the file large and the threads busy with others.
    static func begin(
        _ file: CachedFile, of model: CachedModel, until stop: WorkStop,
        _ done: @escaping @Sendable (Result<Completion, ChunkStoreError>) -> Void
    ) {
        let slices = Slices(CompletionWork(file, until: stop))
        BlockingWork.shared.submitSlices(.completion, for: model.work, until: stop) {
            do throws(ChunkStoreError) {
                guard let completion = try slices.work.next() else { return true }
                done(.success(completion))
            } catch {
                done(.failure(error))
            }
            return false
        } stopped: {
            done(.failure(.stale(key: file.key, chunk: 0)))
        }
    }

    /// `@unchecked Sendable`: one slice at a time runs, and the queue's lock orders it after the one before.
    private final class Slices: @unchecked Sendable {
        var work: CompletionWork
        init(_ work: CompletionWork) { self.work = work }
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
