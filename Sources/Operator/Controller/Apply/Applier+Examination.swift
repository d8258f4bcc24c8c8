internal import CRD
internal import Kubernetes

extension Applier {
    /// Finds why a warm-up Job makes no progress.
    func examine(_ job: JobView, cache: ModelCache) async throws {
        let examiner = JobExaminer(client: client)
        let key = ObjectKey(namespace: job.namespace, name: job.name)
        let examination = try await examiner.examine(
            key, uid: job.uid, pods: try await examiner.pods(of: key, uid: job.uid),
            before: world.memory(uid: cache.uid).examinations[job.uid])
        world.remember(uid: cache.uid) { $0.examinations[job.uid] = examination }
        if case .stuck(let reason, let message) = examination.verdict {
            logger.warning(
                "a Job does not start",
                metadata: [
                    "job": "\(key)", "node": "\(job.node)", "reason": "\(reason)", "message": "\(message)",
                ])
        }
        wake([cache.objectKey])
    }
}
