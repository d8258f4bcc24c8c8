import DevStore
import Testing

/// Requests signed by Alibaba Cloud's second Python SDK (V1, V4) and by botocore (S3) at 2026-11-21T05:00:00Z.
@Suite struct SignatureTests {
    struct Signed: Sendable, CustomTestStringConvertible {
        var name: String
        var method: String
        var target: String
        var headers: [(String, String)]

        init(_ name: String, _ method: String, _ target: String, _ headers: [(String, String)]) {
            self.name = name
            self.method = method
            self.target = target
            self.headers = headers
        }

        var testDescription: String { name }

        func verify(secret: String = "secret+/=x", region: String? = "cn-hangzhou", now: Int64 = SignatureTests.now) throws -> String? {
            let request = try #require(StoreRequest(method: method, target: target, headers: headers))
            let address = try #require(
                Address(request: request, baseHosts: ["oss-cn-hangzhou.test", "s3.test"]) { $0 == "models" })
            let keys = [
                AccessKey(id: "LTAIexample", secret: secret),
                AccessKey(id: "LTAIexample", secret: secret, token: "CAIS+tok/en=", expiry: 1_795_300_000),
            ]
            return try Verification(keys: keys, region: region, now: now).verify(request, address: address)
        }

        func code(secret: String = "secret+/=x", region: String? = "cn-hangzhou", now: Int64 = SignatureTests.now) -> String? {
            do {
                _ = try verify(secret: secret, region: region, now: now)
                return nil
            } catch {
                return (error as? StoreError)?.code ?? "\(error)"
            }
        }
    }

    static let now: Int64 = 1_795_237_200

    static let signed: [Signed] = [
        .init(
            "V1 header", "GET",
            "/%E4%B8%AD%E6%96%87%20dir/a%2Bb%2541%26%3D%3F.gguf",
            [
                ("Range", "bytes=0-9"),
                ("x-oss-range-behavior", "standard"),
                ("Date", "Sat, 21 Nov 2026 05:00:00 GMT"),
                ("Authorization", "OSS LTAIexample:H/miBYms250BPbmUsJ2/hahZABI="),
                ("Host", "models.oss-cn-hangzhou.test"),
            ]),
        .init(
            "V1 header, sub-resource and type", "PUT",
            "/k?acl&response-content-type=a%2Fb&prefix=x",
            [
                ("Content-Type", "text/plain"),
                ("Content-MD5", "XrY7u+Ae7tCTyyK7j1rNww=="),
                ("Date", "Sat, 21 Nov 2026 05:00:00 GMT"),
                ("Authorization", "OSS LTAIexample:fE9PijtIuYVykmnyWcqv5WDodos="),
                ("Host", "models.oss-cn-hangzhou.test"),
            ]),
        .init(
            "V1 query", "GET",
            "/%E4%B8%AD%E6%96%87%20dir/a%2Bb%2541%26%3D%3F.gguf?OSSAccessKeyId=LTAIexample&Expires=1795237800&Signature=iCCQrjwudh1pciZOxw0NhgkSLaE%3D",
            [
                ("Host", "models.oss-cn-hangzhou.test"),
            ]),
        .init(
            "V4 header", "GET",
            "/%E4%B8%AD%E6%96%87%20dir/a%2Bb%2541%26%3D%3F.gguf",
            [
                ("Range", "bytes=0-9"),
                ("x-oss-range-behavior", "standard"),
                ("x-oss-date", "20261121T050000Z"),
                ("Date", "Sat, 21 Nov 2026 05:00:00 GMT"),
                ("x-oss-content-sha256", "UNSIGNED-PAYLOAD"),
                ("Authorization", "OSS4-HMAC-SHA256 Credential=LTAIexample/20261121/cn-hangzhou/oss/aliyun_v4_request,Signature=a72edee8a4d4f37be013691215fc2656fb13b717b19895388b1541e8ded9a4b1"),
                ("Host", "models.oss-cn-hangzhou.test"),
            ]),
        .init(
            "V4 header, listing with a token", "GET",
            "/?continuation-token=YS9i%2B&list-type=2&prefix=%E4%B8%AD%20%2B&delimiter=%2F&fetch-owner",
            [
                ("x-oss-date", "20261121T050000Z"),
                ("Date", "Sat, 21 Nov 2026 05:00:00 GMT"),
                ("x-oss-security-token", "CAIS+tok/en="),
                ("x-oss-content-sha256", "UNSIGNED-PAYLOAD"),
                ("Authorization", "OSS4-HMAC-SHA256 Credential=LTAIexample/20261121/cn-hangzhou/oss/aliyun_v4_request,Signature=01292d300083593a3d6433e8d15060aeb1c50a27e7071eb06de528e24081d2de"),
                ("Host", "models.oss-cn-hangzhou.test"),
            ]),
        .init(
            "V4 header, more headers signed", "GET",
            "/k",
            [
                ("Range", "bytes=5-"),
                ("Content-Type", "text/plain"),
                ("Host", "models.oss-cn-hangzhou.test"),
                ("x-oss-date", "20261121T050000Z"),
                ("Date", "Sat, 21 Nov 2026 05:00:00 GMT"),
                ("x-oss-content-sha256", "UNSIGNED-PAYLOAD"),
                ("Authorization", "OSS4-HMAC-SHA256 Credential=LTAIexample/20261121/cn-hangzhou/oss/aliyun_v4_request,AdditionalHeaders=host;range,Signature=7b303d67f29d8de13a836bf3fca03ce21e9684a9329b78238eeffcc213ca4725"),
            ]),
        .init(
            "V4 query", "GET",
            "/%E4%B8%AD%E6%96%87%20dir/a%2Bb%2541%26%3D%3F.gguf?x-oss-process=a%2Fb&x-oss-signature-version=OSS4-HMAC-SHA256&x-oss-date=20261121T050000Z&x-oss-expires=600&x-oss-credential=LTAIexample%2F20261121%2Fcn-hangzhou%2Foss%2Faliyun_v4_request&x-oss-security-token=CAIS%2Btok%2Fen%3D&x-oss-signature=df47a3446f9c7409901fca7f68f4c794787f0fd5facfe97856a8d440109aee1a",
            [
                ("Host", "models.oss-cn-hangzhou.test"),
            ]),
        .init(
            "S3 header, path style", "GET",
            "/models/%E4%B8%AD%E6%96%87%20dir/a%2Bb%2541%26%3D%3F.gguf",
            [
                ("Range", "bytes=0-9"),
                ("X-Amz-Date", "20261121T050000Z"),
                ("X-Amz-Content-SHA256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
                ("Authorization", "AWS4-HMAC-SHA256 Credential=LTAIexample/20261121/cn-hangzhou/s3/aws4_request, SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, Signature=c5939b911a6f1d2127e45ce743dd7805f5856b203ee384546e2a070af5e2bda6"),
                ("Host", "s3.test"),
            ]),
        .init(
            "S3 header, listing with a token", "GET",
            "/?list-type=2&prefix=%E4%B8%AD%20%2B&delimiter=%2F&continuation-token=YS9i%2B",
            [
                ("X-Amz-Date", "20261121T050000Z"),
                ("X-Amz-Security-Token", "CAIS+tok/en="),
                ("X-Amz-Content-SHA256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
                ("Authorization", "AWS4-HMAC-SHA256 Credential=LTAIexample/20261121/cn-hangzhou/s3/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token, Signature=4c61f0a2c8ba98295c98923792eadeed6f5be3d5f2031cb95088ddfa409959f0"),
                ("Host", "models.s3.test"),
            ]),
        .init(
            "S3 query", "GET",
            "/models/%E4%B8%AD%E6%96%87%20dir/a%2Bb%2541%26%3D%3F.gguf?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=LTAIexample%2F20261121%2Fcn-hangzhou%2Fs3%2Faws4_request&X-Amz-Date=20261121T050000Z&X-Amz-Expires=3600&X-Amz-SignedHeaders=host&X-Amz-Signature=1b2e6edfbcd38b7302fb3200aafe8676dd429af710038b463c6a36283d208169",
            [
                ("Host", "s3.test"),
            ]),
    ]

    @Test(arguments: signed) func whatTheSDKsSignIsAccepted(_ signed: Signed) throws {
        #expect(try signed.verify() == "LTAIexample")
        #expect(try signed.verify(region: nil) == "LTAIexample")
    }

    @Test(arguments: signed) func anotherSecretAnotherMethodAndAnotherPathAreNot(_ signed: Signed) {
        #expect(signed.code(secret: "Secret+/=x") == "SignatureDoesNotMatch")
        var other = signed
        other.method = "DELETE"
        #expect(other.code() == "SignatureDoesNotMatch")
        other = signed
        other.target = signed.target.replacing("/", with: "/x", maxReplacements: 1)
        #expect(other.code() == "SignatureDoesNotMatch")
    }

    @Test(arguments: signed) func aClockFarOffAndAnotherRegionHaveTheirOwnErrors(_ signed: Signed) {
        let isQuery = signed.target.contains("ignature=")
        #expect(signed.code(now: Self.now + 86_400 * 8) != nil)
        // Both OSS queries were signed for ten minutes, S3's for an hour.
        #expect(signed.code(now: Self.now + 800) == (isQuery && !signed.name.hasPrefix("S3") ? "AccessDenied" : nil))
        if !isQuery { #expect(signed.code(now: Self.now - 901) == "RequestTimeTooSkewed") }
        guard !signed.name.hasPrefix("V1") else { return }
        let code = signed.name.hasPrefix("S3") ? "AuthorizationHeaderMalformed" : "InvalidArgument"
        #expect(signed.code(region: "cn-beijing") == code)
    }

    @Test func aHeaderThatTheSignatureCoversMayNotChange() {
        let covered = ["V4 header": "x-oss-range-behavior", "V1 header": "x-oss-range-behavior", "S3 header, path style": "Range",
            "V4 header, more headers signed": "Range", "V1 header, sub-resource and type": "Content-MD5"]
        for signed in Self.signed {
            guard let name = covered[signed.name] else { continue }
            var other = signed
            other.headers = signed.headers.map { $0.0 == name ? ($0.0, $0.1 + "1") : $0 }
            #expect(other.code() == "SignatureDoesNotMatch", "\(signed.name)")
        }
    }

    @Test func aTokenMustBeTheKeysOwnAndNotExpired() throws {
        let listing = try #require(Self.signed.first { $0.name == "V4 header, listing with a token" })
        var other = listing
        other.headers = listing.headers.map { $0.0 == "x-oss-security-token" ? ($0.0, "other") : $0 }
        #expect(other.code() == "InvalidSecurityToken")
        #expect(listing.code(now: 1_795_300_000) == "SecurityTokenExpired")
    }

    @Test(arguments: [
        "", "OSS", "OSS ", "OSS :", "OSS4-HMAC-SHA256 ", "OSS4-HMAC-SHA256 Credential=////,Signature=",
        "OSS4-HMAC-SHA256 Credential=LTAIexample/20261121/cn-hangzhou/oss/aliyun_v4_request", "AWS4-HMAC-SHA256 Credential",
        "AWS4-HMAC-SHA256 Credential=LTAIexample/1/2/3/aws4_request, SignedHeaders=, Signature=", "Bearer x",
    ])
    func whatIsNoSignatureIsRefused(_ authorization: String) {
        #expect(Signed("", "GET", "/k", [("Authorization", authorization), ("Host", "s3.test")]).code() != nil)
    }

    @Test func aKeysSecretIsNeverInItsDescription() throws {
        let key = try #require(AccessKey(text: "id:hidden:token:2030-01-01T00:00:00Z"))
        #expect(!"\(key)".contains("hidden") && !"\(key)".contains("token"))
        #expect(key.expiry == 1_893_456_000)
        for text in ["", "id", "id:", ":secret", "id:secret:token:never"] { #expect(AccessKey(text: text) == nil) }
    }

    @Test func base64GoesThereAndBack() {
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")] {
            #expect(Base64.encode(Array(plain.utf8)) == coded)
            #expect(Base64.decode(coded) == Array(plain.utf8))
        }
        #expect(Base64.decode("Zg-_") == nil)
    }
}
