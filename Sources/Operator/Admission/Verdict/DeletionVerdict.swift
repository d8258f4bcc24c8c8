internal import CRD
public import Kubernetes

/// An object that `kubectl delete -k` deletes first, and that ModelCaches cannot be deleted without.
public enum Prerequisite: Sendable, Hashable {
    /// The definition of ModelCache: every ModelCache is deleted with it.
    case definition
    /// A namespace, by name: that of operator and agents counts.
    case namespace(String)
}

/// The validating webhook's verdict on the deletion of a ``Prerequisite`` while ModelCaches are there. Their finalizer
/// waits for the operator: were it deleted at the same time, they, their namespaces and the definition would stay
/// Terminating.
public struct DeletionVerdict: Sendable {
    public let prerequisite: Prerequisite

    /// Nil: the request deletes nothing of the kind.
    public init?(_ request: AdmissionRequest) {
        guard request.operation == "DELETE", request.subResource.isEmpty else { return nil }
        switch (request.kind.group, request.kind.kind) {
        case ("", "Namespace"): prerequisite = .namespace(request.name)
        case ("apiextensions.k8s.io", "CustomResourceDefinition")
        where request.name == "\(APIGroup.plural).\(APIGroup.group)":
            prerequisite = .definition
        default: return nil
        }
    }

    /// - Parameter dependents: the ModelCaches that need it.
    /// - Returns: nil: it may go.
    public func denial(dependents: [ObjectKey]) -> String? {
        guard !dependents.isEmpty else { return nil }
        let what =
            switch prerequisite {
            case .definition: "the definition of ModelCache"
            case .namespace(let name): "the namespace \(name), where operator and agents run,"
            }
        let names = Texts.list(dependents.sorted().map { "\($0.namespace)/\($0.name)" })
        return "\(what) is needed to delete \(names): first run "
            + "kubectl delete modelcaches --all --all-namespaces --timeout=5m, "
            + "or kubectl modelcache delete-all -A --then-force to give up copies on nodes that do not answer"
    }
}
