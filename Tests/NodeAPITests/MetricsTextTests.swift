import Foundation
import Models
import NodeAPI
import Testing

@Suite struct MetricsTextTests {
    static let json = #"""
        {"version": "1", "processID": 1, "root": "/", "medium": "memory", "uptimeSeconds": 1.5, "budgetBytes": 1,
         "cachedBytes": 1, "heldBytes": 1, "inFlightLimitBytes": 1, "inFlightBytes": 0, "sessions": 0, "refusedCallers": {"absent": 0}, "models": [
          {"id": "m", "source": "oss://b/\"q\"\\\n/", "endpoint": "", "directory": "", "phase": "failed", "files": 1,
           "completeFiles": 0, "totalBytes": 10, "presentBytes": 5, "bytesPerSecond": 0, "originBytes": 7,
           "peerBytes": 0, "servedBytes": 0, "wrongPeerBlocks": 1, "wrongPeers": {"10.0.0.2:9418": 1}, "requests": 1,
           "retries": 0, "throttled": 0, "refilledFiles": 0, "transfersInFlight": 0, "users": 0, "pinned": false,
           "idleSeconds": 0}]}
        """#

    @Test func labelsAreEscapedAndEveryFamilyHasAType() throws {
        let status = try JSONDecoder().decode(AgentStatus.self, from: Data(Self.json.utf8))
        let text = MetricsText.encode(status)
        #expect(text.contains(#"modelcache_origin_bytes_total{model="m",source="oss://b/\"q\"\\\n/"} 7"#))
        #expect(text.contains("# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds "))
        let lines = text.split(separator: "\n")
        let typed = lines.filter { $0.hasPrefix("# TYPE") }.map { String($0.split(separator: " ")[2]) }
        let sampled = lines.filter { !$0.hasPrefix("#") }.map { line in String(line.prefix { $0 != "{" && $0 != " " }) }
        #expect(Set(typed) == Set(sampled))
        #expect(typed.count == Set(typed).count)
    }

    @Test func `a label cannot end its line, a carriage return before the newline included`() throws {
        var status = try JSONDecoder().decode(AgentStatus.self, from: Data(Self.json.utf8))
        status.models[0].source = "oss://b/x\r\ny/"
        let text = MetricsText.encode(status)
        #expect(text.contains("source=\"oss://b/x\r\\ny/\"} 7\n"))
    }

    @Test func forEverybodyAModelHasNoName() throws {
        var status = try JSONDecoder().decode(AgentStatus.self, from: Data(Self.json.utf8))
        status.models[0].id = "Secret-Model-0123456789abcdef"
        #expect(MetricsText.encode(status, naming: .nobody).contains(#"modelcache_origin_bytes_total{model="0123456789abcdef"} 7"#))
        status.models[0].id = "5c0e9f0a-0000-4000-8000-000000000001"
        status.models[0].namespace = "team"
        status.models[0].name = "secret"
        let text = MetricsText.encode(status, naming: .nobody)
        #expect(text.contains(#"modelcache_model_bytes{model="5c0e9f0a-0000-4000-8000-000000000001"} 10"#))
        for word in ["team", "secret", "oss://"] { #expect(!text.contains(word)) }
    }
}
