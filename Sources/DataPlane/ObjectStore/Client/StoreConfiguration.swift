public import TextCoding

/// Which signature requests carry.
public enum SignatureVersion: String, Sendable, Hashable {
    /// V4 where a region is known (given, or implied by the endpoint), else V1. For `s3` always V4.
    case automatic
    case v1
    case v4
}

/// Everything the client needs to speak to one bucket.
public struct StoreConfiguration: Sendable {
    public var location: ObjectLocation
    public var endpoint: StoreEndpoint
    /// `OSS_REGION`, such as `cn-hangzhou` (a leading `oss-` is dropped). Nil: what the endpoint implies; for `s3`
    /// finally `us-east-1`.
    public var region: String?
    public var signatureVersion: SignatureVersion
    public var credentials: CredentialsProvider
    /// This account pays for its requests to another's bucket (`x-amz-request-payer`, `x-oss-request-payer`).
    public var requesterPays: Bool
    /// Told in one line when an endpoint's fallback takes over and when it is not needed any more; on any thread.
    public var notice: @Sendable (String) -> Void = { _ in }
    /// For list and head; ranges are retried by whoever submits them.
    public var retry: RetryPolicy

    /// Throws when V4 is asked for and no region is known, or when the region is malformed.
    public init(
        location: ObjectLocation, endpoint: StoreEndpoint, region: String? = nil,
        signatureVersion: SignatureVersion = .automatic, credentials: CredentialsProvider,
        requesterPays: Bool = false, retry: RetryPolicy = RetryPolicy()
    ) throws(SettingError) {
        self.location = location
        self.endpoint = endpoint
        self.region = try RegionName.normalized(region, endpoint: endpoint, scheme: location.scheme)
        self.signatureVersion = signatureVersion
        self.credentials = credentials
        self.requesterPays = requesterPays
        self.retry = retry
        if signatureVersion == .v4 && self.region == nil {
            throw SettingError(
                field: "OSS_REGION", value: nil, problem: "is not set, but signature V4 needs it",
                remedy: "set it to the bucket's region, such as cn-hangzhou")
        }
    }
}

extension StoreConfiguration {
    /// The signer that scheme, region and setting choose.
    var signer: RequestSigner {
        switch (location.scheme, signatureVersion, region) {
        case (.s3, _, let region): .s3V4(region: region ?? "us-east-1")
        case (.oss, .v1, _), (.oss, _, nil): .ossV1
        case (.oss, _, let region?): .ossV4(region: region)
        }
    }
}

enum RegionName {
    static func normalized(
        _ given: String?, endpoint: StoreEndpoint, scheme: StoreScheme
    ) throws(SettingError) -> String? {
        guard var name = given, !name.isEmpty else {
            return endpoint.impliedRegion ?? (scheme == .s3 ? "us-east-1" : nil)
        }
        if scheme == .oss && name.hasPrefix("oss-") { name = String(name.dropFirst(4)) }
        let allowed = name.utf8.allSatisfy { byte in
            (0x61...0x7a).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x2d
        }
        guard allowed, !name.isEmpty, name.utf8.count <= 64 else {
            throw SettingError(
                field: "OSS_REGION", value: given, problem: "is not a region's name",
                remedy: "write it as in cn-hangzhou or us-east-1")
        }
        return name
    }
}
