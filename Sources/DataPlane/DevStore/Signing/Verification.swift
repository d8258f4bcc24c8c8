internal import TextCoding

/// Checks a request's signature against the store's keys, and so its permission.
package struct Verification: Sendable {
    package var keys: [AccessKey]
    /// The region that V4 scopes must name; nil: any.
    package var region: String?
    /// The store's clock, seconds since 1970.
    package var now: Int64

    package init(keys: [AccessKey], region: String?, now: Int64) {
        self.keys = keys
        self.region = region
        self.now = now
    }

    /// OSS and S3 refuse requests whose time differs from their own clock by more than this.
    static let allowedSkewSeconds: Int64 = 15 * 60

    /// The id of the key that signed; nil for a request without a signature.
    package func verify(_ request: StoreRequest, address: Address) throws(StoreError) -> String? {
        if let authorization = request.header("authorization") {
            if authorization.hasPrefix("OSS4-HMAC-SHA256 ") {
                return try ossV4Header(request, address, String(authorization.dropFirst(17)))
            }
            if authorization.hasPrefix("OSS ") {
                return try ossV1Header(request, address, String(authorization.dropFirst(4)))
            }
            if authorization.hasPrefix("AWS4-HMAC-SHA256 ") {
                return try s3Header(request, String(authorization.dropFirst(17)))
            }
            throw StoreError("InvalidArgument", 400, "Unsupported Authorization Type.")
        }
        if request.parameter("x-oss-signature") != nil { return try ossV4Query(request, address) }
        if request.parameter("OSSAccessKeyId") != nil { return try ossV1Query(request, address) }
        if request.parameter("X-Amz-Signature") != nil { return try s3Query(request) }
        return nil
    }

    // MARK: OSS V1

    private func ossV1Header(
        _ request: StoreRequest, _ address: Address, _ credentials: String
    ) throws(StoreError) -> String {
        guard let colon = credentials.lastIndex(of: ":") else {
            throw StoreError("InvalidArgument", 400, "Authorization header is invalid.")
        }
        let key = try key(String(credentials[..<colon]), token: request.header("x-oss-security-token"), .oss)
        let date = request.header("x-oss-date") ?? request.header("date") ?? ""
        guard let time = HTTPDate.parseRFC1123(date) else {
            throw StoreError("AccessDenied", 403, "OSS authentication requires a valid Date.")
        }
        try checkClock(time, .oss)
        let text = Signatures.ossV1StringToSign(request, address: address, date: date)
        try match(
            String(credentials[credentials.index(after: colon)...]),
            Signatures.ossV1(secret: key.secret, stringToSign: text), key, text, .oss)
        return key.id
    }

    private func ossV1Query(_ request: StoreRequest, _ address: Address) throws(StoreError) -> String {
        let key = try key(request.parameter("OSSAccessKeyId") ?? "", token: request.parameter("security-token"), .oss)
        let expires = request.parameter("Expires") ?? ""
        guard let end = Int64(expires) else {
            throw StoreError("AccessDenied", 403, "Query string authentication requires a valid Expires.")
        }
        if end < now { throw expired(end) }
        let text = Signatures.ossV1StringToSign(request, address: address, date: expires)
        try match(
            request.parameter("Signature") ?? "", Signatures.ossV1(secret: key.secret, stringToSign: text), key, text,
            .oss)
        return key.id
    }

    // MARK: OSS V4

    private func ossV4Header(
        _ request: StoreRequest, _ address: Address, _ parameters: String
    ) throws(StoreError) -> String {
        let fields = Self.fields(parameters)
        let time = request.header("x-oss-date") ?? ""
        return try ossV4(
            request, address, credential: fields["Credential"] ?? "", signature: fields["Signature"] ?? "",
            additional: fields["AdditionalHeaders"] ?? "", token: request.header("x-oss-security-token"), time: time,
            expires: nil)
    }

    private func ossV4Query(_ request: StoreRequest, _ address: Address) throws(StoreError) -> String {
        var unsigned = request
        unsigned.query.removeAll { $0.name == "x-oss-signature" }
        return try ossV4(
            unsigned, address, credential: request.parameter("x-oss-credential") ?? "",
            signature: request.parameter("x-oss-signature") ?? "",
            additional: request.parameter("x-oss-additional-headers") ?? "",
            token: request.parameter("x-oss-security-token"), time: request.parameter("x-oss-date") ?? "",
            expires: request.parameter("x-oss-expires") ?? "0")
    }

    private func ossV4(
        _ request: StoreRequest, _ address: Address, credential: String, signature: String, additional: String,
        token: String?, time: String, expires: String?
    ) throws(StoreError) -> String {
        guard let scope = CredentialScope(credential: credential, terminator: "aliyun_v4_request") else {
            throw StoreError("InvalidArgument", 400, "Invalid Credential in Authorization header.")
        }
        let key = try key(scope.keyID, token: token, .oss)
        guard let seconds = HTTPDate.parseBasic(time), time.hasPrefix(scope.date) else {
            throw StoreError("InvalidArgument", 400, "Invalid signing date in Authorization header.")
        }
        try checkTime(seconds, expires: expires, .oss)
        if let region, region != scope.region {
            throw StoreError(
                "InvalidArgument", 400, "Invalid signing region in Authorization header.",
                fields: [.init("ArgumentName", "region"), .init("ArgumentValue", scope.region)])
        }
        let canonical = Signatures.ossV4CanonicalRequest(
            request, address: address,
            additional: additional.isEmpty ? [] : additional.split(separator: ";").map { $0.lowercased() }.sorted(),
            payloadHash: request.header("x-oss-content-sha256") ?? "UNSIGNED-PAYLOAD")
        let text = Signatures.v4StringToSign(
            algorithm: "OSS4-HMAC-SHA256", time: time, scope: scope, terminator: "aliyun_v4_request",
            canonicalRequest: canonical)
        let computed = Signatures.v4(
            prefix: "aliyun_v4", terminator: "aliyun_v4_request", secret: key.secret, scope: scope, stringToSign: text)
        try match(signature, computed, key, text, .oss, canonical: canonical)
        return key.id
    }

    // MARK: S3 V4

    private func s3Header(_ request: StoreRequest, _ parameters: String) throws(StoreError) -> String {
        let fields = Self.fields(parameters)
        return try s3(
            request, credential: fields["Credential"] ?? "", signature: fields["Signature"] ?? "",
            signedHeaders: fields["SignedHeaders"] ?? "", token: request.header("x-amz-security-token"),
            time: request.header("x-amz-date") ?? "", expires: nil,
            payloadHash: request.header("x-amz-content-sha256") ?? "UNSIGNED-PAYLOAD")
    }

    private func s3Query(_ request: StoreRequest) throws(StoreError) -> String {
        var unsigned = request
        unsigned.query.removeAll { $0.name == "X-Amz-Signature" }
        return try s3(
            unsigned, credential: request.parameter("X-Amz-Credential") ?? "",
            signature: request.parameter("X-Amz-Signature") ?? "",
            signedHeaders: request.parameter("X-Amz-SignedHeaders") ?? "",
            token: request.parameter("X-Amz-Security-Token"), time: request.parameter("X-Amz-Date") ?? "",
            expires: request.parameter("X-Amz-Expires") ?? "0", payloadHash: "UNSIGNED-PAYLOAD")
    }

    private func s3(
        _ request: StoreRequest, credential: String, signature: String, signedHeaders: String, token: String?,
        time: String, expires: String?, payloadHash: String
    ) throws(StoreError) -> String {
        guard let scope = CredentialScope(credential: credential, terminator: "aws4_request") else {
            throw StoreError("AuthorizationHeaderMalformed", 400, "The authorization header is malformed.")
        }
        let key = try key(scope.keyID, token: token, .s3)
        guard let seconds = HTTPDate.parseBasic(time), time.hasPrefix(scope.date) else {
            throw StoreError("AccessDenied", 403, "AWS authentication requires a valid Date or x-amz-date header")
        }
        try checkTime(seconds, expires: expires, .s3)
        if let region, region != scope.region {
            throw StoreError(
                "AuthorizationHeaderMalformed", 400,
                "The authorization header is malformed; the region '\(scope.region)' is wrong; expecting '\(region)'",
                fields: [.init("Region", region)])
        }
        guard
            let canonical = Signatures.s3CanonicalRequest(
                request, signedHeaders: signedHeaders.split(separator: ";").map { $0.lowercased() },
                payloadHash: payloadHash)
        else { throw StoreError("InvalidURI", 400, "Couldn't parse the specified URI.") }
        let text = Signatures.v4StringToSign(
            algorithm: "AWS4-HMAC-SHA256", time: time, scope: scope, terminator: "aws4_request",
            canonicalRequest: canonical)
        let computed = Signatures.v4(
            prefix: "AWS4", terminator: "aws4_request", secret: key.secret, scope: scope, stringToSign: text)
        try match(signature, computed, key, text, .s3, canonical: canonical)
        return key.id
    }

    // MARK: Shared checks

    private func key(_ id: String, token: String?, _ dialect: Dialect) throws(StoreError) -> AccessKey {
        let known = keys.filter { $0.id == id }
        let plain = known.first { $0.token == nil }
        if let token {
            guard !known.isEmpty else { throw unknownKey(id, dialect) }
            guard let key = known.first(where: { constantTimeEqual($0.token ?? "", token) }) else {
                throw dialect == .oss
                    ? StoreError("InvalidSecurityToken", 403, "The security token you provided is invalid.")
                    : StoreError("InvalidToken", 400, "The provided token is malformed or otherwise invalid.")
            }
            if let expiry = key.expiry, expiry <= now { throw Self.tokenExpired(dialect) }
            return key
        }
        guard let plain else { throw unknownKey(id, dialect) }
        return plain
    }

    package static func tokenExpired(_ dialect: Dialect) -> StoreError {
        dialect == .oss
            ? StoreError("SecurityTokenExpired", 403, "The security token you provided has expired.")
            : StoreError("ExpiredToken", 400, "The provided token has expired.")
    }

    private func unknownKey(_ id: String, _ dialect: Dialect) -> StoreError {
        dialect == .oss
            ? StoreError(
                "InvalidAccessKeyId", 403, "The OSS Access Key Id you provided does not exist in our records.",
                fields: [.init("OSSAccessKeyId", id)])
            : StoreError(
                "InvalidAccessKeyId", 403, "The AWS Access Key Id you provided does not exist in our records.",
                fields: [.init("AWSAccessKeyId", id)])
    }

    private func checkTime(_ time: Int64, expires: String?, _ dialect: Dialect) throws(StoreError) {
        guard let expires else { return try checkClock(time, dialect) }
        guard let seconds = Int64(expires), seconds >= 0, seconds <= 604_800 else {
            throw StoreError("AccessDenied", 403, "Invalid expires of a presigned request.")
        }
        if time + seconds < now { throw expired(time + seconds) }
    }

    private func checkClock(_ time: Int64, _ dialect: Dialect) throws(StoreError) {
        guard abs(time - now) > Self.allowedSkewSeconds else { return }
        throw StoreError(
            "RequestTimeTooSkewed", 403,
            "The difference between the request time and the current time is too large.",
            fields: [
                .init("MaxAllowedSkewMilliseconds", "900000"), .init("RequestTime", HTTPDate.iso8601(time)),
                .init("ServerTime", HTTPDate.iso8601(now)),
            ])
    }

    private func expired(_ end: Int64) -> StoreError {
        StoreError(
            "AccessDenied", 403, "Request has expired.",
            fields: [.init("Expires", HTTPDate.iso8601(end)), .init("ServerTime", HTTPDate.iso8601(now))])
    }

    private func match(
        _ given: String, _ computed: String, _ key: AccessKey, _ stringToSign: String, _ dialect: Dialect,
        canonical: String? = nil
    ) throws(StoreError) {
        if constantTimeEqual(given, computed) { return }
        var fields = [
            StoreError.Field(dialect == .oss ? "OSSAccessKeyId" : "AWSAccessKeyId", key.id),
            .init("SignatureProvided", given), .init("StringToSign", stringToSign),
            .init("StringToSignBytes", Self.spaced(stringToSign)),
        ]
        if let canonical { fields.append(.init("CanonicalRequest", canonical)) }
        throw StoreError(
            "SignatureDoesNotMatch", 403,
            "The request signature we calculated does not match the signature you provided. "
                + "Check your key and signing method.", fields: fields)
    }

    private static func spaced(_ text: String) -> String {
        text.utf8.map { Hex.encode([$0], uppercase: true) }.joined(separator: " ")
    }

    /// `A=1, B=2` or `A=1,B=2`.
    private static func fields(_ text: String) -> [String: String] {
        var out: [String: String] = [:]
        for part in text.split(separator: ",") {
            let halves = part.drop { $0 == " " }.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if halves.count == 2 { out[String(halves[0])] = String(halves[1]) }
        }
        return out
    }
}
