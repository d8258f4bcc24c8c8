import AgentAPI
import Controller
import CRD
import Foundation
import Kubernetes
import Synchronization
import Testing

private let first = CallerPolicy(issuer: "https://cluster", keys: #"{"keys":[{"kid":"a"}]}"#)
private let second = CallerPolicy(issuer: "https://cluster", keys: #"{"keys":[{"kid":"b"}]}"#)

@Suite struct CallersInPlansTests {
    @Test func everyDefinitionCarriesTheKeysAndAgentsWithOldOnesAreToldOnce() throws {
        var world = FakeWorld(nodes: ["a", "b", "c"])
        world.callers = .known(first)
        world.run { $0.status?.phase == .ready }
        #expect(world.status?.phase == .ready)
        #expect(world.agents.values.allSatisfy { $0.caches[FakeWorld.uid]?.callersDigest == first.digest })
        world.prepared = []
        world.run(seconds: 20)
        #expect(world.prepared.isEmpty)
        // A rotation, also for an operator that has just started.
        for crashes in [false, true] {
            world.callers = .known(crashes ? first : second)
            if crashes { world.crash() }
            world.run(seconds: 20)
            #expect(world.prepared.sorted() == ["a", "b", "c"])
            world.prepared = []
        }
        world.agents["b"]?.caches[FakeWorld.uid]?.callersDigest = nil
        world.run(seconds: 20)
        #expect(world.prepared == ["b"] && world.status?.phase == .ready)
    }

    @Test func jobsWaitForKeysAndTheConditionSaysWhy() throws {
        var world = FakeWorld(nodes: ["a", "b"])
        world.callers = .unknown(why: "403 Forbidden")
        world.run(seconds: 20)
        let ready = try #require(world.condition(.ready))
        #expect(ready.reason == "TokenKeysUnknown" && ready.message.contains("403 Forbidden") && world.madeJobs.isEmpty)
        #expect(world.condition(.progressing)?.reason == "TokenKeysUnknown")
        #expect(Set(world.prepared) == ["a", "b"] && world.prepared.count == 2)
        world.callers = .known(first)
        world.run { $0.status?.phase == .ready }
        #expect(world.status?.phase == .ready && world.madeJobs.sorted() == ["a", "b"])
    }

    @Test func agentsThatKnowKeysFromBeforeGoOnWithoutAnOperatorThatDoes() throws {
        var world = FakeWorld(nodes: ["a", "b", "c"])
        world.callers = .known(first)
        world.run { $0.status?.phase == .ready }
        world.crash()
        world.callers = .unknown(why: "503")
        world.restartAgent("a", keepingDefinitions: true)
        world.restartAgent("c")
        world.prepared = []
        world.run(seconds: 30)
        // One agent has lost its bytes and is warmed again, one nothing, and one its keys as well: its Job waits for them.
        #expect(world.holds("a") && world.holds("b") && !world.holds("c"))
        #expect(world.prepared == ["c"] && world.agents["a"]?.caches[FakeWorld.uid]?.callersDigest == first.digest)
        #expect(world.madeJobs.count { $0 == "c" } == 1)
        #expect(world.condition(.ready)?.reason == "TokenKeysUnknown")
        world.callers = .known(first)
        world.run { $0.status?.phase == .ready }
        #expect(world.holds("c"))
    }

    @Test func whatIsInForceIsToldByTheDigest() {
        var report = CacheReport(
            uid: FakeWorld.uid, namespace: "team", name: "qwen", source: .init(uri: "oss://models/qwen/"), medium: .memory, state: .prepared, pinned: true)
        #expect(CallerKnowledge.unverified.isInForce(report) && !CallerKnowledge.known(first).isInForce(report))
        #expect(!CallerKnowledge.unknown(why: "").isInForce(report) && !CallerKnowledge.unknown(why: "").admitsJobs(report))
        report.callersDigest = CallerPolicy.unknown.digest
        #expect(CallerKnowledge.unknown(why: "").isInForce(report) && !CallerKnowledge.unknown(why: "").admitsJobs(report))
        #expect(!CallerKnowledge.unknown(why: "").admitsJobs(nil) && CallerKnowledge.known(first).admitsJobs(nil))
        report.callersDigest = first.digest
        #expect(CallerKnowledge.known(first).isInForce(report) && !CallerKnowledge.known(second).isInForce(report))
        #expect(!CallerKnowledge.unverified.isInForce(report) && CallerKnowledge.unknown(why: "").admitsJobs(report))
        #expect(CallerKnowledge.unverified.policy == nil && CallerKnowledge.unknown(why: "").policy?.hasKeys == false)
    }
}

@Suite struct IssuerDocumentsTests {
    private func keys(_ text: String) throws -> String { try IssuerDocuments.keys(Data(text.utf8)) }

    @Test func anIssuerIsReadAndNothingElseOfTheDocument() throws {
        let text = #"{"issuer":"https://kubernetes.default.svc","jwks_uri":"https://10.0.0.1:6443/openid/v1/jwks","response_types_supported":["id_token"]}"#
        #expect(try IssuerDocuments.issuer(Data(text.utf8)) == "https://kubernetes.default.svc")
        for odd in ["", "{}", "[]", #"{"issuer":7}"#, #"{"issuer":""}"#, #"{"issuer":"a\nb"}"#, "{\"issuer\":\"\(String(repeating: "x", count: 3000))\"}"] {
            #expect(throws: IssuerDocuments.Problem.self) { try IssuerDocuments.issuer(Data(odd.utf8)) }
        }
    }

    @Test func `equal sets of keys give equal texts whatever their order`() throws {
        let a = #"{"use":"sig","kty":"RSA","kid":"a","alg":"RS256","n":"AQAB-_","e":"AQAB","x5c":["MII"]}"#
        let b = #"{"kty":"EC","kid":"b","crv":"P-256","x":"AA","y":"BB"}"#
        let odd = #"{"kty":"oct","kid":"c","k":"AA"},{"kty":"RSA","n":"AA","e":"AA"},{"kty":"RSA","kid":7},{"kty":"RSA","kid":"d","use":"enc"},7"#
        let text = try keys("{\"keys\":[\(a),\(b)]}")
        #expect(try keys("{\"keys\":[\(odd),\(b),\(a)]}") == text)
        #expect(text == #"{"keys":[{"alg":"RS256","e":"AQAB","kid":"a","kty":"RSA","n":"AQAB-_","use":"sig"},{"crv":"P-256","kid":"b","kty":"EC","x":"AA","y":"BB"}]}"#)
        let other = a.replacing(#""e":"AQAB""#, with: #""e":"AQAC""#)
        #expect(try keys("{\"keys\":[\(a),\(other)]}") == keys("{\"keys\":[\(other),\(a)]}"), "they differ in one member alone")
        for wrong in ["", "{}", #"{"keys":[]}"#, "{\"keys\":[\(odd)]}", #"{"keys":"x"}"#] {
            #expect(throws: IssuerDocuments.Problem.self) { try keys(wrong) }
        }
        let many = (0..<400).map { "{\"kty\":\"RSA\",\"kid\":\"\($0)\",\"n\":\"\(String(repeating: "A", count: 200))\",\"e\":\"AQAB\"}" }
        #expect(throws: IssuerDocuments.Problem.self) { try keys("{\"keys\":[\(many.joined(separator: ","))]}") }
    }
}

@Suite struct CallerKeysTests {
    private struct Away: Error {}

    /// An API server whose answers change.
    private final class Server: Sendable {
        let state = Mutex<(isAway: Bool, kid: String, asked: [String])>((false, "a", []))

        func get(_ path: String) throws -> Data {
            try state.withLock { state in
                state.asked.append(path)
                if state.isAway { throw Away() }
                return Data((path == IssuerDocuments.keysPath
                    ? #"{"keys":[{"kty":"RSA","kid":"\#(state.kid)","n":"AA","e":"AQAB"}]}"# : #"{"issuer":"https://cluster"}"#).utf8)
            }
        }
    }

    @Test func whatWasLearnedStaysWhenALaterLookFails() async throws {
        let server = Server()
        server.state.withLock { $0.isAway = true }
        let keys = CallerKeys(issuer: nil, allowsUnverified: false, metrics: MetricsRegistry()) { try server.get($0) }
        guard case .unknown? = await keys.look() else { Issue.record("the reason is told"); return }
        #expect(await keys.look() == nil)
        server.state.withLock { $0.isAway = false }
        guard case .known(let policy)? = await keys.look() else { Issue.record("keys are known"); return }
        #expect(policy.issuer == "https://cluster" && policy.keys.contains(#""kid":"a""#))
        #expect(await keys.look() == nil)
        server.state.withLock { $0.isAway = true }
        #expect(await keys.look() == nil)
        #expect(keys.knowledge == .known(policy))
        server.state.withLock { $0 = (false, "b", []) }
        guard case .known(let newer)? = await keys.look() else { Issue.record("a rotation is seen"); return }
        #expect(newer != policy)
    }

    @Test func aGivenIssuerIsNotAskedForAndUnverifiedCallersAreServedOnlyByOrder() async throws {
        let server = Server()
        let keys = CallerKeys(issuer: "https://given", allowsUnverified: true, metrics: MetricsRegistry()) { try server.get($0) }
        #expect(keys.knowledge == .unverified)
        server.state.withLock { $0.isAway = true }
        #expect(await keys.look() == nil)
        #expect(keys.knowledge == .unverified)
        server.state.withLock { $0.isAway = false }
        guard case .known(let policy)? = await keys.look() else { Issue.record("keys are known"); return }
        #expect(policy.issuer == "https://given" && !server.state.withLock { $0.asked }.contains(IssuerDocuments.discoveryPath))
    }
}
