internal import CRD
internal import Kubernetes

/// Carries a ``ListingJob`` out: makes the Job, waits for its pod's end as ``ListingWait`` says, and deletes it.
/// ``ListingSweep`` deletes one whose deletion was not taken.
struct ListingJobRunner: Sendable {
    let client: KubernetesClient
    let ends: ListingEnds
    let sweep: ListingSweep

    private enum Event: Sendable {
        case ended(ListingEnd)
        /// ``ListingWait/interval`` has passed.
        case lookIsDue
    }

    /// Cancelled, it leaves no Job behind.
    ///
    /// - Parameter waiting: told why the Job does not start, while it does not.
    /// - Throws: what the API server answered when the Job could not be looked at; `CancellationError`.
    func message(of job: ListingJob, waiting: SourceResolver.Waiting) async throws -> Result<String, SourceFailure> {
        try await sweep.follow(job.key) { try await followed(job, waiting: waiting) }
    }

    private func followed(_ job: ListingJob, waiting: SourceResolver.Waiting) async throws
        -> Result<String, SourceFailure>
    {
        let made: Job
        switch try await create(job, waiting: waiting) {
        case .success(let job): made = job
        case .failure(let failure): return .failure(failure)
        }
        do {
            let result = try await outcome(of: job, uid: made.uid, waiting: waiting)
            try? await sweep.delete(job.key, uid: made.uid)
            return result
        } catch is CancellationError {
            // In a task that is not cancelled.
            await Task { try? await sweep.delete(job.key, uid: made.uid) }.value
            throw CancellationError()
        }
    }

    /// How often the API server may fail at making the Job, and the pause between two tries.
    private static let mostFailures = 3
    private static let pause: Duration = .seconds(3)

    private func create(_ job: ListingJob, waiting: SourceResolver.Waiting) async throws -> Result<Job, SourceFailure> {
        var failures = 0
        while true {
            do {
                // One of an operator before may be there, finished or not: its answer may be old.
                try await sweep.delete(job.key)
                return .success(try await client.create(job.manifest))
            } catch let error as KubernetesError {
                switch error.atCreation(of: "the Job \(job.key.name) that lists the source") {
                // A quota, a policy: nothing that this operator changes by trying at once.
                case let refused as WriteRefused: return .failure(SourceFailure(.storeError, refused.message))
                case let failed as WriteFailed:
                    failures += 1
                    guard failures < Self.mostFailures else {
                        return .failure(SourceFailure(.storeError, failed.message))
                    }
                    waiting(failed.message)
                default: throw error
                }
            }
            try await Task.sleep(for: Self.pause)
        }
    }

    private func outcome(of job: ListingJob, uid: String, waiting: SourceResolver.Waiting) async throws
        -> Result<String, SourceFailure>
    {
        let (events, event) = AsyncStream.makeStream(of: Event.self)
        let owner = ListingEnd.Owner(namespace: job.key.namespace, uid: uid)
        ends.wait(for: owner) { event.yield(.ended($0)) }
        defer { ends.leave(owner) }
        return try await withThrowingTaskGroup(of: Void.self) { group in
            defer { group.cancelAll() }
            group.addTask {
                while true {
                    try await Task.sleep(for: ListingWait.interval)
                    event.yield(.lookIsDue)
                }
            }
            var wait = ListingWait(job: job.key.name, now: .now)
            for await event in events {
                switch event {
                case .ended(let end): return wait.result(end)
                case .lookIsDue:
                    if let result = try await look(job.key, uid: uid, &wait, waiting: waiting) { return result }
                }
            }
            throw CancellationError()
        }
    }

    /// Nil: the wait goes on.
    private func look(
        _ key: ObjectKey, uid: String, _ wait: inout ListingWait, waiting: SourceResolver.Waiting
    ) async throws -> Result<String, SourceFailure>? {
        let examiner = JobExaminer(client: client)
        let pods = try await examiner.pods(of: key, uid: uid)
        if let end = pods.lazy.compactMap({ ListingEnd($0) }).first { return wait.result(end) }
        if let failure = wait.expired(now: .now) { return .failure(failure) }
        // Its end would come at the deadline, which is minutes away.
        guard try await client.findJob(key)?.uid == uid else { return .failure(wait.jobIsGone) }
        let found = try await examiner.examine(key, uid: uid, pods: pods, before: wait.examination)
        if let why = wait.looked(found) { waiting(why) }
        return nil
    }
}
