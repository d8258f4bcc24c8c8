internal import FoundationEssentials
public import Kubernetes

/// The answer: always "allowed". A webhook that adds to pods never has a reason to refuse one.
public struct AdmissionResponse: Sendable, Hashable {
    /// That of the ``AdmissionRequest``.
    public var uid: String
    public var operations: [JSONPatchOperation]
    /// Shown by kubectl to who creates the object
    /// (https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#response).
    public var warnings: [String]

    public init(uid: String, operations: [JSONPatchOperation] = [], warnings: [String] = []) {
        self.uid = uid
        self.operations = operations
        self.warnings = warnings
    }

    /// As `AdmissionReview` of `admission.k8s.io/v1`. Warnings are cut to what an API server passes on: ``Wording/longestWarning``
    /// bytes each, ``Wording/mostWarnings`` of them.
    public func json() -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        var response: [String: JSONValue] = ["uid": .string(uid), "allowed": true]
        var warnings = warnings
        if !operations.isEmpty {
            // A number that JSON cannot say is the only way to fail, and none is ever written.
            if let patch = try? encoder.encode(operations) {
                response["patchType"] = "JSONPatch"
                response["patch"] = .string(patch.base64EncodedString())
            } else {
                warnings.append("modelcache: the patch could not be written; the pod is as it was")
            }
        }
        if !warnings.isEmpty { response["warnings"] = .array(Wording.bounded(warnings).map { .string($0) }) }
        let review: JSONValue = [
            "apiVersion": .string(AdmissionReview.apiVersion), "kind": "AdmissionReview", "response": .object(response),
        ]
        return JSONText.write(review)
    }
}
