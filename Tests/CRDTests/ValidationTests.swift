import CRD
import StoreHost
import Testing

@Suite struct ValidationTests {
    private func paths(_ policy: ValidationPolicy = ValidationPolicy(), _ change: (inout ModelCacheSpec) -> Void) -> [String] {
        Documents.spec(change).problems(policy).map(\.path)
    }

    @Test func `a full spec has no problem`() {
        #expect(Documents.full.problems() == [])
    }

    @Test(arguments: [
        "oss://models", "oss://models/", "s3://my.bucket/a b/ü/", "oss://abc/x", "s3://0ab/deep/er/prefix",
    ])
    func `good uris pass`(uri: String) {
        #expect(paths { $0.source.uri = uri } == [])
    }

    @Test(arguments: [
        "", "models", "ftp://models/a/", "oss://", "oss:///a", "oss://ab/", "oss://Models/", "oss://models//a", "oss://models/a\nb",
        "oss://a..b/", "oss://-abc/", "oss://abc-/", "OSS://models/", "oss://models/a\u{0}", " oss://models/",
    ])
    func `bad uris name uri`(uri: String) {
        #expect(paths { $0.source.uri = uri } == ["spec.source.uri"])
    }

    @Test func `the nodes' role needs the administrator's word where that is known`() {
        func found(_ isAllowed: Bool?) -> [String] {
            paths(ValidationPolicy(allowsNodeRole: isAllowed)) { $0.source.credentials = SourceCredentials(node: .init()) }
        }
        #expect(found(nil) == [] && found(true) == [] && found(false) == ["spec.source.credentials.node"])
    }

    @Test func `a prefix is bounded in bytes`() {
        #expect(paths { $0.source.uri = "oss://models/" + String(repeating: "ü", count: 512) } == ["spec.source.uri"])
        #expect(paths { $0.source.uri = "oss://models/" + String(repeating: "a", count: 1023) } == [])
        #expect(paths { $0.source.uri = "oss://models/" + String(repeating: "a", count: 100_000) } == ["spec.source.uri"])
    }

    @Test(arguments: [
        "oss-cn-hangzhou.aliyuncs.com", "https://oss-cn-hangzhou-internal.aliyuncs.com/", "http://10.198.0.1:9000", "minio.models.svc:9000",
        "[2001:db8::1]:443", "http://[2001:db8::1]", "100.118.28.50", "https://s3.eu-west-1.amazonaws.com", "localhost.example.com",
    ])
    func `good endpoints pass`(endpoint: String) {
        #expect(paths { $0.source.endpoint = endpoint } == [])
    }

    @Test(arguments: [
        "", "ftp://host", "https://user:password@host", "https://host/path", "host:0", "host:70000", "host:x", "http://", "a b", "[::1", "::1",
        "169.254.169.254", "http://169.254.1.1:80", "http://100.100.100.200", "[fe80::1]", "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]",
        "metadata.google.internal", "metadata", "http://metadata.google.internal./", "[fd00:ec2::254]", "168.63.129.16", "metadata.tencentyun.com", "0.0.0.0", "255.255.255.255", "[::]",
        "224.0.0.1", "2130706433", "127.1", "0x7f000001", "http://0177.0.0.1", "169.254.43518", "a..b", "-a.b", "256.1.1.1", "1.2.3.4.5",
        "127.0.0.1", "http://127.8.9.1:80", "localhost", "x.localhost", "[::1]:9000", "LOCALHOST", "[::ffff:127.0.0.1]", "localhost.",
    ])
    func `bad endpoints and those of the node or a metadata service name endpoint`(endpoint: String) {
        #expect(paths { $0.source.endpoint = endpoint } == ["spec.source.endpoint"])
    }

    @Test func `credentials are of exactly one kind, and RAM's role has its provider`() {
        let path = "spec.source.credentials"
        let ram = Documents.parties[1].serviceAccount
        let iam = ServiceAccountRole(name: "warm", roleARN: "arn:aws:iam::1:role/r")
        func found(_ credentials: SourceCredentials?, uri: String = "oss://models/x/") -> [String] {
            paths {
                $0.source.uri = uri
                $0.source.credentials = credentials
            }
        }
        for one in [nil] + Documents.parties { #expect(found(one) == []) }
        #expect(found(SourceCredentials(serviceAccount: iam), uri: "s3://models/x/") == [])
        #expect(found(SourceCredentials()) == [path])
        #expect(found(SourceCredentials(node: .init(), anonymous: .init())) == [path])
        #expect(found(SourceCredentials(serviceAccount: iam)) == ["\(path).serviceAccount.oidcProviderARN"])
        #expect(found(SourceCredentials(serviceAccount: ram), uri: "s3://models/x/") == ["\(path).serviceAccount.oidcProviderARN"])
        var given = ServiceAccountRole(name: "warm")
        for uri in ["oss://models/x/", "s3://models/x/"] { #expect(found(SourceCredentials(serviceAccount: given), uri: uri) == []) }
        given.sessionSeconds = 900
        #expect(found(SourceCredentials(serviceAccount: given)) == ["\(path).serviceAccount.roleARN"])
    }

    @Test(arguments: [("metadata", "google.internal"), ("metadata", "http://goog:80"), ("metadata", "tencentyun.com"), ("instance-data", "ec2.internal")])
    func `a bucket and an endpoint that make a metadata service together are refused`(bucket: String, endpoint: String) {
        func write(_ spec: inout ModelCacheSpec) {
            spec.source.uri = "s3://\(bucket)/x/"
            spec.source.endpoint = endpoint
        }
        #expect(paths(ValidationPolicy(), write) == ["spec.source.endpoint"])
        #expect(paths(ValidationPolicy(allowsLoopbackEndpoints: true), write) == ["spec.source.endpoint"])
    }

    @Test func `loopback is allowed by the operator's setting, metadata never`() {
        let policy = ValidationPolicy(allowsLoopbackEndpoints: true)
        for endpoint in ["127.0.0.1", "http://localhost:9000", "[::1]:9000"] {
            #expect(paths(policy) { $0.source.endpoint = endpoint } == [])
        }
        #expect(paths(policy) { $0.source.endpoint = "169.254.169.254" } == ["spec.source.endpoint"])
    }

    @Test func `credentials go to a store's own host, or where the administrator says`() throws {
        func found(_ endpoint: String?, _ credentials: SourceCredentials?, adding list: String? = nil) throws -> [String] {
            let hosts = try list.map { try #require(CredentialHosts(adding: $0)) } ?? CredentialHosts()
            return paths(ValidationPolicy(credentialHosts: hosts)) {
                $0.source.endpoint = endpoint
                $0.source.credentials = credentials
            }
        }
        for party in Documents.parties {
            let isAnonymous = party.anonymous != nil
            #expect(try found("http://minio.storage.svc:9000", party) == (isAnonymous ? [] : ["spec.source.endpoint"]))
            #expect(try found("http://minio.storage.svc:9000", party, adding: "minio.storage.svc") == [])
            for own in [nil, "oss-cn-hangzhou-internal.aliyuncs.com", "https://OSS-cn-hangzhou.aliyuncs.com:443/"] {
                #expect(try found(own, party) == [])
            }
        }
        #expect(try found("https://store.example.com", nil) == [], "nobody's credentials")
        let problem = try #require(
            Documents.spec {
                $0.source.endpoint = "https://store.example.com"
                $0.source.credentials = Documents.parties[0]
            }.problems(ValidationPolicy(credentialHosts: CredentialHosts())).first)
        for word in ["spec.source.endpoint", "https://store.example.com", "not a store's own host", "credentialHosts", "--credential-hosts"] {
            #expect(problem.description.contains(word), "\(problem)")
        }
    }

    @Test func `a password in an endpoint is not repeated`() {
        let problems = Documents.spec { $0.source.endpoint = "https://user:hunter2@host" }.problems()
        #expect(!problems.isEmpty)
        #expect(!problems.contains { $0.description.contains("hunter2") })
    }

    @Test func `endpoint or region is needed where nodes name none`() {
        let neither: (inout ModelCacheSpec) -> Void = { spec in
            spec.source.endpoint = nil
            spec.source.region = nil
        }
        #expect(paths(ValidationPolicy(nodesNameRegion: true), neither) == [])
        #expect(paths(ValidationPolicy(nodesNameRegion: false), neither) == ["spec.source.endpoint"])
        #expect(paths(ValidationPolicy(nodesNameRegion: false)) { $0.source.endpoint = nil } == [])
    }

    @Test(arguments: ["*.gguf", "a/b/*", "[a-c]*", "x[]]y", "x[!]]y", "\\[a", "ü*", "a\\\\", "with space.bin"])
    func `good patterns pass`(pattern: String) {
        #expect(paths { $0.source.include = [pattern] } == [])
    }

    @Test(arguments: ["", "a,b", "a\nb", " a", "a ", "[a", "a[", "a\\", "/a", "********a*", "\u{0}"])
    func `bad patterns name their place`(pattern: String) {
        #expect(paths { $0.source.include = ["*.gguf", pattern] } == ["spec.source.include[1]"])
    }

    @Test func `patterns are bounded in number, length and sum, and stand once`() {
        #expect(paths { $0.source.include = (0..<65).map { "a\($0)" } } == ["spec.source.include"])
        #expect(paths { $0.source.include = [String(repeating: "a", count: 513)] } == ["spec.source.include[0]"])
        #expect(paths { $0.source.include = (0..<20).map { "\($0)" + String(repeating: "a", count: 500) } } == ["spec.source.include"])
        #expect(paths { $0.source.include = ["a", "a"] } == ["spec.source.include[1]"])
    }

    @Test func `numbers out of range name their field`() {
        #expect(paths { $0.placement.seeders = 51 } == ["spec.placement.seeders"])
        #expect(paths { $0.placement.seeders = -1 } == ["spec.placement.seeders"])
        #expect(paths { $0.warmup.parallelism = 0 } == ["spec.warmup.parallelism"])
        #expect(paths { $0.warmup.backoffLimit = 101 } == ["spec.warmup.backoffLimit"])
        #expect(paths { $0.warmup.activeDeadlineSeconds = 0 } == ["spec.warmup.activeDeadlineSeconds"])
        #expect(paths { $0.cache.idleSeconds = 0 } == ["spec.cache.idleSeconds"])
    }

    @Test(arguments: ["", "0", "1", "63Ki", "Mi", "9Ei", "1e30", "-5", "5 Mi", String(repeating: "1", count: 33)])
    func `bad limits name maxBytesPerSecond`(text: String) {
        #expect(paths { $0.warmup.maxBytesPerSecond = Quantity(text) } == ["spec.warmup.maxBytesPerSecond"])
    }

    @Test func `selectors follow the syntax of labels`() {
        #expect(paths { $0.placement.nodeSelector = ["a b": "x"] } == ["spec.placement.nodeSelector[a b]"])
        #expect(paths { $0.placement.nodeSelector = ["": "x"] } == ["spec.placement.nodeSelector[]"])
        #expect(paths { $0.placement.nodeSelector = ["zone": "a b"] } == ["spec.placement.nodeSelector[zone]"])
        #expect(paths { $0.placement.nodeSelector = ["zone": ""] } == [])
        #expect(paths { $0.placement.nodeSelector = ["UPPER.example/x": ""] } == ["spec.placement.nodeSelector[UPPER.example/x]"])
    }

    private func affinity(_ requirement: NodeSelectorRequirement, field: Bool = false) -> [String] {
        let term = field ? NodeSelectorTerm(matchFields: [requirement]) : NodeSelectorTerm(matchExpressions: [requirement])
        let head = "spec.placement.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]."
        return paths {
            $0.placement.affinity = Affinity(nodeAffinity: NodeAffinity(required: NodeSelector(nodeSelectorTerms: [term])))
        }.map { $0.hasPrefix(head) ? String($0.dropFirst(head.count)) : $0 }
    }

    @Test func `affinity follows core/v1`() {
        #expect(affinity(NodeSelectorRequirement(key: "zone", operator: .exists)) == [])
        #expect(affinity(NodeSelectorRequirement(key: "zone", operator: .exists, values: ["a"])) == ["matchExpressions[0].values"])
        #expect(affinity(NodeSelectorRequirement(key: "zone", operator: .notIn)) == ["matchExpressions[0].values"])
        #expect(affinity(NodeSelectorRequirement(key: "cores", operator: .greaterThan, values: ["7"])) == [])
        #expect(affinity(NodeSelectorRequirement(key: "cores", operator: .lessThan, values: ["7", "8"])) == ["matchExpressions[0].values"])
        #expect(affinity(NodeSelectorRequirement(key: "cores", operator: .lessThan, values: ["x"])) == ["matchExpressions[0].values[0]"])
        #expect(affinity(NodeSelectorRequirement(key: "a b", operator: .exists)) == ["matchExpressions[0].key"])
        #expect(affinity(NodeSelectorRequirement(key: "zone", operator: .in, values: ["a", "b c"])) == ["matchExpressions[0].values[1]"])
        #expect(affinity(NodeSelectorRequirement(key: "metadata.name", operator: .in, values: ["n"]), field: true) == [])
        #expect(affinity(NodeSelectorRequirement(key: "metadata.uid", operator: .in, values: ["n"]), field: true) == ["matchFields[0].key"])
        #expect(affinity(NodeSelectorRequirement(key: "metadata.name", operator: .exists), field: true) == ["matchFields[0].operator", "matchFields[0].values"])
        #expect(paths {
            $0.placement.affinity = Affinity(nodeAffinity: NodeAffinity(required: NodeSelector(nodeSelectorTerms: [])))
        } == ["spec.placement.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"])
        #expect(paths {
            $0.placement.affinity = Affinity(nodeAffinity: NodeAffinity(preferred: [PreferredSchedulingTerm(weight: 0, preference: Documents.term)]))
        } == ["spec.placement.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight"])
    }

    @Test func `tolerations follow core/v1`() {
        func of(_ toleration: Toleration) -> [String] {
            paths { $0.placement.tolerations = [toleration] }.map { String($0.dropFirst("spec.placement.tolerations[0].".count)) }
        }
        #expect(of(Toleration(operator: .exists)) == [])
        #expect(of(Toleration()) == ["operator"])
        #expect(of(Toleration(key: "a", operator: .exists, value: "b")) == ["value"])
        #expect(of(Toleration(key: "a", effect: .noSchedule, tolerationSeconds: 5)) == ["effect"])
        #expect(of(Toleration(key: "a b")) == ["key"])
        #expect(of(Toleration(key: "a", value: "b c")) == ["value"])
    }

    @Test func `a name longer than a label is refused`() {
        var model = Documents.full
        model.metadata.name = String(repeating: "a", count: 64)
        #expect(model.problems().map(\.path) == ["metadata.name"])
    }

    @Test func `the content of a ModelCache cannot change, and the way to the store can`() {
        let old = Documents.full.spec
        #expect(Immutability.problems(old: old, new: old) == [])
        let new = Documents.spec {
            $0.source.region = nil
            $0.source.endpoint = "https://elsewhere.example"
            $0.source.credentials = nil
            $0.source.include = []
            $0.placement.seeders = 9
        }
        #expect(Immutability.problems(old: old, new: new).map(\.path) == ["spec.source.include"])
        let moved = Documents.spec { $0.cache.medium = old.cache.medium == .disk ? .memory : .disk }
        #expect(Immutability.problems(old: old, new: moved).map(\.path) == ["spec.cache.medium"])
        let verdict = Validation.check(
            json: #"{"metadata":{"name":"m"},"spec":{"source":{"uri":"oss://b-new/","region":"cn-x"}}}"#,
            replacing: #"{"metadata":{"name":"m"},"spec":{"source":{"uri":"oss://b-old/"}}}"#)
        #expect(verdict.problems.map(\.path) == ["spec.source.uri"])
    }

    @Test func `a document is judged whatever it is`() {
        #expect(Validation.check(json: Documents.minimal).valid)
        for text in ["", "nonsense", "[]", "null", "7", "{", "{\"spec\":", String(repeating: "[", count: 100_000)] {
            #expect(!Validation.check(json: text).valid)
        }
        func paths(_ spec: String) -> [String] { Validation.check(json: #"{"metadata":{"name":"m"},"spec":\#(spec)}"#).problems.map(\.path) }
        #expect(paths("null") == ["spec"])
        #expect(paths(#"{"source":{"uri":"oss://models/","url":1}}"#) == ["spec.source.url"])
        #expect(paths(#"{"source":{"uri":"oss://models/"},"suspend":"yes"}"#) == ["spec.suspend"])
        #expect(paths(#"{"source":{"uri":"oss://models/"},"warmup":{"parallelism":1.5}}"#) == ["spec.warmup.parallelism"])
        #expect(paths(#"{"source":{"uri":"oss://models/"},"warmup":{"parallelism":99999999999999999999999}}"#) == ["spec.warmup.parallelism"])
        #expect(paths(#"{"source":{"uri":"oss://models/"},"placement":null}"#) == [])
        #expect(Validation.check(json: "{}").problems.map(\.path) == ["spec"])
        #expect(!Validation.check(json: "{}").jsonLine.contains("\n"))
    }

    @Test func `many problems are said briefly`() {
        let problems = (0..<9).map { FieldProblem(path: "p\($0)", problem: "is wrong", remedy: "mend it") }
        let text = FieldProblem.summary(of: problems)
        #expect(text.contains("p4 is wrong: mend it"))
        #expect(text.hasSuffix("and 4 more"))
    }
}
