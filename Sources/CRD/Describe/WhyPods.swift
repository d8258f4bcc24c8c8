/// Pods that name a ModelCache and run without it: the webhook did not see them, or left them alone.
enum WhyPods {
    private static let mostNames = 5
    private static let mostReasons = 5

    static func findings(_ seen: WhyObservation) -> [Why.Finding] {
        let namespace = seen.model.metadata.namespace ?? "default"
        let missed = seen.unservedPods.filter { $0.status == nil }
        var findings: [Why.Finding] = []
        if !missed.isEmpty {
            findings.append(
                Why.Finding(
                    text: "\(count(missed)) created without the webhook, so without the model: \(names(missed))",
                    remedy:
                        "\(deletion(missed, namespace)); if new pods are missed too, see whether the operator is ready: "
                        + "the webhook is part of it"))
        }
        let leftAlone = Dictionary(grouping: seen.unservedPods.filter { $0.status != nil }) { $0.status ?? "" }
        for (status, pods) in leftAlone.sorted(by: { $0.key < $1.key }).prefix(mostReasons) {
            findings.append(
                Why.Finding(
                    text: "\(count(pods)) left alone by the webhook: \(status) (\(names(pods)))",
                    remedy: "mend that, then \(deletion(pods, namespace))"))
        }
        return findings
    }

    private static func count(_ pods: [WhyObservation.UnservedPod]) -> String {
        pods.count == 1 ? "A pod that names it was" : "\(pods.count) pods that name it were"
    }

    private static func names(_ pods: [WhyObservation.UnservedPod]) -> String {
        Texts.list(pods.map(\.name).sorted(), showing: mostNames)
    }

    private static func deletion(_ pods: [WhyObservation.UnservedPod], _ namespace: String) -> String {
        let shown = pods.map(\.name).sorted().prefix(mostNames).joined(separator: " ")
        let command = "kubectl -n \(namespace) delete pod \(shown)\(pods.count > mostNames ? " …" : "")"
        let controllers = Set(pods.compactMap(\.controller)).sorted().prefix(mostNames).joined(separator: ", ")
        return pods.allSatisfy { $0.controller != nil }
            ? "\(command) (\(controllers) makes new ones)"
            : "\(command), and create again what nothing else makes anew"
    }
}
