import AgentAPI
import Foundation
import Logging
import Models
import Testing

private let valid = CacheDefinition(
    namespace: "team", name: "qwen",
    source: .init(
        uri: "oss://models/qwen/", endpoint: "http://10.0.0.1:8080", region: "cn-test", include: ["*.gguf", "*.json"]),
    sizeBytes: 1 << 30)

@Suite struct DefinitionRulesTests {
    let rules = DefinitionRules()

    @Test func theContractsExampleIsRead() throws {
        let text = """
            {"namespace":"team","name":"qwen","source":{"uri":"oss://models/qwen/","region":"cn-hangzhou"},"medium":"Disk","sizeBytes":5}
            """
        let definition = try rules.decode(Data(text.utf8))
        #expect(
            definition.pinned && definition.idleSeconds == 0 && definition.bandwidthLimit == nil
                && definition.source.include.isEmpty)
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
        ("127.0.0.1", false), ("127.1", false), ("2130706433", false), ("017700000001", false), ("0.0.0.0", false),
        ("localhost.", false),
        ("::1", false), ("::", false), ("::ffff:127.0.0.1", false), ("64:ff9b::7f00:1", false), ("169.254.1.1", false),
        ("fe80::1%eth0", false),
        ("100.100.100.200", false), ("fd00:ec2::254", false), ("Metadata.Google.Internal", false),
        ("10.0.0.1", true), ("192.168.1.1", true), ("100.100.100.201", true), ("fd00::1", true),
        ("oss-cn-hangzhou-internal.aliyuncs.com", true),
        ("localhost.example", true),
    ]) func aCacheIsNotFilledFromTheNodeItself(host: String, isAllowed: Bool) {
        #expect(isAccepted(rules, host) == isAllowed)
    }

    @Test func `a role has one party, and the provider that its store's STS needs`() throws {
        func isAccepted(_ role: SourceRole, uri: String = "oss://models/p/") throws -> Bool {
            var definition = valid
            definition.source.uri = uri
            definition.source.role = role
            let body = try JSONEncoder().encode(definition)
            do throws(AgentError) {
                return try rules.decode(body) == definition
            } catch {
                #expect(error.message.contains("source.role"), "\(error)")
                return false
            }
        }
        let ram = SourceRole.Assumed(
            serviceAccount: "warm", roleARN: "acs:ram::1:role/r", providerARN: "acs:ram::1:oidc-provider/p")
        let iam = SourceRole.Assumed(serviceAccount: "warm", roleARN: "arn:aws:iam::1:role/r")
        #expect(try isAccepted(SourceRole(assumed: ram)) && isAccepted(.ofNode))
        #expect(try isAccepted(SourceRole(assumed: iam), uri: "s3://models/p/"))
        #expect(
            try !isAccepted(SourceRole(assumed: iam)) && !isAccepted(SourceRole(assumed: ram), uri: "s3://models/p/"))
        var mixed = valid
        mixed.source.role = SourceRole(assumed: ram)
        mixed.source.needsKeys = true
        #expect(throws: AgentError.self) { try rules.check(mixed) }
        var both = SourceRole(assumed: ram)
        both.node = true
        #expect(try !isAccepted(both))
        for change: (inout SourceRole.Assumed) -> Void in [
            { $0.serviceAccount = "a/b" }, { $0.roleARN = "" }, { $0.roleARN = "a b" }, { $0.sessionSeconds = 60 },
        ] {
            var changed = ram
            change(&changed)
            #expect(try !isAccepted(SourceRole(assumed: changed)))
        }
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

@Suite struct PinnedListingTests {
    @Test func `another listing than the pinned one is refused, and the message has both`() throws {
        try PinnedListing.check("sha256:aa", pinned: nil)
        try PinnedListing.check("sha256:aa", pinned: "sha256:aa")
        let error = #expect(throws: AgentFailure.self) { try PinnedListing.check("sha256:aa", pinned: "sha256:bb") }
        #expect(error?.code == .settings && error?.reason == .digestMismatch)
        #expect(error?.message.contains("sha256:aa") == true && error?.message.contains("sha256:bb") == true)
    }

    @Test func `the pin is part of the definition, and a definition without one reads as before`() throws {
        var pinned = valid
        pinned.source.digest = "sha256:aa"
        let rules = DefinitionRules()
        #expect(try rules.decode(try JSONEncoder().encode(pinned)) == pinned)
        #expect(try !String(decoding: JSONEncoder().encode(valid), as: UTF8.self).contains("digest"))
        #expect(pinned.source != valid.source)
    }
}

@Suite struct CacheSourceTests {
    @Test func whatTheCallerLeavesOutTheDefinitionSays() throws {
        let merged = try CacheSource.variables(
            of: ["OSS_ACCESS_KEY_ID": "k", "OSS_PATH": ""], for: valid, defaults: ["HTTP_SOURCE_IP": "10.0.0.9"])
        #expect(merged["OSS_PATH"] == "oss://models/qwen/" && merged["OSS_ENDPOINT"] == "http://10.0.0.1:8080")
        #expect(merged["OSS_REGION"] == "cn-test" && merged["MODELCACHE_INCLUDE"] == "*.gguf,*.json")
        #expect(merged["OSS_ACCESS_KEY_ID"] == "k" && merged["HTTP_SOURCE_IP"] == "10.0.0.9")
    }

    @Test func `how much a signature covers is not the caller's choice`() throws {
        #expect(try CacheSource.variables(of: ["MODELCACHE_SIGNATURE": "v1"], for: valid)["MODELCACHE_SIGNATURE"] == nil)
    }

    @Test func theSameSourceInOtherWordsIsTheSame() throws {
        _ = try CacheSource.variables(
            of: [
                "OSS_PATH": "oss://models/qwen", "OSS_ENDPOINT": "http://10.0.0.1:8080/",
                "MODELCACHE_INCLUDE": " *.gguf , *.json",
            ], for: valid)
    }

    @Test(arguments: [
        ["OSS_PATH": "oss://models/other/"], ["OSS_PATH": "s3://models/qwen/"], ["OSS_PATH": "oss://models/"],
        ["OSS_ENDPOINT": "http://10.0.0.2:8080"], ["OSS_ENDPOINT": "https://10.0.0.1:8080"],
        ["MODELCACHE_INCLUDE": "*"],
    ]) func anotherSourceIsDenied(variables: [String: String]) {
        let error = #expect(throws: AgentFailure.self) { try CacheSource.variables(of: variables, for: valid) }
        #expect(error?.code == .denied && error?.message.contains("team/qwen alone") == true)
    }

    @Test func filesOfTheCallerAreNotTheAgents() throws {
        let merged = try CacheSource.variables(
            of: [
                "OSS_CREDENTIALS_FILE": "/etc/shadow", "SSL_CERT_FILE": "/tmp/x",
                "AWS_ENDPOINT_URL": "http://169.254.169.254",
            ], for: valid)
        #expect(
            merged["OSS_CREDENTIALS_FILE"] == nil && merged["SSL_CERT_FILE"] == nil && merged["AWS_ENDPOINT_URL"] == nil
        )
        // Nor roles, whose tokens and metadata services the agent could reach and the caller could not.
        let roles = try CacheSource.variables(
            of: [
                "ALIBABA_CLOUD_ROLE_ARN": "acs:ram::1:role/node", "ALIBABA_CLOUD_OIDC_TOKEN_FILE": "/etc/shadow",
                "ALIBABA_CLOUD_ECS_METADATA": "node", "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.2/",
                "MODELCACHE_CREDENTIALS": "node",
            ], for: valid)
        #expect(roles["MODELCACHE_CREDENTIALS"] == "keys")
        #expect(!roles.keys.contains { $0.hasPrefix("ALIBABA_CLOUD_") || $0.hasPrefix("AWS_CONTAINER_") })
    }
}
