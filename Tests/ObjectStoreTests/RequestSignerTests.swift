import ObjectStore
import Testing

/// Expected values were made with the stores' own SDKs (PyPI alibabacloud-oss-v2 1.4.1 and botocore 1.44.5) for
/// 2026-11-21T06:00:00Z.
@Suite struct RequestSignerTests {
    private let time: Int64 = 1_795_240_800
    private let key = "models/a b+c%d/模型.gguf"

    private func object(_ endpoint: String, _ headers: [String: String]) throws -> SignableRequest {
        SignableRequest(endpoint: try StoreEndpoint(parsing: endpoint), bucket: "bucket-x", key: key, headers: headers)
    }

    @Test(arguments: [
        (RequestSigner.ossV4(region: "cn-hangzhou"), String?.none, "e07a540d3aa40338391541e1b60db3f812c5d0653f8f0ab5138649745e997459"),
        (.ossV4(region: "cn-hangzhou"), "tok/+=", "6d6e76585082bae312db2b4d89d7471f25b3061eb00b8d96b46180c172801c03"),
        (.ossV1, nil, "/8DTGniwuuHsxBwe+ILH8Iu9C3c="),
        (.ossV1, "tok/+=", "0hn5R0tBTHfkqUUnGdiuyebe98I="),
    ])
    func `object requests carry the signature of the OSS SDK`(signer: RequestSigner, token: String?, want: String) throws {
        let request = try object("oss-cn-hangzhou.aliyuncs.com", ["x-oss-range-behavior": "standard"])
        let credentials = StoreCredentials(keyID: "AKID1", secret: "secret1", token: token)
        let signed = signer.sign(request, credentials: credentials, unixTime: time)
        #expect(signed.headers["authorization"]?.hasSuffix(want) == true)
    }

    @Test(arguments: [
        (RequestSigner.ossV4(region: "cn-hangzhou"), "caf8104f34e0129adfceaba14f8c9e82b6fd01b2b66b9535bcdd550cc68c23d9"),
        (.ossV1, "44NM715jP9AO0HGoElApZgE/wFw="),
    ])
    func `list requests sign their sub-resources`(signer: RequestSigner, want: String) throws {
        let request = SignableRequest(
            endpoint: try StoreEndpoint(parsing: "oss-cn-hangzhou.aliyuncs.com"), bucket: "bucket-x", key: nil,
            query: [
                .init("list-type", "2"), .init("encoding-type", "url"), .init("max-keys", "1000"),
                .init("prefix", "a b/"), .init("continuation-token", "a+b="),
            ])
        let credentials = StoreCredentials(keyID: "AKID1", secret: "secret1")
        let signed = signer.sign(request, credentials: credentials, unixTime: time)
        #expect(signed.headers["authorization"]?.hasSuffix(want) == true)
    }

    @Test func `S3 requests carry the signature of botocore`() throws {
        let request = try object("s3.us-west-2.amazonaws.com", [:])
        let credentials = StoreCredentials(keyID: "AKID1", secret: "secret1", token: "tok/+=")
        let signed = RequestSigner.s3V4(region: "us-west-2").sign(request, credentials: credentials, unixTime: time)
        #expect(
            signed.headers["authorization"]?.hasSuffix(
                "635ea37d212ca13b10f0afa736eae551f81ba672185838cc925bb6c8658c8972") == true)
    }
}
