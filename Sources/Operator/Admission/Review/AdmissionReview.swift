internal import Kubernetes

/// The API server's question whether an object may be created or changed, as `admission.k8s.io/v1`
/// (https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#request).
public struct AdmissionReview: Sendable, Hashable {
    /// etcd takes objects of 1.5 MiB and an API server requests of 3 MiB. The review of a creation carries its object
    /// once, that of an update the former one too.
    public static let maximumBytes = 4 << 20

    public var request: AdmissionRequest
    /// Bytes that ``request`` occupies at most.
    public let memoryBytes: Int

    /// Bytes that reading a body of so many bytes may occupy at most, the body itself not counted.
    public static func mostMemory(bodyBytes: Int) -> Int {
        min(JSONText.Limits.memoryBytes, bodyBytes * JSONText.Limits.memoryPerByte)
    }

    /// - Throws: ``ReviewError`` for anything that is not a whole review of `admission.k8s.io/v1`. Nothing else,
    ///   whatever the bytes.
    public init(json bytes: UnsafeRawBufferPointer) throws(ReviewError) {
        guard bytes.count <= Self.maximumBytes else { throw .tooLarge(bytes: bytes.count) }
        let tree: JSONValue
        do {
            (tree, memoryBytes) = try JSONText.read(bytes)
        } catch {
            throw error.isLimit ? .tooMuch(error) : .malformedJSON(error)
        }
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
