import ObjectStore
import TextCoding
import Testing

@Suite struct ChainTests {
    private static let rrsa = [
        "ALIBABA_CLOUD_ROLE_ARN": "acs:ram::1:role/r",
        "ALIBABA_CLOUD_OIDC_PROVIDER_ARN": "acs:ram::1:oidc-provider/ack",
        "ALIBABA_CLOUD_OIDC_TOKEN_FILE": "/var/run/token",
    ]
    private static let irsa = [
        "AWS_ROLE_ARN": "arn:aws:iam::1:role/r", "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/token",
    ]

    private func chain(
        _ variables: [String: String], _ scheme: StoreScheme = .oss, host: String? = nil,
        cloud: CredentialChain.Cloud? = nil
    ) throws -> CredentialChain {
        try CredentialChain(variables, scheme: scheme, endpointHost: host, cloud: cloud)
    }

    @Test func `oss asks the parties in the order of the official SDKs`() throws {
        var all = Self.rrsa
        all["OSS_CREDENTIALS_FILE"] = "/keys"
        all["OSS_ACCESS_KEY_ID"] = "oss-id"
        all["OSS_ACCESS_KEY_SECRET"] = "s"
        all["ALIBABA_CLOUD_ACCESS_KEY_ID"] = "ali-id"
        all["ALIBABA_CLOUD_ACCESS_KEY_SECRET"] = "s"
        all["ALIBABA_CLOUD_SECURITY_TOKEN"] = "t"
        all["ALIBABA_CLOUD_ECS_METADATA"] = "node-role"
        let order: [(Principal.Kind, String, [String])] = [
            (.file, "/keys", ["OSS_CREDENTIALS_FILE"]),
            (.key, "oss-…", ["OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET"]),
            (.key, "ali-…", ["ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET"]),
            (.ramRole, "acs:ram::1:role/r", ["ALIBABA_CLOUD_OIDC_TOKEN_FILE"]),
            (.ecsInstance, "node-role", ["ALIBABA_CLOUD_ECS_METADATA"]),
            (.anonymous, "", []),
        ]
        for (kind, name, removed) in order {
            let principal = try chain(all, cloud: .amazon).principal
            #expect(principal == Principal(kind, name: name))
            for variable in removed { all[variable] = nil }
        }
    }

    @Test func `s3 asks the parties in the order of the official SDKs`() throws {
        var all = Self.irsa
        all["AWS_ACCESS_KEY_ID"] = "aws-id"
        all["AWS_SECRET_ACCESS_KEY"] = "s"
        all["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://169.254.170.23/v1/credentials"
        #expect(try chain(all, .s3, cloud: .amazon).principal.kind == .key)
        all["AWS_ACCESS_KEY_ID"] = nil
        all["AWS_SECRET_ACCESS_KEY"] = nil
        #expect(try chain(all, .s3, cloud: .amazon).principal == Principal(.iamRole, name: "arn:aws:iam::1:role/r"))
        all["AWS_ROLE_ARN"] = ""
        let container = try chain(all, .s3, cloud: .amazon)
        #expect(container.principal.kind == .container)
        #expect(container.passedOver.map(\.reason) == ["AWS_ROLE_ARN not set"])
        all["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = nil
        #expect(try chain(all, .s3, cloud: .amazon).principal.kind == .ec2Instance)
        #expect(try chain(all, .s3, cloud: .alibaba).principal.kind == .anonymous)
        all["AWS_EC2_METADATA_DISABLED"] = "true"
        #expect(try chain(all, .s3, cloud: .amazon).principal.kind == .anonymous)
    }

    @Test func `a machine's own role is asked for where firmware says whose it is, and may be absent`() throws {
        guard case .role(.ecsInstance(let role)) = try chain([:], cloud: .alibaba).choice else {
            Issue.record("no instance role")
            return
        }
        #expect(!role.isRequired && role.role == nil)
        #expect(try chain([:]).choice == .anonymous)
        #expect(try chain(["ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true"], cloud: .alibaba).choice == .anonymous)
        #expect(try chain(["MODELCACHE_CREDENTIALS": "anonymous"], cloud: .alibaba).choice == .anonymous)
        guard case .role(.ecsInstance(let named)) = try chain(["MODELCACHE_CREDENTIALS": "node"]).choice else {
            Issue.record("no instance role")
            return
        }
        #expect(named.isRequired)
    }

    /// For callers of an agent: what the node or another's files could do is not theirs.
    @Test func `with keys alone neither role nor machine counts`() throws {
        let variables = Self.rrsa.merging(["MODELCACHE_CREDENTIALS": "keys"]) { $1 }
        #expect(try chain(variables, cloud: .alibaba).choice == .anonymous)
        let keys = variables.merging(["OSS_ACCESS_KEY_ID": "id", "OSS_ACCESS_KEY_SECRET": "s"]) { $1 }
        #expect(try chain(keys).principal.kind == .key)
    }

    /// The node's own role is nobody's who may make pods.
    @Test func `with the pod's role alone keys and machine do not count, and none at all is an error`() throws {
        let pod = ["MODELCACHE_CREDENTIALS": "pod", "OSS_ACCESS_KEY_ID": "id", "OSS_ACCESS_KEY_SECRET": "s"]
        #expect(try chain(pod.merging(Self.rrsa) { $1 }).principal == Principal(.ramRole, name: "acs:ram::1:role/r"))
        #expect(try chain(pod.merging(Self.irsa) { $1 }, .s3).principal == Principal(.iamRole, name: "arn:aws:iam::1:role/r"))
        let url = "http://169.254.170.23/v1/credentials"
        let eks = ["AWS_CONTAINER_CREDENTIALS_FULL_URI": url, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/var/run/token"]
        #expect(try chain(pod.merging(eks) { $1 }, .s3).principal == Principal(.container, name: url))
        for (scheme, cloud, words) in [
            (StoreScheme.oss, CredentialChain.Cloud.alibaba, "pod-identity.alibabacloud.com/role-name"),
            (.s3, .amazon, "EKS Pod Identity"),
        ] {
            let error = #expect(throws: SettingError.self) { try chain(pod, scheme, cloud: cloud) }
            #expect(error?.field == "MODELCACHE_CREDENTIALS" && error?.remedy.contains(words) == true)
        }
        let half = pod.merging(["AWS_ROLE_ARN": "arn:aws:iam::1:role/r"]) { $1 }
        let error = #expect(throws: SettingError.self) { try chain(half, .s3) }
        #expect(error?.problem.contains("AWS_WEB_IDENTITY_TOKEN_FILE not set") == true)
    }

    @Test func `keys that a role gave are told with their end and, by their client's word, the role`() throws {
        let keys = [
            "OSS_ACCESS_KEY_ID": "STS.id", "OSS_ACCESS_KEY_SECRET": "s", "OSS_SESSION_TOKEN": "t",
            "OSS_CREDENTIALS_EXPIRATION": "2026-11-21T06:00:00Z", "MODELCACHE_KEY_ORIGIN": "IAM role arn:aws:iam::1:role/r\n!",
        ]
        let made = try chain(keys, .s3)
        #expect("\(made.principal)" == "access key STS.… (by its client's word of IAM role arn:aws:iam::1:role/r !)")
        guard case .key(let pair) = made.choice else { Issue.record("no keys"); return }
        #expect(pair.expiration == 1_795_240_800)
        let odd = keys.merging(["OSS_CREDENTIALS_EXPIRATION": "soon"]) { $1 }
        guard case .key(let other) = try chain(odd, .s3).choice else { Issue.record("no keys"); return }
        #expect(other.expiration == nil)
    }

    @Test(
        arguments: [
            (nil, [:], "https://sts.aliyuncs.com"),
            ("oss-cn-hangzhou.aliyuncs.com", [:], "https://sts.cn-hangzhou.aliyuncs.com"),
            ("oss-cn-hangzhou-internal.aliyuncs.com", [:], "https://sts-vpc.cn-hangzhou.aliyuncs.com"),
            ("oss-accelerate.aliyuncs.com", [:], "https://sts.aliyuncs.com"),
            ("models.example.com", ["OSS_REGION": "oss-cn-beijing"], "https://sts.cn-beijing.aliyuncs.com"),
            (
                nil, ["ALIBABA_CLOUD_STS_REGION": "cn-beijing", "ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED": "true"],
                "https://sts-vpc.cn-beijing.aliyuncs.com"
            ),
            (nil, ["ALIBABA_CLOUD_STS_ENDPOINT": "sts.cn-x.aliyuncs.com"], "https://sts.cn-x.aliyuncs.com"),
            (nil, ["ALIBABA_CLOUD_STS_ENDPOINT": "http://127.0.0.1:8080/"], "http://127.0.0.1:8080"),
        ] as [(String?, [String: String], String)])
    func `STS is the one of the store's region and network`(host: String?, variables: [String: String], url: String)
        throws
    {
        guard case .role(.ramRole(let role)) = try chain(Self.rrsa.merging(variables) { $1 }, host: host).choice else {
            Issue.record("no role")
            return
        }
        #expect(role.endpoint.url == url)
    }

    @Test(
        arguments: [
            ([:], "https://sts.amazonaws.com"), (["AWS_REGION": "eu-west-1"], "https://sts.eu-west-1.amazonaws.com"),
            (["AWS_DEFAULT_REGION": "cn-north-1"], "https://sts.cn-north-1.amazonaws.com.cn"),
        ] as [([String: String], String)])
    func `AWS's STS is regional`(variables: [String: String], url: String) throws {
        guard case .role(.iamRole(let role)) = try chain(Self.irsa.merging(variables) { $1 }, .s3).choice else {
            Issue.record("no role")
            return
        }
        #expect(role.endpoint.url == url)
    }

    @Test(arguments: [
        ["ALIBABA_CLOUD_STS_ENDPOINT": "http://sts.example.com"],
        ["ALIBABA_CLOUD_STS_ENDPOINT": "https://sts.example.com/path"],
        ["ALIBABA_CLOUD_STS_ENDPOINT": "ftp://sts.example.com"],
        ["ALIBABA_CLOUD_STS_ENDPOINT": "http://127.0.0.1.example.com"],
        ["ALIBABA_CLOUD_STS_ENDPOINT": "http://127.0.0.1@example.com"], ["MODELCACHE_SESSION_SECONDS": "60"],
        ["ALIBABA_CLOUD_ROLE_SESSION_NAME": "a b"], ["MODELCACHE_CREDENTIALS": "magic"], ["OSS_REGION": "x/../y"],
        ["OSS_ACCESS_KEY_ID": "alone"], ["ALIBABA_CLOUD_ACCESS_KEY_SECRET": "alone"],
    ])
    func `a value that cannot be meant is an error that names the variable`(variables: [String: String]) throws {
        let error = #expect(throws: SettingError.self) { try chain(Self.rrsa.merging(variables) { $1 }) }
        let name = try #require(variables.keys.first)
        #expect(error?.description.contains(name) == true, "\(error?.description ?? "")")
    }
}
