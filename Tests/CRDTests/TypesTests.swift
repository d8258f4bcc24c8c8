import CRD
import Foundation
import Testing

@Suite struct TypesTests {
    @Test func `five lines get every default`() throws {
        let model = try Documents.decode(Documents.minimal)
        #expect(model.spec == ModelCacheSpec(source: Source(uri: "oss://models/gemma/")))
        #expect(model.spec.placement.seeders == 1)
        #expect(model.spec.warmup == Warmup(parallelism: 100, backoffLimit: 6))
        #expect(model.spec.effectiveMode == .onDemand, "a model must not fill a whole cluster unasked")
        #expect(model.spec.cache == Cache(medium: .memory))
        #expect(model.problems().isEmpty)
    }

    @Test func `without a mode every node is warmed only where the author chose the nodes`() {
        var spec = ModelCacheSpec(source: Source(uri: "oss://models/gemma/"), placement: Placement(nodeSelector: ["pool": "gpu"]))
        #expect(spec.effectiveMode == .eager)
        spec.placement = Placement(affinity: Affinity(nodeAffinity: NodeAffinity(required: NodeSelector(nodeSelectorTerms: []))))
        #expect(spec.effectiveMode == .eager)
        spec.warmup.mode = .onDemand
        #expect(spec.effectiveMode == .onDemand)
        spec.placement = Placement()
        spec.warmup.mode = .eager
        #expect(spec.effectiveMode == .eager)
    }

    @Test func `what is encoded decodes to the same`() throws {
        let again = try JSONDecoder().decode(ModelCache.self, from: JSONEncoder().encode(Documents.full))
        #expect(again == Documents.full)
    }

    @Test func `a spec that cannot be read is a problem, not an error`() throws {
        let model = try Documents.decode(#"{"metadata":{"name":"m"},"spec":{"source":{"uri":"oss://models/"},"warmup":{"mode":"Lazy"}}}"#)
        #expect(model.problems().map(\.path) == ["spec.warmup.mode"])
        let missing = try Documents.decode(#"{"metadata":{"name":"m"},"spec":{"source":{}}}"#)
        #expect(missing.problems().map(\.path) == ["spec.source.uri"])
        #expect(try Documents.decode(#"{"metadata":{"name":"m"}}"#).problems().map(\.path) == ["spec"])
    }

    @Test func `in a list the path begins at the object`() throws {
        struct List: Decodable { let items: [ModelCache] }
        let list = try JSONDecoder().decode(List.self, from: Data(#"{"items":[{"spec":{"source":{"uri":7}}}]}"#.utf8))
        #expect(list.items[0].problems().map(\.path) == ["spec.source.uri"])
    }

    @Test func `words of another time in a status leave the rest readable`() throws {
        func status(_ text: String) throws -> ModelCache {
            try Documents.decode(#"{"metadata":{"name":"m"},"spec":{"source":{"uri":"oss://models/"}},"status":\#(text)}"#)
        }
        let model = try status(
            #"{"phase":"Dancing","medium":"Tape","seeders":["a"],"nodes":{"desired":1,"details":[{"name":"a","state":"Odd","percent":3}]},"#
                + #""conditions":[{"type":"New","status":"Perhaps","lastTransitionTime":"x","reason":"R","message":"m"}]}"#)
        #expect(model.status?.phase == nil && model.status?.medium == nil && model.status?.seeders == ["a"])
        #expect(model.status?.nodes?.details.map(\.state) == [.pending])
        #expect(model.status?.conditions.map(\.status) == [.unknown])
        #expect(model.problems().isEmpty)
        #expect(try status(#"{"seeders":7}"#).status == nil)
    }

    @Test(arguments: [
        ("500Mi", 524_288_000), ("1G", 1_000_000_000), ("1.5Gi", 1_610_612_736), ("1e6", 1_000_000), ("1048576", 1_048_576),
        ("1500m", 2), ("0.1", 1), (".5k", 500), ("5.", 5), ("+3Ki", 3072), ("2E3", 2000), ("7Ei", 8_070_450_532_247_928_832),
    ] as [(String, Int64)])
    func `quantities are bytes, rounded up`(text: String, bytes: Int64) {
        #expect(Quantity(text).bytes == bytes)
    }

    @Test(arguments: ["", "Mi", "5 Mi", "-1", "8Ei", "1e30", "5MiB", "0x10", "1.2.3", "９", "99999999999999999999", "1e", "1ee3"])
    func `what is no quantity has no bytes`(text: String) {
        #expect(Quantity(text).bytes == nil)
    }

    @Test func `a quantity may be a number`() throws {
        let model = try Documents.decode(#"{"spec":{"source":{"uri":"oss://models/"},"warmup":{"maxBytesPerSecond":1048576}}}"#)
        #expect(model.spec.warmup.maxBytesPerSecond?.bytes == 1_048_576)
    }

    @Test func `details put failures first and stay within their bounds`() {
        let all = (0..<150).map { NodeDetail(name: "n\(1000 + $0)", state: .ready, percent: 100) }
            + [NodeDetail(name: "z", state: .failed, percent: 120, message: String(repeating: "ü", count: 400))]
            + [NodeDetail(name: "y", state: .warming, percent: -1)]
        let shown = NodesStatus.details(choosing: all)
        #expect(shown.count == NodesStatus.maximumDetails)
        #expect(shown.prefix(3).map(\.name) == ["z", "y", "n1000"])
        #expect(shown[0].percent == 100)
        #expect(shown[0].message?.unicodeScalars.count == NodeDetail.maximumMessageLength)
    }

    @Test func `an eviction request survives its annotation`() {
        let one = EvictionRequest(node: "node-1", requestedAt: "2026-01-02T03:04:05Z")
        #expect(EvictionRequest(annotation: one.annotation) == one)
        let all = EvictionRequest(node: nil, requestedAt: "2026-01-02T03:04:05Z")
        #expect(all.annotation.hasPrefix("*@"))
        #expect(EvictionRequest(annotation: all.annotation) == all)
        for bad in [nil, "", "node-1", "@now", "Node 1@now", "node-1@"] { #expect(EvictionRequest(annotation: bad) == nil) }
    }
}
