import ObjectStore
import Testing
import TextCoding

/// Endpoints as people write them: host, path, region and signature that follow.
@Suite struct EndpointTests {
    struct Row: Sendable, CustomStringConvertible {
        let source: String
        let endpoint: String
        var addressing = AddressingSetting.auto
        /// `Host` and path of `key`.
        let target: String
        let region: String?
        var description: String { "\(source) at \(endpoint) \(addressing)" }
    }

    static let rows: [Row] = [
        Row(source: "oss://b-1/", endpoint: "oss-cn-hangzhou.aliyuncs.com", target: "b-1.oss-cn-hangzhou.aliyuncs.com/key", region: "cn-hangzhou"),
        Row(source: "oss://b-1/", endpoint: "oss-cn-hangzhou-internal.aliyuncs.com", target: "b-1.oss-cn-hangzhou-internal.aliyuncs.com/key", region: "cn-hangzhou"),
        Row(source: "oss://b-1/", endpoint: "vpc100-oss-cn-beijing.aliyuncs.com", target: "b-1.vpc100-oss-cn-beijing.aliyuncs.com/key", region: "cn-beijing"),
        Row(source: "oss://b-1/", endpoint: "oss-accelerate.aliyuncs.com", target: "b-1.oss-accelerate.aliyuncs.com/key", region: nil),
        Row(source: "oss://b-1/", endpoint: "oss-accelerate-overseas.aliyuncs.com", target: "b-1.oss-accelerate-overseas.aliyuncs.com/key", region: nil),
        Row(source: "oss://b-1/", endpoint: "cn-hangzhou.oss.aliyuncs.com", target: "b-1.cn-hangzhou.oss.aliyuncs.com/key", region: "cn-hangzhou"),
        Row(source: "oss://b-1/", endpoint: "cn-beijing-internal.oss-data-acc.aliyuncs.com", target: "b-1.cn-beijing-internal.oss-data-acc.aliyuncs.com/key", region: "cn-beijing"),
        Row(source: "oss://b-1/", endpoint: "https://models.example.com", addressing: .cname, target: "models.example.com/key", region: nil),
        Row(source: "oss://b-1/", endpoint: "http://127.0.0.1:9000", target: "127.0.0.1:9000/b-1/key", region: nil),
        Row(source: "oss://b-1/", endpoint: "http://[fd00::1]:9000", target: "[fd00::1]:9000/b-1/key", region: nil),
        Row(source: "s3://b-1/", endpoint: "s3.oss-cn-hangzhou.aliyuncs.com", target: "b-1.s3.oss-cn-hangzhou.aliyuncs.com/key", region: "cn-hangzhou"),
        Row(source: "s3://b-1/", endpoint: "s3.eu-west-1.amazonaws.com", target: "b-1.s3.eu-west-1.amazonaws.com/key", region: "eu-west-1"),
        Row(source: "s3://b-1/", endpoint: "s3.amazonaws.com", target: "b-1.s3.amazonaws.com/key", region: "us-east-1"),
        Row(source: "s3://b-1/", endpoint: "s3-us-west-2.amazonaws.com", target: "b-1.s3-us-west-2.amazonaws.com/key", region: "us-west-2"),
        Row(source: "s3://b-1/", endpoint: "s3.cn-north-1.amazonaws.com.cn", target: "b-1.s3.cn-north-1.amazonaws.com.cn/key", region: "cn-north-1"),
        Row(source: "s3://b-1/", endpoint: "s3.us-gov-west-1.amazonaws.com", target: "b-1.s3.us-gov-west-1.amazonaws.com/key", region: "us-gov-west-1"),
        Row(source: "s3://b-1/", endpoint: "s3-fips.us-gov-west-1.amazonaws.com", target: "b-1.s3-fips.us-gov-west-1.amazonaws.com/key", region: "us-gov-west-1"),
        Row(source: "s3://b-1/", endpoint: "s3.dualstack.eu-west-1.amazonaws.com", target: "b-1.s3.dualstack.eu-west-1.amazonaws.com/key", region: "eu-west-1"),
        Row(source: "s3://b-1/", endpoint: "s3.dualstack.cn-northwest-1.amazonaws.com.cn", target: "b-1.s3.dualstack.cn-northwest-1.amazonaws.com.cn/key", region: "cn-northwest-1"),
        Row(source: "s3://b-1/", endpoint: "s3-fips.dualstack.us-gov-east-1.amazonaws.com", target: "b-1.s3-fips.dualstack.us-gov-east-1.amazonaws.com/key", region: "us-gov-east-1"),
        Row(source: "s3://my.dotted.b/", endpoint: "s3.cn-north-1.amazonaws.com.cn", target: "s3.cn-north-1.amazonaws.com.cn/my.dotted.b/key", region: "cn-north-1"),
        Row(source: "s3://b-1/", endpoint: "http://seaweedfs-s3.storage.svc:8333", target: "seaweedfs-s3.storage.svc:8333/b-1/key", region: "us-east-1"),
        Row(source: "s3://b-1/", endpoint: "http://garage:3900", target: "garage:3900/b-1/key", region: "us-east-1"),
        Row(source: "s3://b-1/", endpoint: "http://rgw.ceph.svc", target: "rgw.ceph.svc/b-1/key", region: "us-east-1"),
        Row(source: "s3://b-1/", endpoint: "s3-fips.dualstack.us-east-1.amazonaws.com", target: "b-1.s3-fips.dualstack.us-east-1.amazonaws.com/key", region: "us-east-1"),
        Row(source: "s3://b-1/", endpoint: "s3-accelerate.dualstack.amazonaws.com", target: "b-1.s3-accelerate.dualstack.amazonaws.com/key", region: "us-east-1"),
        Row(source: "s3://my.dotted.b/", endpoint: "s3.eu-west-1.amazonaws.com", target: "s3.eu-west-1.amazonaws.com/my.dotted.b/key", region: "eu-west-1"),
        Row(source: "s3://my.dotted.b/", endpoint: "http://s3.eu-west-1.amazonaws.com", target: "my.dotted.b.s3.eu-west-1.amazonaws.com/key", region: "eu-west-1"),
        Row(source: "s3://b-1/", endpoint: "http://minio:9000", target: "minio:9000/b-1/key", region: "us-east-1"),
        Row(source: "s3://b-1/", endpoint: "http://minio.storage.svc.cluster.local:9000", target: "minio.storage.svc.cluster.local:9000/b-1/key", region: "us-east-1"),
        Row(source: "s3://b-1/", endpoint: "https://ceph.example.com", target: "ceph.example.com/b-1/key", region: "us-east-1"),
        Row(source: "s3://b-1/", endpoint: "https://ceph.example.com", addressing: .virtual, target: "b-1.ceph.example.com/key", region: "us-east-1"),
        Row(source: "s3://b-1/", endpoint: "http://10.0.0.7:3900", target: "10.0.0.7:3900/b-1/key", region: "us-east-1"),
        Row(source: "s3://b-1/", endpoint: "0a1b.r2.cloudflarestorage.com", target: "b-1.0a1b.r2.cloudflarestorage.com/key", region: "auto"),
        Row(source: "s3://b-1/", endpoint: "0a1b.eu.r2.cloudflarestorage.com", target: "b-1.0a1b.eu.r2.cloudflarestorage.com/key", region: "auto"),
        Row(source: "s3://b-1/", endpoint: "storage.googleapis.com", target: "b-1.storage.googleapis.com/key", region: "auto"),
        Row(source: "s3://b-1/", endpoint: "s3.us-west-002.backblazeb2.com", target: "b-1.s3.us-west-002.backblazeb2.com/key", region: "us-west-002"),
        Row(source: "s3://b-1/", endpoint: "cos.ap-beijing.myqcloud.com", target: "b-1.cos.ap-beijing.myqcloud.com/key", region: "ap-beijing"),
    ]

    @Test(arguments: rows)
    func `an endpoint leads to the bucket and tells its region`(row: Row) throws {
        let location = try ObjectLocation(parsing: row.source)
        let endpoint = try StoreEndpoint(parsing: row.endpoint, for: location, addressing: row.addressing)
        let request = SignableRequest(endpoint: endpoint, bucket: location.bucket, key: "key")
        #expect(request.host + request.path == row.target)
        let configuration = try StoreConfiguration(location: location, endpoint: endpoint, credentials: .anonymous)
        #expect(configuration.region == row.region)
    }

    @Test(arguments: [
        ("oss://b-1/", "b-1.oss-cn-hangzhou.aliyuncs.com", "oss-cn-hangzhou.aliyuncs.com"),
        ("oss://b-1/", "https://b-1.oss-cn-hangzhou-internal.aliyuncs.com", "oss-cn-hangzhou-internal.aliyuncs.com"),
        ("s3://b-1/", "b-1.s3.eu-west-1.amazonaws.com", "s3.eu-west-1.amazonaws.com"),
        ("s3://my.dotted.b/", "my.dotted.b.s3.cn-north-1.amazonaws.com.cn", "s3.cn-north-1.amazonaws.com.cn"),
        ("s3://b-1/", "b-1.0a1b.r2.cloudflarestorage.com", "0a1b.r2.cloudflarestorage.com"),
        ("s3://b-1/", "b-1.storage.googleapis.com", "storage.googleapis.com"),
    ])
    func `a bucket that is in the endpoint already is an error that names the endpoint`(source: String, endpoint: String, right: String) throws {
        let location = try ObjectLocation(parsing: source)
        let error = #expect(throws: SettingError.self) { try StoreEndpoint(parsing: endpoint, for: location) }
        #expect(error?.description.hasSuffix("holds the bucket \(location.bucket) already; write \(right)") == true)
    }

    @Test(arguments: [
        ("cn-beijing-h-internal", "cn-beijing", "oss-cn-beijing-internal"), ("cn-beijing-internal", "cn-beijing", "oss-cn-beijing-internal"),
        ("ap-southeast-1c-internal", "ap-southeast-1", "oss-ap-southeast-1-internal"), ("cn-hangzhou-j", "cn-hangzhou", "oss-cn-hangzhou"),
        ("ap-southeast-1", "ap-southeast-1", "oss-ap-southeast-1"),
    ])
    func `an accelerator has its region's endpoint to fall back on`(zone: String, region: String, plain: String) throws {
        let endpoint = try StoreEndpoint(parsing: "http://\(zone).oss-data-acc.aliyuncs.com")
        #expect(endpoint.fallback?.description == "http://\(plain).aliyuncs.com")
        #expect(endpoint.impliedRegion == region)
        #expect(try StoreEndpoint(parsing: "oss-cn-beijing.aliyuncs.com").fallback == nil)
    }

    @Test func `an address has no bucket before it`() throws {
        #expect(throws: SettingError.self) { try StoreEndpoint(parsing: "http://10.0.0.7", addressing: .virtual) }
        #expect(throws: SettingError.self) { try AddressingSetting(parsing: "both") }
        #expect(try AddressingSetting(parsing: "cname") == .cname)
    }
}
