import Crypto
import FoundationEssentials
internal import TextCoding

/// How requests are signed: a pure value from request, credentials and time to headers.
public enum RequestSigner: Sendable, Hashable {
    /// OSS signature version 1 in the header (HMAC-SHA1).
    case ossV1
    /// OSS signature version 4 in the header (OSS4-HMAC-SHA256), the host signed too: at another host the request is
    /// worth nothing.
    case ossV4(region: String)
    /// AWS signature version 4 for service `s3`, payload unsigned.
    case s3V4(region: String)

    /// The request with `Date` or its like, the security token and `Authorization` added.
    ///
    /// - Parameter unixTime: seconds since 1970 (UTC), the moment of signing.
    public func sign(
        _ request: SignableRequest, credentials: StoreCredentials, unixTime: Int64
    ) -> SignableRequest {
        let time = UTCTime(seconds: unixTime)
        var signed = request
        switch self {
        case .ossV1:
            signed.headers["date"] = time.httpDate
            if let token = credentials.token { signed.headers["x-oss-security-token"] = token }
            let text = OSSV1.stringToSign(signed)
            let code = HMAC<Insecure.SHA1>.authenticationCode(
                for: Data(text.utf8), using: SymmetricKey(data: Data(credentials.secret.utf8)))
            signed.headers["authorization"] = "OSS \(credentials.keyID):\(Data(code).base64EncodedString())"
        case .ossV4(let region):
            signed.headers["x-oss-date"] = time.basic
            signed.headers["x-oss-content-sha256"] = "UNSIGNED-PAYLOAD"
            if let token = credentials.token { signed.headers["x-oss-security-token"] = token }
            let scope = "\(time.basicDay)/\(region)/oss/aliyun_v4_request"
            let signature = V4.signature(
                algorithm: "OSS4-HMAC-SHA256", keyPrefix: "aliyun_v4", secret: credentials.secret, time: time,
                scope: scope, canonicalRequest: V4.ossCanonicalRequest(signed))
            signed.headers["authorization"] =
                "OSS4-HMAC-SHA256 Credential=\(credentials.keyID)/\(scope),AdditionalHeaders=host,Signature=\(signature)"
        case .s3V4(let region):
            signed.headers["x-amz-date"] = time.basic
            signed.headers["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD"
            if let token = credentials.token { signed.headers["x-amz-security-token"] = token }
            let scope = "\(time.basicDay)/\(region)/s3/aws4_request"
            let (canonical, names) = V4.s3CanonicalRequest(signed)
            let signature = V4.signature(
                algorithm: "AWS4-HMAC-SHA256", keyPrefix: "AWS4", secret: credentials.secret, time: time,
                scope: scope, canonicalRequest: canonical)
            signed.headers["authorization"] =
                "AWS4-HMAC-SHA256 Credential=\(credentials.keyID)/\(scope), SignedHeaders=\(names), Signature=\(signature)"
        }
        return signed
    }
}

/// https://help.aliyun.com/zh/oss/developer-reference/include-signatures-in-the-authorization-header
enum OSSV1 {
    /// Query names that belong to the resource and are signed; those that this client may send.
    private static let subresources: Set<String> = [
        "acl", "bucketInfo", "continuation-token", "location", "objectMeta", "response-content-type", "stat", "symlink",
        "versionId", "versions", "x-oss-process",
    ]

    static func stringToSign(_ request: SignableRequest) -> String {
        let headers = request.headers.filter { $0.key.hasPrefix("x-oss-") }
            .sorted { $0.key < $1.key }
            .map { "\($0.key):\($0.value)\n" }.joined()
        let signedQuery = request.query.filter { subresources.contains($0.name) }
            .sorted { $0.name < $1.name }
            .map { $0.value.isEmpty ? $0.name : "\($0.name)=\($0.value)" }
            .joined(separator: "&")
        let resource = "/\(request.bucket)/\(request.key ?? "")" + (signedQuery.isEmpty ? "" : "?\(signedQuery)")
        return [
            request.method, request.headers["content-md5"] ?? "", request.headers["content-type"] ?? "",
            request.headers["date"] ?? "", headers + resource,
        ].joined(separator: "\n")
    }
}

/// The steps that OSS V4 and AWS V4 share, and where they differ.
///
/// https://help.aliyun.com/zh/oss/developer-reference/recommend-to-use-signature-version-4 and
/// https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
enum V4 {
    /// OSS signs `/bucket/key` whatever the addressing, the headers `x-oss-*`, content-type, content-md5 and those that
    /// the client adds, here `host`; it writes a name with an empty value without `=`.
    static func ossCanonicalRequest(_ request: SignableRequest) -> String {
        var signed = request.headers
            .filter { $0.key.hasPrefix("x-oss-") || $0.key == "content-type" || $0.key == "content-md5" }
        signed["host"] = request.host
        let headers = signed.sorted { $0.key < $1.key }.map { "\($0.key):\(trimmed($0.value))\n" }.joined()
        return [
            request.method, PercentCoding.encode("/\(request.bucket)/\(request.key ?? "")", keepingSlash: true),
            request.encodedQuery(flagsWithEquals: false), headers, "host", "UNSIGNED-PAYLOAD",
        ].joined(separator: "\n")
    }

    /// S3 signs the path as sent, `host` and every `x-amz-*` header.
    static func s3CanonicalRequest(_ request: SignableRequest) -> (text: String, signedHeaders: String) {
        var headers = request.headers.filter { $0.key.hasPrefix("x-amz-") }
        headers["host"] = request.host
        let sorted = headers.sorted { $0.key < $1.key }
        let names = sorted.map(\.key).joined(separator: ";")
        let lines = sorted.map { "\($0.key):\(trimmed($0.value))\n" }.joined()
        let text = [
            request.method, request.path, request.encodedQuery(flagsWithEquals: true), lines, names, "UNSIGNED-PAYLOAD",
        ].joined(separator: "\n")
        return (text, names)
    }

    /// `scope` is day/region/service/terminator; its parts derive the key one after the other.
    static func signature(
        algorithm: String, keyPrefix: String, secret: String, time: UTCTime, scope: String, canonicalRequest: String
    ) -> String {
        let digest = Hex.encode(SHA256.hash(data: Data(canonicalRequest.utf8)))
        let text = [algorithm, time.basic, scope, digest].joined(separator: "\n")
        var key = SymmetricKey(data: Data((keyPrefix + secret).utf8))
        for part in scope.split(separator: "/") {
            key = SymmetricKey(data: HMAC<SHA256>.authenticationCode(for: Data(part.utf8), using: key))
        }
        return Hex.encode(HMAC<SHA256>.authenticationCode(for: Data(text.utf8), using: key))
    }

    private static func trimmed(_ value: String) -> String {
        String(value.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
    }
}
