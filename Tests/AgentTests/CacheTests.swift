import Agent
import AgentAPI
import Foundation
import Logging
import Testing

private let valid = CacheDefinition(
    namespace: "team", name: "qwen",
    source: .init(uri: "oss://models/qwen/", endpoint: "http://10.0.0.1:8080", region: "cn-test", include: ["*.gguf", "*.json"]),
    sizeBytes: 1 << 30)

@Suite struct DefinitionRulesTests {
    let rules = DefinitionRules()

    @Test func theContractsExampleIsRead() throws {
        let text = """
            {"namespace":"team","name":"qwen","source":{"uri":"oss://models/qwen/","region":"cn-hangzhou"},"medium":"Disk","sizeBytes":5}
            """
        let definition = try rules.decode(Data(text.utf8))
        #expect(definition.pinned && definition.idleSeconds == 0 && definition.bandwidthLimit == nil && definition.source.include.isEmpty)
        #expect(try rules.check(definition).endpoint == "https://oss-cn-hangzhou-internal.aliyuncs.com:443")
    }

    @Test func aDefinitionSurvivesItsOwnEncoding() throws {
        #expect(try rules.decode(try JSONEncoder().encode(valid)) == valid)
        let stored = StoredDefinition(uid: "u", definition: valid)
        #expect(StoredDefinition(try stored.encoded(), uid: "u") == stored)
        #expect(StoredDefinition(try stored.encoded(), uid: "v") == nil)
        #expect(StoredDefinition(Data(), uid: "u") == nil)
    }

    @Test(arguments: [
        ("127.0.0.1", false), ("127.1", false), ("2130706433", false), ("017700000001", false), ("0.0.0.0", false), ("localhost.", false),
        ("::1", false), ("::", false), ("::ffff:127.0.0.1", false), ("64:ff9b::7f00:1", false), ("169.254.1.1", false), ("fe80::1%eth0", false),
        ("100.100.100.200", false), ("fd00:ec2::254", false), ("Metadata.Google.Internal", false),
        ("10.0.0.1", true), ("192.168.1.1", true), ("100.100.100.201", true), ("fd00::1", true), ("oss-cn-hangzhou-internal.aliyuncs.com", true),
        ("localhost.example", true),
    ]) func aCacheIsNotFilledFromTheNodeItself(host: String, isAllowed: Bool) {
        #expect(isAccepted(rules, host) == isAllowed)
    }

    @Test func aTestbedMayUseLoopbackButNoMetadataService() {
        let rules = DefinitionRules(allowsLoopbackEndpoints: true)
        for host in ["127.0.0.1", "localhost", "::1"] { #expect(isAccepted(rules, host)) }
        for host in ["169.254.169.254", "100.100.100.200", "fe80::1"] { #expect(!isAccepted(rules, host)) }
    }

    @Test func aBucketAndAnEndpointMustNotMakeAMetadataServiceTogether() {
        #expect(!isAccepted(rules, "google.internal", bucket: "metadata"))
        #expect(!isAccepted(rules, "ec2.internal", bucket: "instance-data"))
        #expect(isAccepted(rules, "google.internal", bucket: "metadatas"))
    }

    private func isAccepted(_ rules: DefinitionRules, _ host: String, bucket: String = "models") -> Bool {
        var definition = valid
        definition.source.uri = "oss://\(bucket)/qwen/"
        definition.source.endpoint = "http://\(host.contains(":") ? "[\(host)]" : host):80"
        do {
            _ = try rules.check(definition)
            return true
        } catch {
            return false
        }
    }
}

@Suite struct CacheSourceTests {
    @Test func whatTheCallerLeavesOutTheDefinitionSays() throws {
        let merged = try CacheSource.variables(of: ["OSS_ACCESS_KEY_ID": "k", "OSS_PATH": ""], for: valid, defaults: ["HTTP_SOURCE_IP": "10.0.0.9"])
        #expect(merged["OSS_PATH"] == "oss://models/qwen/" && merged["OSS_ENDPOINT"] == "http://10.0.0.1:8080")
        #expect(merged["OSS_REGION"] == "cn-test" && merged["MODELCACHE_INCLUDE"] == "*.gguf,*.json")
        #expect(merged["OSS_ACCESS_KEY_ID"] == "k" && merged["HTTP_SOURCE_IP"] == "10.0.0.9")
    }

    @Test func theSameSourceInOtherWordsIsTheSame() throws {
        _ = try CacheSource.variables(
            of: ["OSS_PATH": "oss://models/qwen", "OSS_ENDPOINT": "http://10.0.0.1:8080/", "MODELCACHE_INCLUDE": " *.gguf , *.json"], for: valid)
    }

    @Test(arguments: [
        ["OSS_PATH": "oss://models/other/"], ["OSS_PATH": "s3://models/qwen/"], ["OSS_PATH": "oss://models/"],
        ["OSS_ENDPOINT": "http://10.0.0.2:8080"], ["OSS_ENDPOINT": "https://10.0.0.1:8080"], ["MODELCACHE_INCLUDE": "*"],
    ]) func anotherSourceIsDenied(variables: [String: String]) {
        let error = #expect(throws: AgentFailure.self) { try CacheSource.variables(of: variables, for: valid) }
        #expect(error?.code == .denied && error?.message.contains("team/qwen alone") == true)
    }

    @Test func filesOfTheCallerAreNotTheAgents() throws {
        let merged = try CacheSource.variables(
            of: ["OSS_CREDENTIALS_FILE": "/etc/shadow", "SSL_CERT_FILE": "/tmp/x", "AWS_ENDPOINT_URL": "http://169.254.169.254"], for: valid)
        #expect(merged["OSS_CREDENTIALS_FILE"] == nil && merged["SSL_CERT_FILE"] == nil && merged["AWS_ENDPOINT_URL"] == nil)
    }

    @Test func aVolumeIsFoundFromItsSocketAsTheClientSeesIt() {
        #expect(CacheSocket.volume(of: "/cache/.modelcache/agent.sock") == "/cache")
        #expect(CacheSocket.volume(of: "/run/modelcache/agent.sock") == nil)
        #expect(CacheSocket.volume(of: "/.modelcache/agent.sock") == nil)
    }
}

@Suite struct RequestGuardTests {
    @Test func reportsAreOpenToLoopbackAndOrdersToNobodyUnsigned() throws {
        let file = NSTemporaryDirectory() + "/mc-secret-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: file) }
        try Data("a-secret-of-the-test\n".utf8).write(to: URL(fileURLWithPath: file))
        let closed = RequestGuard(secretFile: file, node: "n", startedAt: 0, logger: Logger(label: "test"))
        let open = RequestGuard(secretFile: nil, node: "n", logger: Logger(label: "test"))
        func isAccepted(_ guarding: RequestGuard, _ target: String, _ peer: String?) -> Bool {
            guarding.check(method: "GET", target: target, authorization: nil, body: [], peer: peer, now: 0) == .accepted
        }
        for target in ["/metrics", "/v1/status", "/metrics?x"] {
            #expect(isAccepted(closed, target, "127.0.0.1") && isAccepted(closed, target, "::1"))
            #expect(!isAccepted(closed, target, "10.0.0.1") && !isAccepted(closed, target, nil))
            #expect(isAccepted(open, target, "10.0.0.1"))
        }
        for target in ["/v1/caches", "/v1/caches/x", "/metricsx", "//metrics", "/"] {
            #expect(!isAccepted(closed, target, "127.0.0.1"))
            #expect(isAccepted(open, target, "127.0.0.1") == !target.hasPrefix("/v1/caches"), "what does not exist is not found")
        }
        for target in ["/healthz", "/readyz"] { #expect(isAccepted(closed, target, nil) && isAccepted(open, target, nil)) }
    }
}
