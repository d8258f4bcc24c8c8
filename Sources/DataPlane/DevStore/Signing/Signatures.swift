internal import Crypto
internal import TextCoding

/// The three signature schemes as pure functions: from a request to the text to sign, and from that text to the
/// signature. Sources: OSS "Include signatures in the Authorization header" (V1, V4), AWS "Signature Version 4 signing
/// process".
package enum Signatures {
    /// Base64 of HMAC-SHA1, OSS V1.
    package static func ossV1(secret: String, stringToSign: String) -> String {
        let mac = HMAC<Insecure.SHA1>.authenticationCode(
            for: Array(stringToSign.utf8), using: SymmetricKey(data: Array(secret.utf8)))
        return Base64.encode(Array(mac))
    }

    /// Hex of HMAC-SHA256 under the key derived through date, region, product and terminator.
    /// OSS: prefix `aliyun_v4`, terminator `aliyun_v4_request`. S3: `AWS4`, `aws4_request`.
    package static func v4(
        prefix: String, terminator: String, secret: String, scope: CredentialScope, stringToSign: String
    ) -> String {
        var key = SymmetricKey(data: Array((prefix + secret).utf8))
        for part in [scope.date, scope.region, scope.product, terminator] {
            key = SymmetricKey(data: HMAC<SHA256>.authenticationCode(for: Array(part.utf8), using: key))
        }
        return Hex.encode(HMAC<SHA256>.authenticationCode(for: Array(stringToSign.utf8), using: key))
    }

    static func sha256(_ text: String) -> String { Hex.encode(SHA256.hash(data: Array(text.utf8))) }

    /// `date` is the Date header, or the Expires of a presigned query.
    package static func ossV1StringToSign(_ request: StoreRequest, address: Address, date: String) -> String {
        let lines = request.headers.filter { $0.name.hasPrefix("x-oss-") }
            .sorted { $0.name < $1.name }.map { "\($0.name):\($0.value)\n" }.joined()
        var resource = "/"
        if let bucket = address.bucket { resource += bucket + "/" + (address.key ?? "") }
        let signed = request.query.filter { subresources.contains($0.name) }
            .sorted { precedes($0.name, $1.name) }
            .map { $0.value.isEmpty ? $0.name : "\($0.name)=\($0.value)" }
        if !signed.isEmpty { resource += "?" + signed.joined(separator: "&") }
        return [
            request.method, request.header("content-md5") ?? "", request.header("content-type") ?? "", date,
            lines + resource,
        ].joined(separator: "\n")
    }

    /// `additional`: the names of the AdditionalHeaders, sorted. The caller leaves out query items of the signature
    /// itself.
    package static func ossV4CanonicalRequest(
        _ request: StoreRequest, address: Address, additional: [String], payloadHash: String
    ) -> String {
        var path = "/"
        if let bucket = address.bucket { path += bucket + "/" + (address.key ?? "") }
        let query = sortedQuery(request).map { $0.value.isEmpty ? $0.name : "\($0.name)=\($0.value)" }
        let headers = request.headers.filter {
            $0.name.hasPrefix("x-oss-") || $0.name == "content-type" || $0.name == "content-md5"
                || additional.contains($0.name)
        }.sorted { $0.name < $1.name }.map { "\($0.name):\($0.value)\n" }.joined()
        return [
            request.method, PercentCoding.encode(path, keepingSlash: true), query.joined(separator: "&"), headers,
            additional.joined(separator: ";"), payloadHash,
        ].joined(separator: "\n")
    }

    /// Nil when the path's escapes are broken.
    package static func s3CanonicalRequest(
        _ request: StoreRequest, signedHeaders: [String], payloadHash: String
    ) -> String? {
        guard let path = PercentCoding.decode(request.rawPath, plusIsSpace: false) else { return nil }
        let query = sortedQuery(request).map { "\($0.name)=\($0.value)" }
        let headers = signedHeaders.map { name in
            let values = request.headers.filter { $0.name == name }.map { collapse($0.value) }
            return "\(name):\(values.joined(separator: ","))\n"
        }.joined()
        return [
            request.method, PercentCoding.encode(path, keepingSlash: true), query.joined(separator: "&"), headers,
            signedHeaders.joined(separator: ";"), payloadHash,
        ].joined(separator: "\n")
    }

    package static func v4StringToSign(
        algorithm: String, time: String, scope: CredentialScope, terminator: String, canonicalRequest: String
    ) -> String {
        "\(algorithm)\n\(time)\n\(scope.date)/\(scope.region)/\(scope.product)/\(terminator)\n"
            + sha256(canonicalRequest)
    }

    private static func sortedQuery(_ request: StoreRequest) -> [(name: String, value: String)] {
        request.query.map {
            (
                name: PercentCoding.encode($0.name, keepingSlash: false),
                value: PercentCoding.encode($0.value, keepingSlash: false)
            )
        }.sorted { $0.name == $1.name ? precedes($0.value, $1.value) : precedes($0.name, $1.name) }
    }

    private static func precedes(_ a: String, _ b: String) -> Bool { a.utf8.lexicographicallyPrecedes(b.utf8) }

    private static func collapse(_ value: String) -> String {
        value.split(separator: " ", omittingEmptySubsequences: true).joined(separator: " ")
    }

    /// The query items that V1 signs.
    static let subresources: Set<String> = [
        "acl", "append", "bucketInfo", "callback", "callback-var", "cname", "comp", "continuation-token", "cors",
        "delete", "encryption", "endTime", "group", "inventory", "inventoryId", "lifecycle", "link", "live",
        "location", "logging", "objectInfo", "objectMeta", "partNumber", "policy", "position", "qos", "qosInfo",
        "referer", "regionList", "replication", "replicationLocation", "replicationProgress", "requestPayment",
        "resourceGroup", "response-cache-control", "response-content-disposition", "response-content-encoding",
        "response-content-language", "response-content-type", "response-expires", "restore", "security-token",
        "sequential", "startTime", "stat", "status", "style", "styleName", "symlink", "tagging",
        "transferAcceleration", "uploadId", "uploads", "versionId", "versioning", "versions", "vod", "website",
        "worm", "wormExtend", "wormId", "x-oss-ac-forward-allow", "x-oss-ac-source-ip", "x-oss-ac-subnet-mask",
        "x-oss-ac-vpc-id", "x-oss-async-process", "x-oss-process", "x-oss-request-payer", "x-oss-traffic-limit",
    ]
}

/// `date/region/product` of a V4 credential.
package struct CredentialScope: Sendable, Equatable {
    package var keyID: String
    package var date: String
    package var region: String
    package var product: String

    /// Reads `id/20261121/cn-hangzhou/oss/aliyun_v4_request`. Nil for any other form.
    package init?(credential: String, terminator: String) {
        let parts = credential.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard parts.count >= 5, parts[parts.count - 1] == terminator else { return nil }
        let n = parts.count
        keyID = parts[..<(n - 4)].joined(separator: "/")
        date = parts[n - 4]
        region = parts[n - 3]
        product = parts[n - 2]
    }
}

/// RFC 4648 base 64, for V1 signatures, Content-MD5 and continuation tokens.
package enum Base64 {
    private static let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    package static func encode(_ bytes: [UInt8]) -> String {
        var out: [UInt8] = []
        var index = 0
        while index < bytes.count {
            let left = bytes.count - index
            let word =
                UInt32(bytes[index]) << 16 | (left > 1 ? UInt32(bytes[index + 1]) << 8 : 0)
                | (left > 2 ? UInt32(bytes[index + 2]) : 0)
            out.append(digits[Int(word >> 18 & 63)])
            out.append(digits[Int(word >> 12 & 63)])
            out.append(left > 1 ? digits[Int(word >> 6 & 63)] : UInt8(ascii: "="))
            out.append(left > 2 ? digits[Int(word & 63)] : UInt8(ascii: "="))
            index += 3
        }
        return String(decoding: out, as: UTF8.self)
    }

    /// Nil when a character is not in the base 64 alphabet.
    package static func decode(_ text: String) -> [UInt8]? {
        var out: [UInt8] = []
        var word: UInt32 = 0
        var bits = 0
        for byte in text.utf8 where byte != UInt8(ascii: "=") {
            guard let digit = digits.firstIndex(of: byte) else { return nil }
            word = word << 6 | UInt32(digit)
            bits += 6
            if bits >= 8 {
                bits -= 8
                out.append(UInt8(truncatingIfNeeded: word >> UInt32(bits)))
            }
        }
        return out
    }
}
