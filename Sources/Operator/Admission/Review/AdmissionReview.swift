internal import Kubernetes

/// The API server's question whether an object may be created, as `admission.k8s.io/v1`
/// (https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#request).
public struct AdmissionReview: Sendable, Hashable {
    /// An API server takes requests of 3 MiB; a review may carry an object twice, and more where JSON escapes it.
    public static let maximumBytes = 16 << 20

    public var request: AdmissionRequest

    public init(request: AdmissionRequest) { self.request = request }

    /// - Throws: ``ReviewError`` for anything that is not a whole review of `admission.k8s.io/v1`. Nothing else, whatever the bytes.
    public init(json bytes: UnsafeRawBufferPointer) throws(ReviewError) {
        guard bytes.count <= Self.maximumBytes else { throw .tooLarge(bytes: bytes.count) }
        let tree: JSONValue
        do { tree = try JSONText.parse(bytes) } catch { throw .malformedJSON(error) }
        guard case .object = tree else { throw .notAReview("it is no object") }
        guard case .string("AdmissionReview")? = tree["kind"] else { throw .notAReview("kind is not AdmissionReview") }
        guard case .string(let version)? = tree["apiVersion"] else { throw .notAReview("apiVersion is missing") }
        guard version == Self.apiVersion else { throw .unsupportedVersion(Wording.quoted(version)) }
        guard let request = tree["request"], case .object = request else { throw .notAReview("request is missing") }
        self.request = try AdmissionRequest(request)
    }

    /// ``init(json:)-(UnsafeRawBufferPointer)`` of an array.
    public init(json bytes: [UInt8]) throws(ReviewError) {
        // `withUnsafeBytes` does not pass a typed error through.
        let outcome = bytes.withUnsafeBytes { pointer in
            Result { () throws(ReviewError) in try AdmissionReview(json: pointer) }
        }
        self = try outcome.get()
    }

    static let apiVersion = "admission.k8s.io/v1"
}
