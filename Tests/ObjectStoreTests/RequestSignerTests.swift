import ObjectStore
import Testing

/// Expected values for 2026-11-21T06:00:00Z: of OSS V1 and S3 from the stores' own SDKs (PyPI alibabacloud-oss-v2 1.4.1
/// and botocore 1.44.5), of OSS V4 from a second implementation of its documentation, which gives that SDK's values
/// without `AdditionalHeaders`.
@Suite struct RequestSignerTests {
    private let time: Int64 = 1_795_240_800
    private let key = "models/a b+c%d/模型.gguf"

    private func object(_ endpoint: String, _ headers: [String: String]) throws -> SignableRequest {
        SignableRequest(endpoint: try StoreEndpoint(parsing: endpoint), bucket: "bucket-x", key: key, headers: headers)
    }

    @Test(arguments: [
        (RequestSigner.ossV4(region: "cn-hangzhou"), String?.none, "1bb59eb0f14f0e82b602409e52c7c5cca882b6300e63658a23b745f02554ae92"),
        (.ossV4(region: "cn-hangzhou"), "tok/+=", "77c0e1abf2cb1f63cf2268f0d9c22ee92f7a16e36d41959f015b091ac0fd3975"),
        (.ossV1, nil, "/8DTGniwuuHsxBwe+ILH8Iu9C3c="),
        (.ossV1, "tok/+=", "0hn5R0tBTHfkqUUnGdiuyebe98I="),
    ])
    func `object requests carry the signature that OSS documents, in V4 of the host too`(signer: RequestSigner, token: String?, want: String) throws {
        let request = try object("oss-cn-hangzhou.aliyuncs.com", ["x-oss-range-behavior": "standard"])
        let credentials = StoreCredentials(keyID: "AKID1", secret: "secret1", token: token)
        let signed = signer.sign(request, credentials: credentials, unixTime: time)
        #expect(signed.headers["authorization"]?.hasSuffix(want) == true)
        var elsewhere = request
        elsewhere.host = "relay.example.com"
        let relayed = signer.sign(elsewhere, credentials: credentials, unixTime: time)
        #expect((relayed.headers["authorization"] == signed.headers["authorization"]) == (signer == .ossV1), "V1 cannot sign the host")
    }

    @Test(arguments: [
        (RequestSigner.ossV4(region: "cn-hangzhou"), "012570efbd201a4e0879eb8f35a0a570dd0c51a6f4becf43f604dd18fed56668"),
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
