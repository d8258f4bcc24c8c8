public import Kubernetes

/// Finds why a Job, one that warms or one that lists, makes no progress: from its pods, and the Events about them and
/// the Job.
struct JobExaminer: Sendable {
    let client: KubernetesClient

    /// Without the right to list Events a Job without pods has no more exact reason.
    ///
    /// - Parameters:
    ///   - pods: the Job's own, as they are now.
    ///   - before: the examination before, if there was one.
    /// - Throws: `KubernetesError`.
    func examine(_ key: ObjectKey, uid: String, pods: [Pod], before: JobExamination?) async throws -> JobExamination {
        var events: [Event] = []
        for uid in [uid] + pods.map(\.uid) {
            let about = ListOptions(fieldSelector: "involvedObject.uid=\(uid)")
            do {
                events += try await client.listAll(Event.self, in: key.namespace, about) { $0 }.items
            } catch let error as KubernetesError where error.isForbidden {
                break
            }
        }
        return JobExamination(
            .of(pods, events: events, pendingBefore: before?.pending ?? []), at: .now,
            pending: Set(pods.filter(\.isPending).map(\.uid)))
    }

    /// The pods that the Job of this uid owns.
    func pods(of key: ObjectKey, uid: String) async throws -> [Pod] {
        try await client.listAll(Pod.self, in: key.namespace, ListOptions(labelSelector: "job-name=\(key.name)")) { pod in
            pod.metadata.ownerReferences?.contains { $0.uid == uid } ?? false ? pod : nil
        }.items
    }
}

extension Pod {
    var isPending: Bool { status?.phase == "Pending" }
}

extension JobExamination.Verdict {
    /// The reason that the pods of a Job, and the Warnings about them and the Job, give: the pod's own where it has
    /// one, else the Job controller's or the scheduler's.
    ///
    /// Pods that ended are no reason: between two of them the Job controller waits, up to six minutes, and it gives up
    /// by itself (`backoffLimit`). The one that follows them has as long to start as the first had.
    /// - Parameter pendingBefore: uids of the pods that waited for their start at the examination before.
    public static func of(_ pods: [Pod], events: [Event], pendingBefore: Set<String> = []) -> Self {
        let waiting = pods.filter(\.isPending)
        if waiting.count < pods.count, waiting.allSatisfy({ !pendingBefore.contains($0.uid) }) { return .running }
        let warnings = events.filter { $0.type == "Warning" }
            .sorted { ($0.lastTimestamp?.secondsSinceEpoch ?? 0) < ($1.lastTimestamp?.secondsSinceEpoch ?? 0) }
        guard let pod = waiting.first else {
            guard let refusal = warnings.last else {
                return .stuck(
                    reason: "PodNotCreated",
                    message: "the Job controller has made no pod for it; see kubectl describe job")
            }
            let message = refusal.message ?? ""
            return .stuck(
                reason: message.contains("exceeded quota") ? "QuotaExceeded" : refusal.reason ?? "FailedCreate",
                message: message)
        }
        let containers = (pod.status?.initContainerStatuses ?? []) + (pod.status?.containerStatuses ?? [])
        // "ContainerCreating" says only that something else is missing, which an Event names.
        if let waiting = containers.lazy.compactMap({ $0.state?.waiting })
            .first(where: { $0.reason != nil && $0.reason != "ContainerCreating" && $0.reason != "PodInitializing" }),
            let reason = waiting.reason
        {
            return .stuck(reason: reason, message: waiting.message ?? "")
        }
        if let scheduled = pod.status?.conditions?.first(where: { $0.type == "PodScheduled" && $0.status == "False" }) {
            return .stuck(reason: scheduled.reason ?? "Unschedulable", message: scheduled.message ?? "")
        }
        guard let warning = warnings.last else {
            return .stuck(
                reason: "PodNotStarted",
                message: "its pod \(pod.objectKey.name) does not start; see kubectl describe pod")
        }
        return .stuck(reason: warning.reason ?? "PodNotStarted", message: warning.message ?? "")
    }
}
