/// Turns an error answer of a store into a `StoreError`.
enum StoreAnswer {
    /// A refusal of HEAD that the store does not explain: S3 gives 404 for a missing object and a missing bucket alike,
    /// and 403 also for an object that is missing where the key may not list.
    static func unexplained(_ bare: StoreError, subject: String, bucket: String) -> StoreError {
        func made(_ detail: String, _ remedy: String) -> StoreError {
            StoreError(
                bare.kind, detail: "\(subject): \(detail)", remedy: remedy, status: bare.status, code: bare.code,
                requestID: bare.requestID, retryAfter: bare.retryAfter)
        }
        switch bare.status {
        case 403:
            return made(
                "access denied: the key is unknown, its secret wrong, the clock off, or it may not read; or the object does not exist",
                "check OSS_ACCESS_KEY_ID, OSS_ACCESS_KEY_SECRET, the clock, and the key's rights on bucket \(bucket)")
        case 404:
            return made("neither it nor perhaps the bucket \(bucket) exists", "check the bucket and prefix in OSS_PATH")
        default: return bare
        }
    }

    static func error(head: ResponseHead, body: [UInt8], subject: String) -> StoreError {
        let xml = AnswerXML.parse(body)
        let code = xml?.child("Code").map { String($0.prefix(100)) }
        let message = String((xml?.child("Message") ?? "").prefix(300))
        func made(_ kind: StoreError.Kind, _ detail: String, _ remedy: String = "") -> StoreError {
            StoreError(
                kind, detail: "\(subject): \(detail)", remedy: remedy, status: head.status, code: code,
                requestID: head.requestID ?? xml?.child("RequestId"), retryAfter: head.retryAfter)
        }
        let region = head["x-amz-bucket-region"] ?? xml?.child("Region")
        let endpoint = xml?.child("Endpoint").map { String($0.prefix(100)) }
        let rightPlace = (region ?? endpoint).map { "use \($0)" } ?? "use the bucket's own"
        let wrongRegion = "set OSS_ENDPOINT and OSS_REGION to the bucket's region: \(rightPlace)"
        switch code ?? "" {
        case "InvalidAccessKeyId":
            return made(.wrongKey, "the store does not know the access key id", "check OSS_ACCESS_KEY_ID")
        case "SignatureDoesNotMatch":
            return made(.wrongSecret, "the signature is wrong", "check OSS_ACCESS_KEY_SECRET and OSS_REGION")
        case "SecurityTokenExpired", "ExpiredToken", "InvalidSecurityToken", "InvalidToken", "TokenRefreshRequired":
            return made(.expiredToken, "the security token is expired or invalid", "renew OSS_SESSION_TOKEN with its keys")
        case "RequestTimeTooSkewed":
            let off = head.date.map { " by \(abs(SystemClock.unixTime - $0.seconds)) s" } ?? ""
            return made(.clockSkew, "this machine's clock differs from the store's\(off)", "set the clock (NTP)")
        case "AccessDenied" where message.contains("must be addressed using the specified endpoint"):
            return made(.wrongRegion, "the bucket is at another endpoint", wrongRegion)
        case "AuthorizationHeaderMalformed", "PermanentRedirect", "TemporaryRedirect", "IllegalLocationConstraintException":
            return made(.wrongRegion, "the bucket is in another region", wrongRegion)
        case "InvalidArgument" where message.lowercased().contains("region"):
            return made(.wrongRegion, "the region of the signature is not the bucket's", wrongRegion)
        case "AccessDenied", "AllAccessDisabled", "UserDisable":
            return made(.accessDenied, "access denied: \(message)", "grant the key read and list rights on the bucket")
        case "NoSuchBucket":
            return made(.noSuchBucket, "the bucket does not exist", "check the bucket in OSS_PATH")
        case "NoSuchKey", "SymlinkTargetNotExist":
            return made(.noSuchKey, "the object does not exist", "check OSS_PATH")
        case "PreconditionFailed": return made(.objectChanged, "was replaced at the store", "open the model again")
        case "SlowDown", "Throttling", "TooManyRequests", "DownloadTrafficRateLimitExceeded", "QpsLimitExceeded":
            return made(.throttled, "the store asks for fewer requests")
        default: break
        }
        let said = message.isEmpty ? "the store refused" : message
        switch head.status {
        case 301, 302, 307, 308: return made(.wrongRegion, "the store points elsewhere", wrongRegion)
        case 401, 403: return made(.accessDenied, said, "check the keys and their rights on the bucket")
        case 404: return made(.noSuchKey, "not found", "check the bucket and prefix in OSS_PATH")
        case 412, 416: return made(.objectChanged, "was replaced at the store", "open the model again")
        case 429, 503: return made(.throttled, "the store asks for fewer requests")
        case 408, 500...599: return made(.server, "the store failed: \(message)")
        case 200...299: return made(.malformedAnswer, "unexpected status")
        default: return made(.refused, said)
        }
    }
}
