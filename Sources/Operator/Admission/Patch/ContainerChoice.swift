internal import Kubernetes

/// Which containers of a pod read the model.
///
/// An injected pod says it in the annotation: a webhook after this one may put its sidecar in front of all others, and this one, asked
/// again, must not take it for the first container.
struct ContainerChoice {
    var containers: [ContainerOutline]
    var warnings: [String] = []

    private static let defaultAnnotation = "kubectl.kubernetes.io/default-container"

    /// What the annotation names; else the one that kubectl takes for the main one; else the first.
    init(_ pod: PodOutline, wish: InjectionWish) throws(LeftAlone) {
        if let names = wish.containers {
            let chosen = pod.containers.filter { names.contains($0.name) }
            let unknown = names.filter { name in !chosen.contains { $0.name == name } }
            let there = "the pod has \(Wording.list(pod.containers.map(\.name)))"
            let before = unknown.filter { pod.initContainerNames.contains($0) }
            let hint = before.isEmpty ? "" : "; init containers such as \(Wording.quoted(before[0])) are never injected"
            guard !chosen.isEmpty else {
                throw LeftAlone("the annotation \(PodLabels.container) names no container of the pod (\(Wording.list(unknown))); \(there)\(hint)")
            }
            containers = chosen
            if !unknown.isEmpty {
                warnings.append("the annotation \(PodLabels.container) names \(Wording.list(unknown)), which the pod does not have; \(there)\(hint)")
            }
            return
        }
        let named = pod.annotations[Self.defaultAnnotation]?.text
        containers = Array(pod.containers.filter { $0.name == named }.prefix(1))
        if containers.isEmpty { containers = Array(pod.containers.prefix(1)) }
    }
}
