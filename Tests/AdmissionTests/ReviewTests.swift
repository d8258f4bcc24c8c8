import Admission
import Foundation
import Kubernetes
import TestSupport
import Testing

private struct OneTarget: InjectionSource {
    var found: InjectionTarget?

    func target(namespace: String, name: String) async -> InjectionTarget? {
        found.flatMap { $0.namespace == namespace && $0.name == name ? $0 : nil }
    }

    func names(namespace: String) async -> [String] { found.map { $0.namespace == namespace ? [$0.name] : [] } ?? [] }

    func dependents(of prerequisite: Prerequisite) async -> [ObjectKey] { [] }
}

@Suite struct ReviewTests {
    private func body(
        version: String = "admission.k8s.io/v1", operation: String = "CREATE", kind: String = "Pod", subResource: String? = nil,
        namespace: String = "models", object: JSONValue = PodFixtures.pod(), dryRun: Bool = false
    ) -> JSONValue {
        var request: [String: JSONValue] = [
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "kind": ["group": "", "version": "v1", "kind": .string(kind)],
            "resource": ["group": "", "version": "v1", "resource": "pods"], "namespace": .string(namespace), "operation": .string(operation),
            "userInfo": ["username": "admin"], "object": object, "oldObject": .null, "dryRun": .bool(dryRun), "options": ["kind": "CreateOptions"],
        ]
        if let subResource { request["subResource"] = .string(subResource) }
        return ["kind": "AdmissionReview", "apiVersion": .string(version), "request": .object(request)]
    }

    private func review(_ tree: JSONValue) throws -> AdmissionRequest { try AdmissionReview(json: JSONText.write(tree)).request }

    private func answer(_ tree: JSONValue, target: InjectionTarget? = PodFixtures.target()) async throws -> JSONValue {
        let (response, _) = await (try review(tree)).answer(from: OneTarget(found: target))
        return try JSONDecoder().decode(JSONValue.self, from: Data(response.json()))
    }

    private func patch(_ answer: JSONValue) throws -> JSONValue? {
        guard case .string(let text)? = answer["response"]?["patch"] else { return nil }
        return try JSONDecoder().decode(JSONValue.self, from: try #require(Data(base64Encoded: text)))
    }

    @Test func `a refusal carries its reason as the API server's own does`() {
        let text = String(decoding: AdmissionResponse(uid: "u", denial: "spec.x is wrong: mend it").json(), as: UTF8.self)
        #expect(
            text == #"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"allowed":false,"status":"#
                + #"{"code":422,"message":"spec.x is wrong: mend it","reason":"Invalid"},"uid":"u"}}"#)
    }

    @Test func aReviewIsAnsweredWithItsUidAndAPatchThatApplies() async throws {
        let answer = try await answer(body())
        #expect(answer["kind"] == "AdmissionReview" && answer["apiVersion"] == "admission.k8s.io/v1")
        #expect(answer["response"]?["uid"] == "705ab4f5-6393-11e8-b7cc-42010a800002")
        #expect(answer["response"]?["allowed"] == true && answer["response"]?["patchType"] == "JSONPatch")
        let after = try PatchApplier.apply(try #require(try patch(answer)), to: PodFixtures.pod())
        #expect(after["metadata"]?["annotations"]?[PodLabels.injected] == .string("Stream/\(PodFixtures.uid)"))
    }

    @Test func aDryRunIsAnsweredAlike() async throws {
        #expect(try await answer(body(dryRun: true)) == answer(body()))
        #expect(try review(body(dryRun: true)).dryRun)
    }

    @Test func thePodsNamespaceIsTheRequests() async throws {
        let elsewhere = try await answer(body(namespace: "other"))
        #expect(elsewhere["response"]?["allowed"] == true)
        #expect(elsewhere["response"]?["warnings"]?[0].map { "\($0)".contains("other") } == true)
    }

    @Test(arguments: [("UPDATE", "Pod", nil), ("CREATE", "Job", nil), ("CREATE", "Pod", "binding"), ("DELETE", "Pod", nil)] as [(String, String, String?)])
    func whatIsNoPodsCreationIsLetThroughAsItIs(operation: String, kind: String, subResource: String?) async throws {
        let answer = try await answer(body(operation: operation, kind: kind, subResource: subResource))
        #expect(answer["response"] == ["uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "allowed": true])
    }

    @Test(arguments: ["admission.k8s.io/v1beta1", "admission.k8s.io/v2", "v1", ""])
    func anotherVersionIsRefusedWithTheRemedy(version: String) throws {
        let error = #expect(throws: ReviewError.self) { try review(body(version: version)) }
        #expect(error?.description.contains("admissionReviewVersions: [\"v1\"]") == true)
    }

    @Test(arguments: [
        "", " ", "{", "[", "nul", "\"", "\"\\", "\"\\u12", "\"\\x\"", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "[1,]", "[1 2]", "01", "-", "1.", "1e", "1e999",
        "{} {}", "\u{1}", "\"\u{1}\"", "{a:1}", "NaN", "[],",
    ])
    func whatIsNoJSONIsATypedError(text: String) {
        let error = #expect(throws: ReviewError.self) { try AdmissionReview(json: Array(text.utf8)) }
        if case .malformedJSON? = error {} else { Issue.record("\(String(describing: error))") }
    }

    @Test(arguments: ["null", "[]", "{}", "\"x\"", "{\"kind\":\"AdmissionReview\"}", "{\"kind\":\"AdmissionReview\",\"apiVersion\":\"admission.k8s.io/v1\",\"request\":{}}",
        "{\"kind\":\"AdmissionReview\",\"apiVersion\":\"admission.k8s.io/v1\",\"request\":{\"uid\":\"x\",\"operation\":\"CREATE\"}}", "{\"kind\":\"Pod\",\"apiVersion\":\"v1\"}"])
    func whatIsNoReviewIsATypedError(text: String) {
        #expect(throws: ReviewError.self) { try AdmissionReview(json: Array(text.utf8)) }
    }

    /// Each is JSON, or would go on as JSON, and more than is read.
    @Test(arguments: [
        (String(repeating: "[", count: 100_000), "nested deeper than 200 at byte 201"),
        (String(repeating: "{\"a\":", count: 100_000), "nested deeper than 200"),
        ("[" + String(repeating: "0,", count: 200_000) + "0]", "more than 100000 values"),
        ("[" + String(repeating: "{},", count: 200_000) + "0]", "more than 100000 values"),
        ("{" + String(repeating: "\"a\":0,", count: 200_000) + "\"a\":0}", "more than"),
        ("[" + String(repeating: "{\"\":0},", count: 99_999) + "0]", "more than"),
        ("[" + String(repeating: "[[]],", count: 99_999) + "0]", "more than"),
        ("\"" + String(repeating: "x", count: 2 << 20) + "\"", "a string of more than 1024 KiB"),
        ("\"" + String(repeating: "\\n", count: 1 << 20) + "\"", "a string of more than 1024 KiB"),
        ("{\"" + String(repeating: "x", count: 2 << 20) + "\":0}", "a string of more than 1024 KiB"),
        (String(repeating: "9", count: 1000), "a number of more than 128 characters"),
        ("0." + String(repeating: "9", count: 1000), "a number of more than 128 characters"),
    ])
    func `what is more than is read is refused as too large`(text: String, problem: String) {
        let error = #expect(throws: ReviewError.self) { try AdmissionReview(json: Array(text.utf8)) }
        #expect(error?.isTooLarge == true)
        #expect(error?.description.contains(problem) == true, "\(error?.description ?? "")")
    }

    @Test func `a body longer than is read is refused by its length`() {
        let long = [UInt8](repeating: UInt8(ascii: " "), count: AdmissionReview.maximumBytes + 1)
        #expect(throws: ReviewError.tooLarge(bytes: long.count)) { try AdmissionReview(json: long) }
        #expect(throws: ReviewError.self) { try AdmissionReview(json: [0x22, 0xFF, 0x22]) }
    }

    /// What a caller makes the operator occupy beside what the caller's bytes may make it occupy.
    @Test(arguments: SeededRandom.seeds(20))
    func `reading occupies no more than is granted for a body's bytes`(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let pieces = ["{\"\":", "{\"a\":[", "[", "[[],", "[{},", "0,", "\"sixteen letters, \",", "{\"sixteen letters, \":0},", "{\"\":0},"]
        var text = "{\"x\":["
        for _ in 0..<Int.random(in: 1...3000, using: &random) { text += pieces[Int.random(in: 5..<9, using: &random)] }
        text += pieces[Int.random(in: 5..<9, using: &random)].dropLast() + "]}"
        let (_, memory) = try Array(text.utf8).withUnsafeBytes { try JSONText.read($0) }
        #expect(memory <= AdmissionReview.mostMemory(bodyBytes: text.utf8.count), "seed \(seed)")
    }

    @Test func brokenReviewsNeverDoWorseThanATypedError() async throws {
        let seed = SeededRandom.seed
        var generator = SeededRandom(seed: seed)
        let whole = JSONText.write(body())
        for _ in 0..<5000 {
            var bytes = whole
            switch Int.random(in: 0..<3, using: &generator) {
            case 0: bytes.removeLast(Int.random(in: 1...bytes.count, using: &generator))
            case 1: for _ in 0..<Int.random(in: 1...4, using: &generator) { bytes[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator) }
            default: bytes.insert(contentsOf: [0x7B, 0x5B, 0x22, 0x5C].shuffled(using: &generator), at: Int.random(in: 0..<bytes.count, using: &generator))
            }
            do {
                let request = try AdmissionReview(json: bytes).request
                let (response, _) = await request.answer(from: OneTarget(found: PodFixtures.target()))
                _ = try PatchApplier.apply(response.operations, to: request.object)
            } catch is ReviewError {
            } catch {
                Issue.record("seed \(seed): \(error)")
            }
        }
    }

    @Test func theReaderReadsWhatFoundationReads() throws {
        let texts = [
            #"{"a":[1,-2,3.5,2.5e-1,true,false,null,"x\n\u00e9\ud83d\ude00\/\"\\"],"b":{"":{}}, "c" : [ ] ,"d":9223372036854775807,"e":9223372036854775808,"é":"日本"}"#,
            #""\ud800""#.replacingOccurrences(of: "\\ud800", with: "ok"), "0", "-0.5", "  [ { } ]  ",
        ]
        for text in texts {
            let expected = try JSONDecoder().decode(JSONValue.self, from: Data(text.utf8))
            let read = try Array(text.utf8).withUnsafeBytes { try JSONText.parse($0) }
            #expect(read == expected)
            #expect(try JSONDecoder().decode(JSONValue.self, from: Data(JSONText.write(read))) == expected)
        }
        // Half a pair, as Go reads it.
        #expect(try Array(#""\ud83dx""#.utf8).withUnsafeBytes { try JSONText.parse($0) } == .string("\u{FFFD}x"))
    }

    @Test func aPodOfAMegabyteIsAnswered() async throws {
        let env = (0..<12_000).map { JSONValue.object(["name": .string("VARIABLE_\($0)"), "value": .string(String(repeating: "x", count: 60))]) }
        let pod = PodFixtures.pod(container: ["env": .array(env)])
        let bytes = JSONText.write(body(object: pod))
        #expect(bytes.count > 1 << 20)
        let started = ContinuousClock.now
        let (response, outcome) = await (try AdmissionReview(json: bytes).request).answer(from: OneTarget(found: PodFixtures.target()))
        let answer = response.json()
        print("a pod of \(bytes.count) bytes took \(ContinuousClock.now - started)")
        #expect(outcome == .injected(.stream) && answer.count < 16384, "the patch is as small as ever")
    }

    @Test func warningsAreBoundedForTheAPIServer() async throws {
        let containers = (0..<30).map { JSONValue.object(["name": .string("c\($0)"), "envFrom": [["configMapRef": ["name": "x"]]]]) }
        let names = (0..<30).map { "c\($0)" }.joined(separator: ",")
        let answer = try await answer(body(object: PodFixtures.pod(annotations: [PodLabels.container: .string(names)], spec: ["containers": .array(containers)])))
        let warnings = answer["response"]?["warnings"]?.list ?? []
        #expect(warnings.count == 16)
        for case .string(let warning) in warnings { #expect(warning.utf8.count <= 256) }
    }

    @Test func aUsualPodIsAnsweredQuickly() async throws {
        let bytes = JSONText.write(body())
        let started = ContinuousClock.now
        for _ in 0..<1000 {
            let (response, _) = await (try AdmissionReview(json: bytes).request).answer(from: OneTarget(found: PodFixtures.target()))
            _ = response.json()
        }
        print("a review of \(bytes.count) bytes takes \((ContinuousClock.now - started) / 1000)")
    }
}
