internal import CRD
internal import Kubernetes

/// The validating webhook's verdict on a ModelCache: the rules of `Validation` and `Immutability`, at `kubectl apply`.
///
/// **Guarantees.** Every problem names field, value and remedy. A change that leaves the spec as it is passes always,
/// and so does any change of an object that is being deleted: labels and finalizers of an object that an older version
/// accepted must stay changeable. Work is bounded by ``longestSpec``, whatever is sent.
struct ModelCacheVerdict {
    let problems: [FieldProblem]

    /// A spec has some hundred bytes. Its patterns are matched text by text, so its length bounds the work.
    static let longestSpec = 128 << 10
    private static let mostTold = 10

    /// Nil: the request is about nothing that this webhook judges.
    init?(_ request: AdmissionRequest, _ policy: ValidationPolicy) {
        guard request.kind.group == APIGroup.group, request.kind.kind == APIGroup.kind, request.subResource.isEmpty,
            request.operation == "CREATE" || request.operation == "UPDATE",
            case .object(var members) = request.object
        else { return nil }
        let isEnding = request.object["metadata"]?["deletionTimestamp"] ?? .null
        guard isEnding == .null, request.operation == "CREATE" || members["spec"] != request.oldObject["spec"] else {
            problems = []
            return
        }
        // The operator's own, and no author's.
        members["status"] = nil
        let json = JSONText.write(.object(members))
        guard json.count <= Self.longestSpec else {
            problems = [
                FieldProblem(
                    path: "spec", problem: "and metadata have \(json.count >> 10) KiB",
                    remedy: "write at most \(Self.longestSpec >> 10) KiB")
            ]
            return
        }
        var former: String?
        if request.operation == "UPDATE", case .object(var members) = request.oldObject {
            members["status"] = nil
            former = String(decoding: JSONText.write(.object(members)), as: UTF8.self)
        }
        problems = Validation.check(json: String(decoding: json, as: UTF8.self), replacing: former, policy).problems
    }

    /// The refusal in one text; nil when there is no problem.
    var denial: String? {
        problems.isEmpty ? nil : FieldProblem.summary(of: problems, limit: Self.mostTold)
    }
}
