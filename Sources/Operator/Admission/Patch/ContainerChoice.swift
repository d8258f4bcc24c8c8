internal import Kubernetes

/// Which containers of a pod read the model.
///
/// An injected pod says it in the annotation: a webhook after this one may put its sidecar in front of all others, and
/// this one, asked again, must not take it for the first container.
struct ContainerChoice {
    var containers: [ContainerOutline]
    var warnings: [String] = []

    private static let defaultAnnotation = "kubectl.kubernetes.io/default-container"

    /// The containers that the annotation names; else the one that kubectl takes for the main one; else the first.
    /// Without the annotation a known sidecar is never chosen.
    ///
    /// - Throws: ``LeftAlone`` when there is none.
    init(_ pod: PodOutline, request: InjectionRequest) throws(LeftAlone) {
        if let names = request.containers {
            // An init container, a native sidecar among them, reads the model only where its name is given.
            let all = pod.containers + pod.initOutlines
            let chosen = all.filter { names.contains($0.name) }
            let unknown = names.filter { name in !chosen.contains { $0.name == name } }
            let there = "the pod has \(Wording.list(all.map(\.name)))"
            guard !chosen.isEmpty else {
                throw LeftAlone(
                    "the annotation \(PodLabels.container) names no container of the pod (\(Wording.list(unknown))); \(there)"
                )
            }
            containers = chosen
            if !unknown.isEmpty {
                warnings.append(
                    "the annotation \(PodLabels.container) names \(Wording.list(unknown)), which the pod does not have; \(there)"
                )
            }
            return
        }
        let programs = pod.containers.filter { !KnownSidecars.contains($0) }
        let named = pod.annotations[Self.defaultAnnotation]?.text
        guard let main = programs.first(where: { $0.name == named }) ?? programs.first else {
            throw LeftAlone(
                "all containers of the pod (\(Wording.list(pod.containers.map(\.name)))) are known as sidecars; "
                    + "name the one that reads the model in the annotation \(PodLabels.container)")
        }
        containers = [main]
    }
}
