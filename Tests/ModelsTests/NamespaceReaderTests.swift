import AgentAPI
import ChunkStore
import DevStore
import Foundation
import Logging
import Models
import StoreHost
import TestSupport
import Testing

/// Pods of the ModelCache's namespace: a token for the role is believed, since STS judges it.
private struct OpenGate: CallerGate {
    func admit(
        token: String?, to current: @Sendable () async -> CacheDefinition?, waits: @Sendable () -> Void
    ) async throws(AgentFailure) -> AdmittedCaller? { await current().map { AdmittedCaller(definition: $0) } }

    func admit(roleToken: String, to definition: CacheDefinition) async throws(AgentFailure) -> Int64? { nil }
}

/// One node with one ModelCache, and a store with an STS that knows no role.
private final class Node {
    static let uid = "6f1c2a8e-0000-4000-8000-000000000001"
    static let role = SourceRole(assumed: .init(serviceAccount: "warm", roleARN: "acs:ram::1:role/r", providerARN: "acs:ram::1:oidc-provider/p"))
    /// A token in form.
    static let roleToken = ["{\"alg\":\"none\"}", "{\"exp\":4102444800,\"sub\":\"s\"}", "s"].map { text in
        Data(text.utf8).base64EncodedString().replacingOccurrences(of: "=", with: "")
    }.joined(separator: ".")

    let folder: TemporaryFolder
    let store: StoreServer
    let registry: ModelRegistry
    private var definition: CacheDefinition

    init() async throws {
        folder = try TemporaryFolder("namespace-reader")
        for name in ["bucket", "bucket/m", "root", "caches"] { try FileManager.default.createDirectory(atPath: folder.file(name), withIntermediateDirectories: true) }
        var configuration = StoreConfiguration()
        configuration.buckets = [try #require(BucketTree(name: "models", directory: folder.file("bucket")))]
        store = StoreServer(service: StoreService(configuration), threads: 1, bandwidth: nil, accessLog: nil)
        let port = try await store.listen(host: "127.0.0.1", port: 0)
        let services = try await store.listenForIdentity(host: "127.0.0.1", port: 0)
        var options = RegistryOptions(root: folder.file("root"), receiveThreads: 1)
        options.allowsLoopbackEndpoints = true
        options.stsEndpoint = "http://127.0.0.1:\(services)"
        options.credentialHosts = try #require(CredentialHosts(adding: "127.0.0.1"))
        let medium = MediumOptions(preference: .directory)
        let root = try CacheDirectory(root: options.root, .models, medium: medium)
        let caches = try CacheDirectory(root: folder.file("caches"), .caches, medium: medium)
        registry = ModelRegistry(
            options: options, root: root, volumes: [.memory: caches],
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, audit: AuditLog(nil))
        definition = CacheDefinition(
            namespace: "team", name: "qwen", source: .init(uri: "oss://models/m/", endpoint: "http://127.0.0.1:\(port)"), sizeBytes: 8 << 20,
            callers: CallerPolicy(issuer: "https://cluster", keys: "{\"keys\":[]}"))
        try put("x", 6 << 20)
        try await prepare { _ in }
    }

    func put(_ name: String, _ count: Int) throws {
        try Data(repeating: 7, count: count).write(to: URL(fileURLWithPath: folder.file("bucket/m/\(name)")))
    }

    func prepare(_ change: (inout CacheDefinition) -> Void) async throws {
        change(&definition)
        _ = try await registry.prepare(Self.uid, definition)
    }

    func open(_ settings: [String: String] = [:]) async throws(AgentFailure) -> ModelHold {
        try await registry.open(settings, cache: Self.uid, callers: OpenGate())
    }

    func fill() async throws {
        let held = try await open()
        try await eventually("the model is complete") { held.model.isComplete }
        try await eventually("its fill has ended") { !held.model.isFilling }
        registry.release(held)
        // A listing is good for two seconds.
        try await Task.sleep(for: RecentProofs.lifetime)
    }

    func refusal(_ settings: [String: String] = [:]) async -> AgentFailure? {
        do throws(AgentFailure) {
            registry.release(try await open(settings))
            return nil
        } catch {
            return error
        }
    }

    func close() async {
        await registry.close()
        await store.shutDown()
    }
}

/// A pod that shows a token of the ModelCache's namespace reads complete files of its node, whatever source and role say.
@Suite struct NamespaceReaderTests {
    // semantics 14
    @Test func `a complete copy is served to the namespace though its source shows nothing more`() async throws {
        let node = try await Node()
        try await node.fill()
        try FileManager.default.removeItem(atPath: node.folder.file("bucket/m/x"))
        #expect(await node.refusal() == nil)
        let own = await node.refusal(["OSS_ACCESS_KEY_ID": "k", "OSS_ACCESS_KEY_SECRET": "s"])
        #expect(own != nil, "a caller with credentials of its own hears of these")
        try await node.prepare { $0.source.digest = "sha256:aa" }
        #expect(await node.refusal() != nil, "it is not the pinned copy")
        try await node.prepare {
            $0.source.digest = nil
            $0.callers = nil
        }
        #expect(await node.refusal() != nil, "nobody proved anything")
        await node.close()
    }

    @Test func `a role that is refused keeps a Job from its fill, and no reader from a complete copy`() async throws {
        let node = try await Node()
        try await node.fill()
        try await node.prepare { $0.source.role = Node.role }
        let job = await node.refusal(["MODELCACHE_ROLE_TOKEN": Node.roleToken])
        #expect(job?.code == .denied && job?.message.contains("acs:ram::1:role/r") == true, "\(String(describing: job))")
        #expect(await node.refusal() == nil)
        await node.close()
    }

    @Test func `a reader of missing bytes hears who refused the role, and may wait`() async throws {
        let node = try await Node()
        try await node.prepare { $0.source.role = Node.role }
        let alone = await node.refusal()
        #expect(alone?.code == .unreachable && alone?.message.contains("no client on this node") == true)
        let job = try #require(await node.refusal(["MODELCACHE_ROLE_TOKEN": Node.roleToken]))
        let told = await node.refusal()
        #expect(told?.code == .unreachable && told?.message.contains(job.message) == true, "\(String(describing: told))")
        let report = await node.registry.cacheReports.first
        #expect(report?.error?.message == job.message, "the reader's own refusal is none of the cache")
        await node.close()
    }
}
