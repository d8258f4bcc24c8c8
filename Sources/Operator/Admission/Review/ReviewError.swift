/// Why a body is no review that can be answered. The server says it with status 413 for what is too much, else 400;
/// ``description`` names no value of the body.
public enum ReviewError: Error, Sendable, Hashable, CustomStringConvertible {
    /// Longer than ``AdmissionReview/maximumBytes``.
    case tooLarge(bytes: Int)
    /// No JSON; where and what is wrong.
    case malformedJSON(JSONText.Failure)
    /// More than ``JSONText/Limits`` allow.
    case tooMuch(JSONText.Failure)
    /// A review of another version than `admission.k8s.io/v1`.
    case unsupportedVersion(String)
    /// JSON, but no AdmissionReview with a request.
    case notAReview(String)

    /// The body may be a review, but it is larger than one is read.
    public var isTooLarge: Bool {
        switch self {
        case .tooLarge, .tooMuch: true
        case .malformedJSON, .unsupportedVersion, .notAReview: false
        }
    }

    public var description: String {
        switch self {
        case .tooLarge(let bytes):
            "the body has \(bytes) bytes, at most \(AdmissionReview.maximumBytes) are read"
        case .malformedJSON(let failure):
            "the body is not JSON: \(failure)"
        case .tooMuch(let failure):
            "the body is more than is read: \(failure)"
        case .unsupportedVersion(let version):
            "\(version) is not supported; set admissionReviewVersions: [\"v1\"] in the webhook configuration"
        case .notAReview(let what):
            "the body is no AdmissionReview of admission.k8s.io/v1: \(what)"
        }
    }
}
