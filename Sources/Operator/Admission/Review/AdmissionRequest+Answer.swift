extension AdmissionRequest {
    /// The whole answer: looks the pod's ModelCache up and makes the patch. What is no pod's creation is let through as it is.
    public func answer(from source: some InjectionSource) async -> (response: AdmissionResponse, outcome: PodPatch.Outcome) {
        guard let pod = createdPod, let name = PodPatch.wantedName(pod) else { return (AdmissionResponse(uid: uid), .notAsked) }
        let target = name.isEmpty ? nil : await source.target(namespace: namespace, name: name)
        let names = target == nil ? await source.names(namespace: namespace) : []
        let patch = PodPatch.make(pod: pod, namespace: namespace, target: target, names: names)
        return (AdmissionResponse(uid: uid, operations: patch.operations, warnings: patch.warnings), patch.outcome)
    }
}
