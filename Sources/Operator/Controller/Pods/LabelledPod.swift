internal import CRD
internal import Kubernetes

/// The facts that are kept about a pod that names a ModelCache.
package enum LabelledPod: Sendable, Hashable {
    /// It was created without the webhook, or left alone by it.
    case missed(MissedPod)
    /// It was given the ModelCaches `cacheUIDs`, is bound to a node and is not ready: it starts, or was ready before.
    case waiting(WaitingPod, cacheUIDs: [String], isStart: Bool)

    /// Nil for the many that run, are over, or are bound to no node yet.
    package init?(_ pod: PodOutline) {
        if let missed = MissedPod(pod) {
            self = .missed(missed)
            return
        }
        let cacheUIDs = InjectionMark.cacheUIDs(pod.metadata.annotations ?? [:])
        guard !cacheUIDs.isEmpty, pod.metadata.deletionTimestamp == nil, let node = pod.spec?.nodeName, !node.isEmpty,
            pod.status?.phase ?? "Pending" == "Pending" || pod.status?.isUnready ?? false
        else { return nil }
        var waiting = WaitingPod(
            namespace: pod.objectKey.namespace, name: pod.objectKey.name, uid: pod.uid, node: node)
        waiting.boundAt = pod.status?.condition("PodScheduled", "True")?.lastTransitionTime.map { WallTime($0) }
        waiting.isStart = !(pod.status?.wasReady ?? false)
        self = .waiting(waiting, cacheUIDs: cacheUIDs, isStart: waiting.isStart)
    }

    var missed: MissedPod? { if case .missed(let pod) = self { pod } else { nil } }
}
