import ObjectStore
import Testing

/// Keys that other tools keep in a person's home.
@Suite struct ProfileTests {
    private static let files = [
        "/home/p/.aws/credentials": "# mine\n[default]\naws_access_key_id = AK\naws_secret_access_key=SK\n\n[work]\naws_access_key_id=WK\naws_secret_access_key = W=S\naws_session_token=T\n",
        "/home/p/.aws/config": "[default]\nregion = eu-west-1\ns3 =\n  addressing_style = path\n[profile work]\nregion=cn-north-1\nendpoint_url = http://minio:9000\n",
    ]

    private func completed(
        _ environment: [String: String], _ scheme: StoreScheme, files: [String: String] = ProfileTests.files
    ) -> [String: String] {
        CredentialProfiles { files[$0] }.completed(environment.merging(["HOME": "/home/p"]) { $1 }, scheme: scheme)
    }

    @Test func `an s3 source takes the default profile of the AWS tools`() {
        let got = completed([:], .s3)
        #expect(got["AWS_ACCESS_KEY_ID"] == "AK" && got["AWS_SECRET_ACCESS_KEY"] == "SK" && got["AWS_REGION"] == "eu-west-1")
        #expect(got["AWS_SESSION_TOKEN"] == nil)
    }

    @Test func `AWS_PROFILE names another, with its token, region and endpoint`() {
        let got = completed(["AWS_PROFILE": "work"], .s3)
        #expect(got["AWS_ACCESS_KEY_ID"] == "WK" && got["AWS_SECRET_ACCESS_KEY"] == "W=S" && got["AWS_SESSION_TOKEN"] == "T")
        #expect(got["AWS_REGION"] == "cn-north-1" && got["AWS_ENDPOINT_URL"] == "http://minio:9000")
        #expect(completed(["AWS_PROFILE": "none"], .s3)["AWS_ACCESS_KEY_ID"] == nil)
    }

    @Test(arguments: ["OSS_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "OSS_CREDENTIALS_FILE"])
    func `keys of the environment win, half a pair as well`(name: String) {
        #expect(completed([name: "x"], .s3).count == 2)
    }

    @Test func `a region of the environment stays`() {
        #expect(completed(["AWS_REGION": "us-east-2"], .s3)["AWS_REGION"] == "us-east-2")
    }

    @Test func `an oss source takes no AWS profile`() {
        #expect(completed([:], .oss).count == 1)
    }

    @Test(arguments: [
        "[Credentials]\nlanguage=EN\nendpoint=oss-cn-hangzhou.aliyuncs.com\naccessKeyID=AK\naccessKeySecret=SK\nstsToken=T\n",
        "[default]\naccessKeyId = AK\naccessKeySecret = SK\nstsToken = T\nendpoint = oss-cn-hangzhou.aliyuncs.com\nregion=cn-hangzhou\n",
    ])
    func `an oss source takes the file of ossutil, of either version`(text: String) {
        let got = completed([:], .oss, files: ["/home/p/.ossutilconfig": text])
        #expect(got["OSS_ACCESS_KEY_ID"] == "AK" && got["OSS_ACCESS_KEY_SECRET"] == "SK" && got["OSS_SESSION_TOKEN"] == "T")
        #expect(got["OSS_ENDPOINT"] == "oss-cn-hangzhou.aliyuncs.com")
    }

    @Test func `else the current profile of the Alibaba Cloud CLI`() {
        let text = #"{"current":"a","profiles":[{"name":"default","mode":"AK","access_key_id":"no","access_key_secret":"no"},{"name":"a","mode":"AK","access_key_id":"AK","access_key_secret":"SK","sts_token":"","region_id":"cn-beijing"}]}"#
        let got = completed([:], .oss, files: ["/home/p/.aliyun/config.json": text])
        #expect(got["OSS_ACCESS_KEY_ID"] == "AK" && got["OSS_REGION"] == "cn-beijing" && got["OSS_SESSION_TOKEN"] == nil)
    }

    @Test(arguments: ["", "[", "]=", "=\n=", "[default]\naws_access_key_id\n", "\u{0}\u{1}[a\n]b=c", "{\"profiles\":[{}]}"])
    func `a damaged file gives nothing`(text: String) {
        for scheme in [StoreScheme.s3, .oss] {
            let names = ["/home/p/.aws/credentials", "/home/p/.aws/config", "/home/p/.ossutilconfig", "/home/p/.aliyun/config.json"]
            #expect(completed([:], scheme, files: Dictionary(uniqueKeysWithValues: names.map { ($0, text) })).count == 1)
        }
    }
}
