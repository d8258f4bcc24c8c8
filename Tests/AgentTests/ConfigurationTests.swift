import Agent
import Foundation
import LogOutput
import Testing
import TextCoding

@Suite struct ConnectorConfigTests {
    @Test func theDocumentedFileIsRead() throws {
        let text = """
            { "logLevel": 1, "logPath": "/var/log/oss-connector/connector.log", "auditPath": "/var/log/oss-connector/audit.log",
              "expireTimeSec": 120, "prefetch": { "vcpus": 32, "workers": 32 } }
            """
        let config = try ConnectorConfig(json: Data(text.utf8), path: "config.json")
        #expect(config.logLevel == 1)
        #expect(config.logPath == "/var/log/oss-connector/connector.log")
        #expect(config.auditPath == "/var/log/oss-connector/audit.log")
        #expect(config.expireTimeSeconds == 120)
        #expect(config.prefetchVCPUs == 32)
        #expect(config.prefetchWorkers == 32)
    }

    @Test(arguments: [
        (#"{"logLevel": "high"}"#, "logLevel"), (#"{"expireTimeSec": -1}"#, "expireTimeSec"),
        (#"{"prefetch": {"vcpus": 0}}"#, "prefetch.vcpus"), (#"{"prefetch": 3}"#, "prefetch"),
        (#"{"logPath": 3}"#, "logPath"), (#"{"expireTimeSec": true}"#, "expireTimeSec"), ("[]", "config.json"), ("{", "config.json"),
    ]) func aWrongMemberIsNamed(text: String, member: String) throws {
        let error = #expect(throws: SettingError.self) { try ConnectorConfig(json: Data(text.utf8), path: "config.json") }
        #expect(error?.description.contains(member) == true)
    }

    @Test func theDefaultFileMayBeAbsentANamedOneMayNot() throws {
        let error = #expect(throws: SettingError.self) {
            try ConnectorConfig.load(environment: ["MODELCACHE_CONFIG": "/nonexistent/config.json"])
        }
        #expect(error?.field == "MODELCACHE_CONFIG")
    }
}

@Suite struct AgentOptionsTests {
    func resolve(
        _ change: (inout AgentOptions.Flags) -> Void = { _ in }, environment: [String: String] = [:],
        config: (inout ConnectorConfig) -> Void = { _ in }, user: UInt32 = 0
    ) throws -> AgentOptions {
        var flags = AgentOptions.Flags()
        change(&flags)
        var file = ConnectorConfig()
        config(&file)
        return try AgentOptions.resolve(flags: flags, environment: environment, config: file, userID: user, processors: 2)
    }

    @Test func aFlagWinsOverTheEnvironmentWhichWinsOverTheFile() throws {
        #expect(try resolve(config: { $0.expireTimeSeconds = 30 }).expireTime == .seconds(30))
        let environment = ["MODELCACHE_EXPIRE_SECONDS": "20"]
        #expect(try resolve(environment: environment, config: { $0.expireTimeSeconds = 30 }).expireTime == .seconds(20))
        let flagged = try resolve({ $0.expireSeconds = 10 }, environment: environment, config: { $0.expireTimeSeconds = 30 })
        #expect(flagged.expireTime == .seconds(10))
    }

    @Test func anAgentThatEndsByItselfExpiresAfterTheConnectorsDefault() throws {
        #expect(try resolve { $0.idleExit = true }.expireTime == .seconds(120))
        #expect(try resolve().expireTime == nil)
    }

    @Test(arguments: [("1", true), ("true", true), ("0", false), ("False", false), ("", false)])
    func aSwitchOfTheEnvironmentIsReadAsAFlagsValue(text: String, isOn: Bool) throws {
        let options = try resolve(environment: ["MODELCACHE_ALLOW_NODE_ROLE": text])
        #expect(options.allowsNodeRole == isOn)
    }

    @Test(arguments: [("text", LogFormat.text), ("json", .json), ("JSON", .json), ("", .text)])
    func theLogIsTextUnlessJSONIsAskedFor(word: String, format: LogFormat) throws {
        #expect(try resolve(environment: ["MODELCACHE_LOG_FORMAT": word]).logFormat == format)
        let error = #expect(throws: SettingError.self) { try resolve({ $0.logFormat = "xml" }) }
        #expect(error?.description.contains("--log-format: is 'xml'; set one of text, json") == true)
    }

    @Test func rootGetsRunAndOthersAFolderOfTheirOwn() throws {
        #expect(try resolve().root == "/run/modelcache")
        #expect(try resolve(user: 1000).root == "/dev/shm/modelcache-1000")
        #expect(try resolve(environment: ["XDG_RUNTIME_DIR": "/run/user/1000"], user: 1000).root == "/run/user/1000/modelcache")
        #expect(try resolve(user: 1000).medium == .directory)
        #expect(try resolve(environment: ["MODELCACHE_ROOT": "/x"]).socket == "/x/agent.sock")
    }

    @Test(arguments: [
        ("MODELCACHE_ROOT", "relative"), ("MODELCACHE_ROOT", "/"), ("MODELCACHE_BUDGET", "lots"), ("MODELCACHE_BUDGET", "1KiB"),
        ("MODELCACHE_MEDIUM", "tape"), ("MODELCACHE_VERIFY", "maybe"), ("MODELCACHE_HTTP", "nowhere"),
        ("MODELCACHE_HTTP", "127.0.0.1:99999"), ("MODELCACHE_THREADS", "0"), ("MODELCACHE_THREADS", "x"),
        ("MODELCACHE_CONNECTIONS", "100000"), ("MODELCACHE_IN_FLIGHT", "1"),
        ("MODELCACHE_SOCKET", "/" + String(repeating: "x", count: 200)), ("MODELCACHE_ALLOW_NODE_ROLE", "perhaps"),
    ]) func aWrongVariableIsNamedWithARemedy(variable: String, value: String) {
        let error = #expect(throws: SettingError.self) { try resolve(environment: [variable: value]) }
        #expect(error?.description.contains(variable) == true)
        #expect(error?.remedy.isEmpty == false)
    }
}

@Suite struct ByteCountTests {
    @Test(arguments: [
        ("0", 0), ("268435456", 268_435_456), ("256MiB", 268_435_456), ("256Mi", 268_435_456), ("1.5GB", 1_500_000_000),
        ("1g", 1_000_000_000), ("2 TiB", 2 << 40), ("10b", 10),
    ]) func sizesAreParsed(text: String, bytes: Int) {
        #expect(ByteCount.parse(text) == Int64(bytes))
    }

    @Test(arguments: ["", "x", "-1", "1XB", "nan", "inf", "1e300GB", "GB"]) func whatIsNoSizeIsRefused(text: String) {
        #expect(ByteCount.parse(text) == nil)
    }

    @Test(arguments: [
        (0, "0 B"), (999, "999 B"), (1_000, "1.00 kB"), (253_112_345, "253 MB"), (1_274_000_000, "1.27 GB"),
        (999_999_999, "1.00 GB"), (12_500_000, "12.5 MB"), (664_000_000_000, "664 GB"),
    ]) func sizesAreShownWithThreeDigits(bytes: Int, text: String) {
        #expect(ByteCount.format(Int64(bytes)) == text)
    }
}
