/// How an error of a store bears on the next request, whatever its kind.
public enum StoreErrorClass: String, Sendable, Hashable, CaseIterable {
    /// The same request fails again until somebody changes the object, the rights or a setting.
    case permanent
    /// The store asks for fewer requests: wait as long as it says, or back off.
    case waitAsTold
    /// The request may succeed when it is repeated, with back-off.
    case retry
    /// The keys are refused: read them again, then it is permanent.
    case credentials
    /// This machine's clock is off.
    case clock
}

extension StoreError {
    /// The class that says how to handle the error; it follows from the error's kind alone.
    public var `class`: StoreErrorClass {
        switch kind {
        case .throttled: .waitAsTold
        case .server, .nameResolution, .connectionRefused, .connectionLost, .connectTimeout, .stalled, .malformedAnswer,
            .credentialsUnavailable:
            .retry
        case .wrongKey, .wrongSecret, .expiredToken, .credentialsRefused: .credentials
        case .clockSkew: .clock
        case .settings, .accessDenied, .unreadable, .wrongRegion, .noSuchBucket, .noSuchKey, .objectChanged, .refused,
            .tls, .sink,
            .cancelled:
            .permanent
        }
    }

    /// Whether the same request may succeed later without anyone changing a setting.
    public var isRetryable: Bool { self.class == .retry || self.class == .waitAsTold }

    /// Whether the error says something of one object alone, so that the others can still be read.
    public var concernsObject: Bool {
        switch kind {
        case .noSuchKey, .objectChanged, .unreadable, .accessDenied, .refused: true
        default: false
        }
    }
}

/// The error codes that OSS and S3 document for listing, HEAD and GET, and what each is to us.
///
/// https://www.alibabacloud.com/help/en/oss/support/http-status-code and
/// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html. `docs/stores.md` shows the same table; a test
/// compares.
public enum StoreErrorTable {
    /// The kind by the store's code; nil: the status decides.
    public static func kind(code: String) -> StoreError.Kind? { kinds[code] }

    /// The kind by the HTTP status alone. An unknown 4xx is permanent.
    public static func kind(status: Int) -> StoreError.Kind {
        switch status {
        case 301, 302, 307, 308: .wrongRegion
        case 401, 403: .accessDenied
        case 404: .noSuchKey
        // A proxy's own: stores never send it.
        case 407: .settings
        case 412, 416: .objectChanged
        case 429, 503, 509: .throttled
        case 408, 425, 500...599: .server
        case 200...299: .malformedAnswer
        default: .refused
        }
    }

    /// Every code that is known, in the order of the kinds.
    public static let kinds: [String: StoreError.Kind] = {
        var all: [String: StoreError.Kind] = [:]
        for (kind, codes) in rows {
            for code in codes.split(separator: " ") {
                let former = all.updateValue(kind, forKey: String(code))
                precondition(former == nil, "\(code) has two kinds")
            }
        }
        return all
    }()

    private static let rows: [(StoreError.Kind, String)] = [
        (
            .wrongKey,
            "InvalidAccessKeyId InvalidAccessKeyId.NotFound InvalidAccessKeyId.Inactive NotSignedUp InvalidSecurity"
        ),
        (.wrongSecret, "SignatureDoesNotMatch"),
        (
            .expiredToken,
            "SecurityTokenExpired ExpiredToken ExpiredTokenException InvalidSecurityToken InvalidToken TokenRefreshRequired "
                + "InvalidSecurityToken.Expired InvalidSecurityToken.MismatchWithAccessKey InvalidSecurityToken.Malformed"
        ),
        (.clockSkew, "RequestTimeTooSkewed RequestExpired"),
        (
            .accessDenied,
            "AccessDenied AccessForbidden AllAccessDisabled AccountProblem UserDisable UnauthorizedAccess "
                + "MissingSecurityHeader AccessPointAccessDenied AccessControlListNotSupported"
        ),
        (
            .unreadable,
            "InvalidObjectState InvalidObjectState.Archived KmsServiceNotEnabled KMSAccessDenied KMS.AccessDeniedException "
                + "KMS.DisabledException KMS.InvalidKeyUsageException KMS.InvalidStateException KMS.KMSInvalidStateException "
                + "KMS.NotFoundException KMSKeyNotFound KmsKeyDisabled ObjectNotInActiveTierError "
                + "SymlinkTargetNotExist NoSuchSymlinkTarget InvalidTargetType"
        ),
        (
            .wrongRegion,
            "AuthorizationHeaderMalformed PermanentRedirect TemporaryRedirect Redirect IllegalLocationConstraintException "
                + "InvalidRegionName IncorrectEndpoint InvalidEndpoint"
        ),
        (.noSuchBucket, "NoSuchBucket InvalidBucketName NoSuchAccessPoint"),
        (.noSuchKey, "NoSuchKey NoSuchVersion"),
        (.objectChanged, "PreconditionFailed InvalidRange NotModified"),
        (
            .throttled,
            "SlowDown SlowDownRead Throttling ThrottlingException ThrottledException RequestThrottled RequestThrottledException "
                + "TooManyRequests TooManyRequestsException RequestLimitExceeded BandwidthLimitExceeded LimitExceededException "
                + "ProvisionedThroughputExceededException QpsLimitExceeded DownloadTrafficRateLimitExceeded "
                + "UploadTrafficRateLimitExceeded TotalQpsLimitExceeded EC2ThrottledException ServiceUnavailable Busy "
                + "FlowControl ServerBusy"
        ),
        (
            .server,
            "InternalError RequestTimeout RequestTimeoutException PriorRequestNotComplete TransactionInProgressException "
                + "BadRequest BadDigest IncompleteBody GatewayTimeout BadGateway OperationAborted ServerError "
                + "ConnectionTimeout KMS.ThrottlingException KMS.InternalException"
        ),
        (
            .refused,
            "InvalidArgument InvalidRequest InvalidURI InvalidDigest InvalidEncryptionAlgorithmError InvalidObjectName "
                + "KeyTooLong KeyTooLongError MalformedXML MethodNotAllowed MissingArgument NotImplemented "
                + "TooManyBuckets XAmzContentSHA256Mismatch InvalidStorageClass InvalidPayer "
                + "InvalidTag MetadataTooLarge EntityTooLarge EntityTooSmall RequestHeaderSectionTooLarge "
                + "RequestIsNotMultiPartContent NoSuchUpload UnexpectedContent ObjectNotAppendable PositionNotEqualToLength "
                + "FileImmutable InvalidPart InvalidPartOrder InvalidPolicyDocument InvalidLocationConstraint InvalidWebIdentityToken"
        ),
    ]
}
