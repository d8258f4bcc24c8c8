internal import CRD
public import Kubernetes

/// How the pod of a ``ListingJob`` ended.
public struct ListingEnd: Sendable, Hashable {
    public enum Outcome: Sendable, Hashable {
        /// The termination message of the container that listed.
        case message(String)
        /// No container began: the pod was evicted, or refused by the kubelet. In words, why.
        case failed(String)
    }

    /// Which Job's pod it was. The namespace is the pod's own: whoever makes pods in another one may write any owner.
    public struct Owner: Sendable, Hashable {
        public var namespace: String
        public var uid: String

        public init(namespace: String, uid: String) {
            self.namespace = namespace
            self.uid = uid
        }
    }

    public var owner: Owner
    public var outcome: Outcome

    /// Nil while the pod has not ended, and for one that no Job controls.
    public init?(_ pod: Pod) {
        let controller = pod.metadata.ownerReferences?.first {
            $0.kind == Job.kind && $0.apiVersion == Job.apiVersion && $0.controller == true
        }
        guard let controller else { return nil }
        owner = Owner(namespace: pod.metadata.namespace ?? "", uid: controller.uid)
        let containers = pod.status?.containerStatuses ?? []
        if let ended = containers.first(where: { $0.name == ListingJob.container })?.state?.terminated {
            outcome = .message(ended.message ?? "")
            return
        }
        guard pod.status?.phase == "Failed" else { return nil }
        let why = [pod.status?.reason, pod.status?.message].compactMap { $0 }.joined(separator: ": ")
        outcome = .failed(why.isEmpty ? "its pod failed" : why)
    }
}
