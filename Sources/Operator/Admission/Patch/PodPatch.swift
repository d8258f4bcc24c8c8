public import Kubernetes

/// What is done to a pod that names a ModelCache. Pure: the same pod and the same target give the same patch, and nothing else
/// happens, so a dry run needs no case of its own.
///
/// **Guarantees.** A patch only adds: what the pod's author or another webhook wrote stays as it was, except that `LD_PRELOAD` gets
/// the library in front and the annotations ``PodLabels/injected`` and ``PodLabels/injectStatus`` tell the outcome, whoever wrote
/// them before; ``PodLabels/container`` names the chosen container where the pod did not. Applied to its own result, also one into which the API server has put its defaults or another webhook its
/// containers, it adds nothing. A pod that passes the `restricted` Pod Security Standard passes it afterwards.
/// Whatever the pod looks like, there is an answer; a pod that cannot be injected is left alone and told why.
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
    ///   - target: the ModelCache that the pod's label names; nil when there is none. ``wantedName(_:)`` tells whom to look up.
    ///   - names: the ModelCaches of the namespace, to suggest a near one when `target` is nil.
    public static func make(pod: JSONValue, namespace: String, target: InjectionTarget?, names: [String] = []) -> PodPatch {
        guard let name = wantedName(pod) else { return PodPatch(operations: [], warnings: [], outcome: .notAsked) }
        let outline: PodOutline
        do {
            outline = try PodOutline(pod)
        } catch {
            // There may be no place for an annotation.
            return PodPatch(operations: [], warnings: ["modelcache: the pod is left alone: \(error.reason)"], outcome: .leftAlone(error.reason))
        }
        do {
            let target = try usable(target, named: name, namespace: namespace, names: names)
            return try Injection(outline, target: target).patch
        } catch {
            let status = Wording.line(error.reason, longest: Wording.longestStatus)
            return PodPatch(
                operations: AnnotationPatch.operations(outline, set: [(PodLabels.injectStatus, status)], remove: PodLabels.injected),
                warnings: ["modelcache: the pod is left alone: \(error.reason)"], outcome: .leftAlone(status))
        }
    }

    private static func usable(
        _ target: InjectionTarget?, named name: String, namespace: String, names: [String]
    ) throws(LeftAlone) -> InjectionTarget {
        guard !name.isEmpty else { throw LeftAlone("the label \(PodLabels.inject) is empty; give it the name of a ModelCache") }
        guard let target else {
            let near = NearName.of(name, among: names).map { "did you mean \(Wording.quoted($0))?" }
            let others = names.isEmpty ? "there is none at all" : "there are \(Wording.list(names.sorted(), most: 5))"
            throw LeftAlone(
                "there is no ModelCache \(Wording.quoted(name)) in the namespace \(Wording.quoted(namespace)) (\(near ?? others)); create it or mend the label, then delete the pod so that it is made again")
        }
        if target.deleting {
            throw LeftAlone("the ModelCache \(Wording.quoted(name)) is being deleted; name another one")
        }
        if let reason = target.unresolved {
            throw LeftAlone(
                "the source of the ModelCache \(Wording.quoted(name)) is not known yet: \(reason); see kubectl modelcache why \(name), then delete the pod so that it is made again")
        }
        return target
    }

    /// The value of the pod's label ``PodLabels/inject``: the ModelCache to look up. Nil: no such label.
    public static func wantedName(_ pod: JSONValue) -> String? { pod["metadata"]?["labels"]?[PodLabels.inject]?.text }
}
