public import Kubernetes

/// The change to a pod that names ModelCaches. Pure: the same pod, targets and seed give the same patch, and nothing
/// else happens, so a dry run needs no case of its own.
///
/// **Guarantees.** A patch only adds: what the pod's author or another webhook wrote stays as it was, except that
/// `LD_PRELOAD` gets the library in front and the annotations ``PodLabels/injected`` and ``PodLabels/injectStatus``
/// tell the outcome, also where somebody wrote them before; ``PodLabels/container`` names the chosen container where
/// the pod did not. Applied to its own result, also one into which the API server has put its defaults or another
/// webhook its containers, it adds nothing. A pod that passes the `restricted` Pod Security Standard passes it
/// afterwards. Every pod gets a response; the webhook leaves a pod that cannot be injected alone and says why.
public struct PodPatch: Sendable, Hashable {
    /// RFC 6902, in the order in which they are to be applied. Empty: nothing to change.
    public var operations: [JSONPatchOperation]
    /// For who creates the pod, unbounded and without the prefix "Warning:".
    public var warnings: [String]
    public var outcome: Outcome

    public enum Outcome: Sendable, Hashable {
        /// The pod carries no label ``PodLabels/inject``: none of this webhook's business.
        case notAsked
        /// At least one container reads the model.
        case injected(InjectionMode)
        /// The line in ``PodLabels/injectStatus``.
        case leftAlone(String)
    }

    /// - Parameters:
    ///   - pod: as the API server sent it. Fields that are not known here survive.
    ///   - namespace: the request's; a pod that is being created may name none.
    ///   - targets: the ModelCaches that the pod names, by name; without those that there are not.
    ///     ``wantedNames(_:)`` tells which to look up.
    ///   - seed: another for each pod: of many warm nodes it chooses those that this pod prefers.
    ///   - names: the ModelCaches of the namespace, to suggest a near one for a name that `targets` lacks.
    public static func make(
        pod: JSONValue, namespace: String, targets: [String: InjectionTarget], names: [String] = [], seed: String = ""
    ) -> PodPatch {
        guard let label = label(pod) else { return PodPatch(operations: [], warnings: [], outcome: .notAsked) }
        let outline: PodOutline
        do {
            outline = try PodOutline(pod)
        } catch {
            // There may be no place for an annotation.
            return PodPatch(
                operations: [], warnings: ["modelcache: the pod is left alone: \(error.reason)"],
                outcome: .leftAlone(error.reason))
        }
        do {
            let wanted = try WantedModels(label: label, annotation: outline.annotations[PodLabels.models]?.text)
            let models = try usable(wanted, targets, namespace: namespace, names: names)
            return try Injection(outline, models: models, seed: seed).patch
        } catch {
            let status = Wording.line(error.reason, longest: Wording.longestStatus)
            return PodPatch(
                operations: AnnotationPatch.operations(
                    outline, set: [(PodLabels.injectStatus, status)], remove: PodLabels.injected),
                warnings: ["modelcache: the pod is left alone: \(error.reason)"], outcome: .leftAlone(status))
        }
    }

    /// All of them, or the reasons why some cannot be had.
    private static func usable(
        _ wanted: WantedModels, _ targets: [String: InjectionTarget], namespace: String, names: [String]
    ) throws(LeftAlone) -> [InjectedModel] {
        var models: [InjectedModel] = []
        var reasons: [String] = []
        for (index, entry) in wanted.entries.enumerated() {
            do {
                let target = try usable(
                    targets[entry.name], named: entry.name, by: index == 0 ? "label" : "annotation \(PodLabels.models)",
                    namespace: namespace, names: names)
                models.append(InjectedModel(target: target, directory: entry.directory))
            } catch {
                reasons.append(error.reason)
            }
        }
        guard reasons.isEmpty else { throw LeftAlone(reasons.joined(separator: "; ")) }
        return models
    }

    private static func usable(
        _ target: InjectionTarget?, named name: String, by source: String, namespace: String, names: [String]
    ) throws(LeftAlone) -> InjectionTarget {
        guard let target else {
            let near = NearName.of(name, among: names).map { "did you mean \(Wording.quoted($0))?" }
            let others = names.isEmpty ? "there is none at all" : "there are \(Wording.list(names.sorted(), most: 5))"
            throw LeftAlone(
                "there is no ModelCache \(Wording.quoted(name)) in the namespace \(Wording.quoted(namespace)) (\(near ?? others)); create it or mend the \(source), then delete the pod so that it is made again"
            )
        }
        if target.deleting {
            throw LeftAlone("the ModelCache \(Wording.quoted(name)) is being deleted; name another one")
        }
        if let reason = target.unresolved {
            throw LeftAlone(
                "the source of the ModelCache \(Wording.quoted(name)) is not known yet: \(reason); see kubectl modelcache why \(name), then delete the pod so that it is made again"
            )
        }
        return target
    }

    /// The ModelCaches to look up: of the pod's label ``PodLabels/inject`` and its annotation ``PodLabels/models``.
    /// Nil: no such label; empty: the two name none.
    public static func wantedNames(_ pod: JSONValue) -> [String]? {
        guard let label = label(pod) else { return nil }
        let annotation = pod["metadata"]?["annotations"]?[PodLabels.models]?.text
        return (try? WantedModels(label: label, annotation: annotation))?.names ?? []
    }

    private static func label(_ pod: JSONValue) -> String? { pod["metadata"]?["labels"]?[PodLabels.inject]?.text }
}
