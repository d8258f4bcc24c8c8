internal import CRD
package import Kubernetes

/// A pod that names a ModelCache and was created without the webhook, or left alone by it: it runs, or tries to,
/// without its model.
package struct MissedPod: Sendable, Hashable {
    package var key: ObjectKey
    package var uid: String
    /// The ModelCache that the pod's label names.
    package var modelCache: String
    /// Why the webhook left it alone; nil: the webhook did not see it.
    package var leftAloneBecause: String?
    /// Kind and name of what makes it again when it is deleted; nil: nobody does.
    package var controller: String?

    /// Nil for a pod that the webhook injected (it marks each one it sees), and for one that is over.
    package init?(_ pod: PodOutline) {
        let metadata = pod.metadata
        let annotations = metadata.annotations ?? [:]
        guard let name = metadata.labels?[InjectionMark.label], metadata.deletionTimestamp == nil,
            annotations[InjectionMark.injected] == nil,
            pod.status?.phase != "Succeeded", pod.status?.phase != "Failed"
        else { return nil }
        key = pod.objectKey
        uid = pod.uid
        modelCache = name
        leftAloneBecause = annotations[InjectionMark.status]
        controller = metadata.ownerReferences?.first { $0.controller == true }.map { "\($0.kind) \($0.name)" }
    }

    /// Of the Event.
    package var reason: String { leftAloneBecause == nil ? "InjectionMissed" : "NotInjected" }

    /// For who looks at the pod.
    package var message: String {
        if let leftAloneBecause {
            return "The webhook left the pod without its models: \(leftAloneBecause.prefix(850))."
        }
        let remedy =
            controller.map { "delete it, and its \($0) makes it again with the model" }
            ?? "delete it and create it again: nothing else makes it anew"
        return
            "The pod names the ModelCache \(modelCache) (label \(InjectionMark.label)) but was created without the webhook, so it has "
            + "neither the model's volume nor the library. The webhook was away, or leaves this namespace out; \(remedy)."
    }

    /// Under a name that follows from the pod: an operator that creates it again, after a restart or a change of
    /// leaders, meets the first one.
    package func event(now: Timestamp) -> Event {
        let reference = ObjectReference(
            apiVersion: Pod.apiVersion, kind: Pod.kind, namespace: key.namespace, name: key.name, uid: uid)
        return Event(
            metadata: ObjectMeta(
                name: "\(key.name.prefix(220)).missed-\(Digest.sha256(uid).prefix(10))", namespace: key.namespace),
            involvedObject: reference, reason: reason, message: message, type: EventType.warning.rawValue,
            source: EventSource(component: Names.fieldOwner), firstTimestamp: now, lastTimestamp: now, count: 1,
            reportingComponent: Names.fieldOwner, reportingInstance: Names.fieldOwner)
    }
}
