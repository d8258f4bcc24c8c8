internal import Kubernetes
internal import Logging
internal import Synchronization

/// Deletes the listing Jobs that ``ListingLeftovers`` names.
///
/// **Rights.** Jobs: delete.
final class ListingSweep: Sendable {
    private let client: KubernetesClient
    private let logger: Logger
    private let state = Mutex(ListingLeftovers())
    private let signals: AsyncStream<Void>
    private let signal: AsyncStream<Void>.Continuation

    init(client: KubernetesClient, logger: Logger) {
        self.client = client
        self.logger = logger
        (signals, signal) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// The watch tells of a Job.
    ///
    /// - Parameters:
    ///   - old: as it was known; nil: it was not.
    ///   - new: as it is now; nil: it is gone.
    func changed(_ old: ListingJobView?, _ new: ListingJobView?) {
        let isDue = state.withLock { state in
            if let old, old.uid != new?.uid { state.isGone(uid: old.uid) }
            return new.map { state.saw($0) } ?? false
        }
        if isDue { signal.yield() }
    }

    /// A look makes, follows and deletes its Job within `work`.
    func follow<Result>(_ key: ObjectKey, _ work: () async throws -> Result) async rethrows -> Result {
        state.withLock { $0.follow(key) }
        defer { if state.withLock({ $0.leave(key) }) { signal.yield() } }
        return try await work()
    }

    /// Until cancelled.
    func run() async {
        await withDiscardingTaskGroup { group in
            for await _ in signals {
                for job in state.withLock({ $0.leftovers(now: .now) }) {
                    guard let pause = await remove(job) else { continue }
                    group.addTask { [signal] in
                        try? await Task.sleep(for: pause)
                        signal.yield()
                    }
                }
            }
            group.cancelAll()
        }
    }

    /// - Returns: when to try again; nil: it is deleted.
    private func remove(_ job: ListingJobView) async -> Duration? {
        do {
            try await delete(job.key, uid: job.uid)
            logger.info("deleted a listing Job that nobody follows", metadata: ["job": "\(job.key)"])
            return nil
        } catch {
            let (pause, isNews) = state.withLock { $0.isRefused(uid: job.uid, "\(error)", now: .now) }
            if isNews {
                logger.info(
                    "a listing Job that nobody follows stays for now, and its deletion is tried again",
                    metadata: ["job": "\(job.key)", "reason": "\(error)"])
            }
            return pause
        }
    }

    /// Pods go with it.
    ///
    /// - Parameter uid: of the only Job that may be deleted; nil: any.
    func delete(_ key: ObjectKey, uid: String? = nil) async throws {
        do {
            _ = try await client.delete(JobOutline.self, key, DeleteOptions(propagation: .background, uid: uid))
        } catch let error as KubernetesError where error.isNotFound || (uid != nil && error.isConflict) {
            // It is gone already; another one of its name is left alone.
        }
        if let uid { state.withLock { $0.isGone(uid: uid) } }
    }
}
