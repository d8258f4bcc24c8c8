import AgentAPI
import Crypto
import Foundation
import Models
import NodeAPI
import Synchronization
import Testing
import TestSupport

private let now = TestCluster.now

@Suite struct IdentityTests {
    let cluster: TestCluster

    init() throws { cluster = try TestCluster() }

    private func problem(
        _ token: String?, _ policy: CallerPolicy? = nil, namespace: String = "team", at time: Int64 = now
    ) async throws -> TokenProblem? {
        let verifier = await TokenVerifier(try policy ?? cluster.policy())
        do throws(TokenProblem) {
            try verifier.verify(token, namespace: namespace, now: time)
            return nil
        } catch {
            return error
        }
    }

    @Test func aPodsTokenIsTakenWithEitherKindOfKey() async throws {
        #expect(try await problem(cluster.token()) == nil)
        #expect(try await problem(cluster.token(signing: .es256)) == nil)
        #expect(try await problem(cluster.token(["aud": "modelcache.io"])) == nil)
        #expect(try await problem(cluster.token(["aud": ["https://kubernetes.default.svc", "modelcache.io"]])) == nil)
    }

    @Test func eachClaimIsChecked() async throws {
        #expect(try await problem(cluster.token(["iss": "https://elsewhere"])) == .issuer)
        #expect(try await problem(cluster.token(without: ["iss"])) == .issuer)
        #expect(try await problem(cluster.token(["aud": ["https://kubernetes.default.svc"]])) == .audience)
        #expect(try await problem(cluster.token(["aud": [String]()])) == .audience)
        #expect(try await problem(cluster.token(without: ["aud"])) == .malformed)
        #expect(try await problem(cluster.token(), namespace: "other") == .namespace)
        #expect(try await problem(cluster.token(without: ["kubernetes.io"])) == .namespace)
        #expect(try await problem(cluster.token(["kubernetes.io": ["namespace": ""]]), namespace: "") == .namespace)
        #expect(try await problem(cluster.token(["kubernetes.io": ["namespace": 7]])) == .malformed)
        #expect(try await problem(cluster.token(without: ["exp"])) == .expired)
        // The namespace that Kubernetes signed for counts, not the one that a name spells.
        #expect(try await problem(cluster.token(["sub": "system:serviceaccount:other:default"])) == nil)
    }

    @Test func `the pod that a token is bound to is told, and decides nothing`() async throws {
        let verifier = await TokenVerifier(try cluster.policy())
        func pod(_ bound: [String: Any]?) throws -> CallerPod? {
            var claim: [String: Any] = ["namespace": "team"]
            if let bound { claim["pod"] = bound }
            return try verifier.verify(try cluster.token(["kubernetes.io": claim]), namespace: "team", now: now)
        }
        #expect(try verifier.verify(cluster.token(), namespace: "team", now: now) == CallerPod(name: "llama-0", uid: "u-1"))
        #expect(try pod(nil) == nil && pod(["name": "a"]) == nil && pod(["name": "a", "uid": 7]) == nil)
        #expect(try pod(["name": "a", "uid": ""]) == nil && pod(["name": "a", "uid": String(repeating: "u", count: 65)]) == nil)
        #expect(try pod(["name": String(repeating: "a", count: 254), "uid": "u"]) == nil)
    }

    @Test func `a role's token is of the ServiceAccount that may assume it`() async throws {
        let verifier = await TokenVerifier(try cluster.policy())
        let right = try cluster.token(["sub": "system:serviceaccount:team:warm"])
        try verifier.verify(right, namespace: "team", serviceAccount: "warm", now: now)
        let short = try cluster.token(["sub": "system:serviceaccount:team:warm", "exp": Double(now) + 9.5])
        #expect(try verifier.verify(short, namespace: "team", serviceAccount: "warm", now: now) == now + 10 + TokenVerifier.leewaySeconds)
        for (subject, account) in [("system:serviceaccount:team:warm", "other"), ("system:serviceaccount:other:warm", "warm"), ("warm", "warm")] {
            #expect(throws: TokenProblem.serviceAccount) {
                try verifier.verify(try cluster.token(["sub": subject]), namespace: "team", serviceAccount: account, now: now)
            }
        }
    }

    @Test func clocksMayDifferByAMinuteAndNoMore() async throws {
        #expect(try await problem(cluster.token(["exp": now - 59])) == nil)
        #expect(try await problem(cluster.token(["exp": now - 60])) == .expired)
        #expect(try await problem(cluster.token(["nbf": now + 60])) == nil)
        #expect(try await problem(cluster.token(["nbf": now + 61])) == .notYetValid)
        #expect(try await problem(cluster.token(["exp": Double(now) + 0.5])) == nil)
        #expect(try await problem(cluster.token(["exp": 1e300])) == nil)
        #expect(try await problem(cluster.token(["exp": -1e300])) == .expired)
        #expect(try await problem(cluster.token(), at: now + 3560) == .expired)
    }

    @Test func anotherClustersKeyOfTheSameNameSignsNothingHere() async throws {
        let other = try TestCluster()
        #expect(try await problem(other.token()) == .signature)
        #expect(try await problem(other.token(signing: .es256)) == .signature)
    }

    @Test func whatWasSignedCannotBeChanged() async throws {
        let parts = try cluster.token().split(separator: ".").map(String.init)
        let other = try cluster.token(["kubernetes.io": ["namespace": "other"]]).split(separator: ".").map(String.init)
        #expect(try await problem("\(parts[0]).\(other[1]).\(parts[2])", namespace: "other") == .signature)
        #expect(try await problem("\(parts[0]).\(parts[1]).\(other[2])") == .signature)
        let elliptic = try cluster.token(signing: .es256).split(separator: ".").map(String.init)
        #expect(try await problem("\(elliptic[0]).\(elliptic[1]).\(base64url(Data(count: 64)))") == .signature)
        #expect(try await problem("\(elliptic[0]).\(elliptic[1]).\(base64url(Data(count: 3)))") == .signature)
    }

    @Test func theTokenDoesNotChooseHowItIsVerified() async throws {
        #expect(try await problem(cluster.confused()) == .algorithm)
        for name in ["none", "None", "nOnE", "RS256", "HS256", ""] {
            #expect(try await problem(cluster.unsigned(algorithm: name)) == .malformed)
        }
        let signature = base64url(Data(count: 256))
        for name in ["none", "HS256", "RS384", "RS512", "PS256", "ES384", "EdDSA", "rs256", ""] {
            let header = base64url(try json(["alg": name, "kid": "rsa-1"]))
            #expect(try await problem("\(header).\(base64url(try json(TestCluster.claims))).\(signature)") == .algorithm)
        }
        // Right signatures under the name of a key of the other kind.
        #expect(try await problem(cluster.token(header: ["kid": "ec-1"])) == .algorithm)
        #expect(try await problem(cluster.token(header: ["kid": "rsa-1"], signing: .es256)) == .algorithm)
        #expect(try await problem(cluster.token(header: ["crit": ["exp"], "exp": 1])) == .malformed)
        // A key that comes with the token is nobody's.
        let other = try TestCluster()
        #expect(try await problem(other.token(header: ["jwk": try other.rsaKey(), "jku": "https://elsewhere/keys"])) == .signature)
    }

    @Test func aKeyIsFoundByItsNameAlone() async throws {
        #expect(try await problem(cluster.token(header: ["kid": "rsa-9"])) == .unknownKey)
        #expect(try await problem(cluster.token(header: ["kid": ""])) == .unknownKey)
        #expect(try await problem(cluster.token(header: ["kid": NSNull()])) == .unknownKey)
        #expect(try await problem(cluster.token(header: ["kid": 7])) == .malformed)
        let nameless = try cluster.policy([cluster.rsaKey().filter { $0.key != "kid" }])
        #expect(try await problem(cluster.token(), nameless) == .noKeys)
    }

    @Test func twoKeysMayHaveOneName() async throws {
        let other = try TestCluster()
        let both = try cluster.policy([other.rsaKey(), cluster.ellipticKey(kid: "rsa-1"), cluster.rsaKey()])
        #expect(try await problem(cluster.token(), both) == nil)
        #expect(try await problem(other.token(), both) == nil)
        #expect(try await problem(cluster.token(header: ["kid": "rsa-1"], signing: .es256), both) == nil)
        #expect(try await problem(TestCluster().token(), both) == .signature)
    }

    @Test func keysOfOtherKindsArePassedOver() async throws {
        let odd: [[String: Any]] = [
            ["kty": "OKP", "crv": "Ed25519", "kid": "a", "x": "AAAA"], ["kty": "oct", "kid": "rsa-2", "k": "AAAA"],
            ["kty": "RSA", "kid": "b", "n": 7, "e": "AQAB"], ["kty": "RSA", "kid": "c", "n": "!!", "e": "AQAB"],
            ["kty": "RSA", "kid": "d", "n": base64url(Data(repeating: 0xff, count: 128)), "e": "AQAB"], ["kid": "e"],
            ["kty": "EC", "crv": "P-256", "kid": "f", "x": base64url(Data(count: 32)), "y": base64url(Data(count: 32))],
            ["kty": "EC", "crv": "P-384", "kid": "g", "x": "AA", "y": "AA"],
        ]
        #expect(try await problem(cluster.token(), cluster.policy(odd + [cluster.rsaKey()])) == nil)
        #expect(try await problem(cluster.token(), cluster.policy(odd)) == .noKeys)
        #expect(try await problem(cluster.token(header: ["kid": "rsa-2"]), cluster.policy(odd + [cluster.rsaKey()])) == .unknownKey)
        #expect(try await problem(cluster.token(), cluster.policy([cluster.rsaKey(["use": "enc"])])) == .noKeys)
        #expect(try await problem(cluster.token(), cluster.policy([cluster.rsaKey(["alg": "PS256"])])) == .noKeys)
        #expect(try await problem(cluster.token(), cluster.policy([cluster.rsaKey([:])])) == nil)
        #expect(try await problem(cluster.token(), CallerPolicy(issuer: TestCluster.issuer, keys: "not json")) == .noKeys)
        #expect(try await problem(cluster.token(), .unknown) == .noKeys)
        #expect(try await problem(cluster.token(["iss": ""]), cluster.policy(issuer: "")) == .noKeys)
    }

    @Test func nothingShownAndTooMuchShownAreToldApart() async throws {
        #expect(try await problem(nil) == .absent)
        #expect(try await problem("") == .absent)
        let long = try cluster.token(["padding": String(repeating: "x", count: TokenVerifier.maximumBytes)])
        #expect(try await problem(long) == .tooLong)
        for text in [".", "..", "...", "a.b", "a.b.c.d", "Bearer x.y.z", "{}", "a.b.c", "\u{0}.\u{0}.\u{0}", " " + (try cluster.token())] {
            #expect(try await problem(text) == .malformed, "\(text.prefix(20))")
        }
        #expect(try await problem(cluster.token(payload: Data("[]".utf8))) == .malformed)
        #expect(try await problem(cluster.token(payload: Data(String(repeating: "[", count: 9000).utf8))) == .malformed)
    }

    @Test func garbageIsRefusedWhateverItIs() async throws {
        let seed = SeededRandom.seed
        print("seed \(seed)")
        var generator = SeededRandom(seed: seed)
        let verifier = await TokenVerifier(try cluster.policy())
        let right = Array(try cluster.token().utf8)
        let first = try #require(right.firstIndex(of: UInt8(ascii: ".")))
        for _ in 0..<3000 {
            var bytes = right
            switch Int.random(in: 0..<4, using: &generator) {
            case 0:
                // The last character of a base64 text holds bits that decode to nothing: it is left alone.
                let place = Int.random(in: 0..<(bytes.count - 1), using: &generator)
                guard bytes[place] != UInt8(ascii: "."), bytes[place + 1] != UInt8(ascii: ".") else { continue }
                bytes[place] ^= UInt8.random(in: 1...127, using: &generator)
            case 1: bytes.removeSubrange(Int.random(in: 0..<bytes.count, using: &generator)...)
            case 2: bytes.insert(.random(in: 0...127, using: &generator), at: Int.random(in: 0..<first, using: &generator))
            default: bytes = (0..<Int.random(in: 1..<200, using: &generator)).map { _ in .random(in: 0...127, using: &generator) }
            }
            let text = String(decoding: bytes, as: UTF8.self)
            #expect(throws: TokenProblem.self, "seed \(seed)") { try verifier.verify(text, namespace: "team", now: now) }
        }
        for _ in 0..<200 {
            let keys = String(decoding: (0..<300).map { _ in UInt8.random(in: 32...126, using: &generator) }, as: UTF8.self)
            #expect(await !TokenVerifier(CallerPolicy(issuer: "i", keys: keys)).isUsable)
        }
    }
}

@Suite struct CallerIdentityTests {
    let cluster: TestCluster

    init() throws { cluster = try TestCluster() }

    private func cache(_ callers: CallerPolicy?) -> CacheDefinition {
        CacheDefinition(namespace: "team", name: "qwen", source: .init(uri: "oss://models/qwen/"), sizeBytes: 1, callers: callers)
    }

    private func admit(_ identity: CallerIdentity, _ token: String?, cache: CacheDefinition) async throws {
        #expect(try await identity.admit(token: token, to: { cache }, waits: {})?.definition == cache)
    }

    @Test func whereNoCallersAreNamedNobodyIsAsked() async throws {
        try await admit(CallerIdentity(), nil, cache: cache(nil))
    }

    @Test func aRefusalSaysWhichCheckFailedNotTheTokenAndIsCounted() async throws {
        let refusals = CallerRefusals()
        let identity = CallerIdentity(refusals: refusals, now: { now })
        let guarded = cache(try cluster.policy())
        try await admit(identity, try cluster.token(), cache: guarded)
        #expect(refusals.byProblem.values.allSatisfy { $0 == 0 } && refusals.byProblem.count == TokenProblem.allCases.count)
        for (token, problem) in [
            (try cluster.token(["exp": now - 1000]), TokenProblem.expired),
            (try cluster.token(["kubernetes.io": ["namespace": "secret-project"]]), .namespace), (try TestCluster().token(), .signature),
        ] {
            let failure = try #require(await #expect(throws: AgentFailure.self) { try await admit(identity, token, cache: guarded) })
            #expect(failure.code == .denied && failure.message.contains(problem.explanation) && failure.message.contains("team/qwen"))
            for part in token.split(separator: ".") { #expect(!failure.message.contains(part)) }
            #expect(!failure.message.contains("secret-project") && !failure.message.contains("\n"))
            #expect(refusals.byProblem[problem.rawValue] == 1)
        }
    }

    @Test func aNewPolicyCountsFromTheNextCallerOn() async throws {
        let identity = CallerIdentity(now: { now })
        let other = try TestCluster()
        try await admit(identity, try cluster.token(), cache: cache(try cluster.policy()))
        await #expect(throws: AgentFailure.self) { try await admit(identity, try cluster.token(), cache: cache(try other.policy())) }
        try await admit(identity, try other.token(), cache: cache(try other.policy()))
        await #expect(throws: AgentFailure.self) { try await admit(identity, try cluster.token(), cache: cache(.unknown)) }
    }

    @Test func aTokenThatIsNewerThanTheKeysWaitsForThem() async throws {
        let refusals = CallerRefusals()
        let identity = CallerIdentity(refusals: refusals, patience: .seconds(120), now: { now })
        let newer = try TestCluster()
        let token = try newer.token(header: ["kid": "rsa-2"])
        let after = cache(try cluster.policy([cluster.rsaKey(), newer.rsaKey(kid: "rsa-2")]))
        for before in [cache(try cluster.policy()), cache(.unknown)] {
            let current = Mutex(before)
            let admitted = try await identity.admit(token: token, to: { current.withLock { $0 } }) { current.withLock { $0 = after } }
            #expect(admitted?.definition == after && admitted?.pod == CallerPod(name: "llama-0", uid: "u-1"))
        }
        // The cache goes while somebody waits.
        let gone = Mutex<CacheDefinition?>(cache(try cluster.policy()))
        #expect(try await identity.admit(token: token, to: { gone.withLock { $0 } }) { gone.withLock { $0 = nil } } == nil)
        #expect(refusals.byProblem.values.allSatisfy { $0 == 0 })
        // The key came, and does not fit.
        let other = Mutex(cache(try cluster.policy()))
        let wrong = cache(try cluster.policy([TestCluster().rsaKey(kid: "rsa-2")]))
        await #expect(throws: AgentFailure.self) {
            try await identity.admit(token: token, to: { other.withLock { $0 } }) { other.withLock { $0 = wrong } }
        }
        #expect(refusals.byProblem["signature"] == 1)
    }

    @Test func whatNoKeyCanMakeGoodIsRefusedAtOnce() async throws {
        let identity = CallerIdentity(patience: .seconds(120), now: { now })
        let unknown = ["kid": "rsa-2"]
        let guarded = cache(try cluster.policy())
        for token in [
            nil, "", "garbage", try cluster.token(["iss": "https://elsewhere"], header: unknown), try cluster.token(["exp": now - 1000], header: unknown),
            try cluster.token(["aud": ["other"]], header: unknown), try cluster.token(["kubernetes.io": ["namespace": "other"]], header: unknown),
            try cluster.token(header: ["kid": ""]), try cluster.token(header: ["kid": "rsa-2", "alg": "HS256"]), try TestCluster().token(),
        ] {
            await #expect(throws: AgentFailure.self, "\(token ?? "none")") {
                try await identity.admit(token: token, to: { guarded }) { Issue.record("waits for \(token ?? "none")") }
            }
        }
    }

    @Test func patienceEndsAndSoDoesTheRoomForThoseWhoWait() async throws {
        let refusals = CallerRefusals()
        let identity = CallerIdentity(refusals: refusals, patience: .seconds(2), now: { now })
        let guarded = cache(try cluster.policy())
        let token = try cluster.token(header: ["kid": "rsa-2"])
        let waited = CallerRefusals()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<200 {
                group.addTask { _ = try? await identity.admit(token: token, to: { guarded }, waits: { waited.count(.unknownKey) }) }
            }
        }
        #expect(refusals.byProblem["unknown_key"] == 200 && (1..<200).contains(waited.byProblem["unknown_key"] ?? 0))
    }

    @Test func theDefinitionCarriesThePolicyAndItsDigestTellsPoliciesApart() throws {
        let policy = try cluster.policy()
        let rules = DefinitionRules()
        var definition = cache(policy)
        definition.source.region = "cn-test"
        let stored = StoredDefinition(uid: "u", definition: definition)
        #expect(StoredDefinition(try stored.encoded(), uid: "u")?.definition.callers == policy)
        #expect(try rules.decode(try JSONEncoder().encode(definition)) == definition)
        var others = [policy, policy, policy, .unknown]
        others[0].issuer += "/"
        others[1].audience += "x"
        others[2].keys += " "
        #expect(Set((others + [policy]).map(\.digest)).count == 5)
        #expect(policy.digest.hasPrefix("sha256:") && policy.digest.count == 71)
        definition.callers = CallerPolicy(issuer: "i", keys: String(repeating: "x", count: CallerPolicy.maximumKeysBytes + 1))
        #expect(throws: AgentError.self) { try rules.check(definition) }
        definition.callers = CallerPolicy(issuer: "", keys: "{}")
        #expect(throws: AgentError.self) { try rules.check(definition) }
        definition.callers = CallerPolicy(issuer: "a\nb", keys: "{}")
        #expect(throws: AgentError.self) { try rules.check(definition) }
    }
}
