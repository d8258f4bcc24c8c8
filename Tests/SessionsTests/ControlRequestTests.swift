import Foundation
import Sessions
import Testing

@Suite struct ControlRequestTests {
    @Test(arguments: [
        "", "{", "null", "1", "[]", "{}", #"{"status""#, #"{"status":{}} x"#, #"{"evict":{"force":1}}"#, #"{"evict":{"model":7,"force":true}}"#,
        #"{"pin":{"model":"m"}}"#, #"{"unknown":{}}"#, "\u{0}", #"{"status":{},"swarm":{}}"#,
    ]) func `a wrong request is refused with the reason`(text: String) {
        let error = #expect(throws: ControlRequest.Malformed.self) { try ControlRequest(decoding: Array(text.utf8)) }
        #expect(error?.problem.isEmpty == false)
    }

    @Test func `deep nesting and long text are refused before they are parsed`() {
        let deep = String(repeating: "[", count: 2000) + String(repeating: "]", count: 2000)
        let long = #"{"evict":{"force":true,"model":""# + String(repeating: "x", count: 60_000) + #""}}"#
        for (text, word) in [(deep, "deep"), (long, "bytes")] {
            let error = #expect(throws: ControlRequest.Malformed.self) { try ControlRequest(decoding: Array(text.utf8)) }
            #expect(error?.problem.contains(word) == true)
        }
    }

    @Test func `requests of this release survive their encoding`() throws {
        for request in [ControlRequest.status, .swarm, .starts, .evict(model: nil, force: true), .evict(model: "m", force: false), .pin(model: "m", pinned: true)] {
            #expect(try ControlRequest(decoding: Array(JSONEncoder().encode(request))) == request)
        }
    }
}
