internal import RangeTransfer

/// The headers that OSS and S3 add to HTTP's own.
extension ResponseHead {
    /// The store's request id, for its support.
    var requestID: String? { self["x-oss-request-id"] ?? self["x-amz-request-id"] }

    /// How long the store asks us to wait: `x-oss-qos-delay-time` in milliseconds
    /// (https://www.alibabacloud.com/help/en/oss/developer-reference/getobject), else `Retry-After`. At most an hour is
    /// believed.
    package var storeDelay: Duration? {
        if let text = self["x-oss-qos-delay-time"], let milliseconds = Self.number(text) {
            return .milliseconds(min(milliseconds, 3_600_000))
        }
        return retryAfter
    }
}
