import StoreHost
import Testing

@Suite struct CredentialHostsTests {
    @Test(arguments: [
        "oss-cn-hangzhou.aliyuncs.com", "oss-cn-hangzhou-internal.aliyuncs.com", "OSS-cn-hangzhou.aliyuncs.com.", "oss-accelerate.aliyuncs.com",
        "cn-hangzhou.oss.aliyuncs.com", "cn-beijing-h-internal.oss-data-acc.aliyuncs.com", "s3.oss-cn-hangzhou.aliyuncs.com",
        "vpc100-oss-cn-hangzhou.aliyuncs.com", "ep-1.oss.cn-hangzhou.privatelink.aliyuncs.com", "models.oss-cn-hangzhou.aliyuncs.com",
        "oss-na-south-1-internal.aliyuncs.com", "oss-rg-china-mainland.aliyuncs.com", "oss-accelerate-overseas.aliyuncs.com",
        "ap-1-0a1b.oss-cn-hangzhou.oss-accesspoint.aliyuncs.com", "oss-cn-hzjbp-a-internal.aliyuncs.com",
        "s3.amazonaws.com", "s3.eu-west-1.amazonaws.com", "s3-us-west-2.amazonaws.com", "s3.dualstack.us-east-1.amazonaws.com",
        "s3-accelerate.amazonaws.com", "s3-accelerate.dualstack.amazonaws.com", "s3.cn-north-1.amazonaws.com.cn",
        "s3.us-gov-west-1.amazonaws.com", "s3-fips.us-gov-west-1.amazonaws.com", "s3-fips.dualstack.us-gov-east-1.amazonaws.com",
        "bucket.vpce-1a2b-3c4d.s3.us-east-1.vpce.amazonaws.com", "a-1.s3-accesspoint.us-west-2.amazonaws.com",
        "account.r2.cloudflarestorage.com", "account.eu.r2.cloudflarestorage.com", "storage.googleapis.com",
        "storage.europe-west3.rep.googleapis.com", "s3.us-west-004.backblazeb2.com", "s3.eu-central-1.wasabisys.com",
        "ams3.digitaloceanspaces.com", "cos.ap-guangzhou.myqcloud.com", "tos-s3-cn-beijing.volces.com",
    ])
    func `a store's own host gets credentials`(host: String) {
        #expect(CredentialHosts().allow(host))
    }

    @Test(arguments: [
        "", "aliyuncs.com", "amazonaws.com", "example.com", "minio.storage.svc", "10.0.0.7", "127.0.0.1", "::1", "localhost",
        // Customers' machines and services under the clouds' own domains.
        "ec2-1-2-3-4.compute-1.amazonaws.com", "s3-1234.us-east-1.elb.amazonaws.com", "x.execute-api.us-east-1.amazonaws.com",
        "vpce-1-2.vpce-svc-3.us-east-1.vpce.amazonaws.com", "s3.x.us-east-1.rds.amazonaws.com",
        "1234.cn-hangzhou.fc.aliyuncs.com", "ep-1.epsrv-2.cn-hangzhou.privatelink.aliyuncs.com", "oss-.aliyuncs.com",
        "oss-object-process.aliyuncs.com", "ap-1-0a1b.oss-cn-hangzhou.oss-object-process.aliyuncs.com", "oss-new-service.aliyuncs.com",
        // Names that only begin or end alike.
        "oss-cn-hangzhou.aliyuncs.com.example.com", "evil-oss.aliyuncs.com", "oss-cn-hangzhou.evilaliyuncs.com",
        "s3.amazonaws.com.example.com", "evils3.amazonaws.com", "evilr2.cloudflarestorage.com",
    ])
    func `no other host does`(host: String) {
        #expect(!CredentialHosts().allow(host))
    }

    @Test func `the administrator adds names with those below them, and addresses alone`() throws {
        let hosts = try #require(CredentialHosts(adding: "minio.storage.svc, 10.0.0.*,fd00::7,*.Example.com"))
        for host in ["minio.storage.svc", "models.minio.storage.svc", "10.0.0.9", "fd00::7", "a.example.com", "oss-cn-x.aliyuncs.com"] {
            #expect(hosts.allow(host), "\(host)")
        }
        for host in ["storage.svc", "evilminio.storage.svc", "10.0.1.9", "1.10.0.0.9", "fd00::8", "example.com"] {
            #expect(!hosts.allow(host), "\(host)")
        }
        let short = try #require(CredentialHosts(adding: "0.1"))
        #expect(!short.allow("127.0.0.1"))
        let every = try #require(CredentialHosts(adding: "*"))
        for host in ["127.0.0.1", "::1", "localhost", "a.b.c"] { #expect(every.allow(host), "\(host)") }
    }

    @Test(arguments: ["", ",", "a,", "http://a", "a/b", "a b", "a..b", "**", "a:80/"])
    func `a list with an entry that is no host is none`(list: String) {
        #expect(CredentialHosts(adding: list) == nil)
    }
}
