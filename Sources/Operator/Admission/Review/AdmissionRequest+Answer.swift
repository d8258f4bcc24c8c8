extension AdmissionRequest {
    /// Looks the pod's ModelCaches up, all at once, and makes the patch. A request that creates no pod is let through
    /// as it is.
    public func answer(from source: some InjectionSource) async -> (
        response: AdmissionResponse, outcome: PodPatch.Outcome
    ) {
        guard let pod = createdPod, let wanted = PodPatch.wantedNames(pod) else {
            return (AdmissionResponse(uid: uid), .notAsked)
        }
        let targets = await withTaskGroup(of: InjectionTarget?.self) { group in
            for name in wanted { group.addTask { await source.target(namespace: namespace, name: name) } }
            var found: [String: InjectionTarget] = [:]
            for await target in group { if let target { found[target.name] = target } }
            return found
        }
        let names = targets.count < wanted.count ? await source.names(namespace: namespace) : []
        let patch = PodPatch.make(pod: pod, namespace: namespace, targets: targets, names: names, seed: uid)
        return (AdmissionResponse(uid: uid, operations: patch.operations, warnings: patch.warnings), patch.outcome)
    }
}
