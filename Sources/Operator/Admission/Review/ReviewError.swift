/// Why a body is no review that can be answered. The server says it with status 400; ``description`` names no value of the body.
public enum ReviewError: Error, Sendable, Hashable, CustomStringConvertible {
    /// Longer than ``AdmissionReview/maximumBytes``.
    case tooLarge(bytes: Int)
    /// No JSON; where and what is wrong.
    case malformedJSON(JSONText.Failure)
    /// A review of another version than `admission.k8s.io/v1`.
    case unsupportedVersion(String)
    /// JSON, but no AdmissionReview with a request.
    case notAReview(String)

    public var description: String {
        switch self {
        case .tooLarge(let bytes):
            "the body has \(bytes) bytes, at most \(AdmissionReview.maximumBytes) are read"
        case .malformedJSON(let failure):
            "the body is not JSON: \(failure)"
        case .unsupportedVersion(let version):
            "\(version) is not supported; set admissionReviewVersions: [\"v1\"] in the MutatingWebhookConfiguration"
        case .notAReview(let what):
            "the body is no AdmissionReview of admission.k8s.io/v1: \(what)"
        }
    }
}
