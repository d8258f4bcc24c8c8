internal import FoundationEssentials
public import Kubernetes

/// The answer. A webhook that adds to pods never has a reason to refuse one; those that check ModelCaches and
/// deletions have.
public struct AdmissionResponse: Sendable, Hashable {
    /// That of the ``AdmissionRequest``.
    public var uid: String
    public var operations: [JSONPatchOperation]
    /// Shown by kubectl to who creates the object
    /// (https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#response).
    public var warnings: [String]
    /// Why the object is refused, for the person who applies it; nil: it is allowed.
    public var denial: String?
    public var refusal: Refusal

    /// The status of a refusal, as the API server itself has it.
    public enum Refusal: Sendable, Hashable {
        /// The object breaks a rule, as for what a schema refuses.
        case invalid
        /// The request may not be carried out now.
        case forbidden
    }

    /// An object of Kubernetes has at most 1.5 MiB, and most of it is the pod's own.
    static let maximumPatchBytes = 256 << 10

    public init(
        uid: String, operations: [JSONPatchOperation] = [], warnings: [String] = [], denial: String? = nil,
        refusal: Refusal = .invalid
    ) {
        self.uid = uid
        self.operations = operations
        self.warnings = warnings
        self.denial = denial
        self.refusal = refusal
    }

    /// As `AdmissionReview` of `admission.k8s.io/v1`. Warnings are cut to what an API server passes on:
    /// ``Wording/longestWarning`` bytes each, ``Wording/mostWarnings`` of them.
    public func json() -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        var response: [String: JSONValue] = ["uid": .string(uid), "allowed": .bool(denial == nil)]
        if let denial {
            let (code, reason): (JSONValue, JSONValue) =
                switch refusal {
                case .invalid: (422, "Invalid")
                case .forbidden: (403, "Forbidden")
                }
            response["status"] = ["code": code, "reason": reason, "message": .string(denial)]
        }
        var warnings = warnings
        if !operations.isEmpty {
            // A number that JSON cannot say is the only way to fail, and none is ever written.
            let patch = try? encoder.encode(operations)
            if let patch, patch.count > Self.maximumPatchBytes {
                let size = "\(patch.count >> 10) KiB"
                warnings = [
                    "modelcache: the patch has \(size); the pod is as it was. Let fewer containers read the model."
                ]
            } else if let patch {
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
