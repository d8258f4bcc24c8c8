import AgentAPI
import Foundation
import Testing

/// Operator and agents of neighbouring releases understand each other.
@Suite struct ReportToleranceTests {
    private func report(_ caches: String, _ more: String = "") throws -> AgentReport {
        let text = #"{"node":"n","instanceID":"i","memory":{"budgetBytes":10,"usedBytes":4},"caches":[\#(caches)]\#(more)}"#
        return try JSONDecoder().decode(AgentReport.self, from: Data(text.utf8))
    }

    @Test func `A state, a medium and fields of another release leave the report readable`() throws {
        let report = try report(
            #"{"uid":"a","state":"Verifying","medium":"Flash","news":{"x":[1]},"error":7,"bytesTotal":5},{"uid":"b","state":"Ready"},{"name":"no uid"}"#,
            #","time":"soon","zones":["z"],"disk":"much""#)
        #expect(report.caches.map(\.uid) == ["a", "b"])
        #expect(report.caches.map(\.state) == [.other("Verifying"), .ready])
        #expect(report.caches[0].bytesTotal == 5 && report.caches[0].error == nil)
        #expect(report.disk == nil && report.remains.isEmpty)
    }

    /// As release 0.1 sent it, before agents named the versions of their messages.
    private static let recorded =
        #"{"bootID":"9d5d0c54-9a0b-4a53-8ee5-cb9d2b8e8a8f","caches":[{"bytesCached":1048576,"bytesPerSecond":0,"bytesTotal":2097152,"#
        + #""callersDigest":"sha256:ab","error":{"code":"AccessDenied","message":"denied"},"files":2,"medium":"Memory","name":"qwen","#
        + #""namespace":"models","originBytes":1048576,"peerBytes":0,"pinned":true,"source":{"endpoint":"https://store","#
        + #""include":["*.gguf"],"uri":"oss:\/\/models\/qwen\/"},"state":"Filling","uid":"u","users":1}],"instanceID":"i","#
        + #""memory":{"budgetBytes":8589934592,"heldBytes":2097152,"usedBytes":2097152},"node":"node-1","remains":["old"],"#
        + #""time":1800000000,"version":"0.1.0"}"#

    @Test func `a report of the first release is read in full, and its version is the first`() throws {
        let report = try JSONDecoder().decode(AgentReport.self, from: Data(Self.recorded.utf8))
        #expect(report.api == .first && report.version == "0.1.0" && report.remains == ["old"])
        #expect(report.memory.heldBytes == 2_097_152)
        let cache = try #require(report.caches.first)
        #expect(cache.state == .filling && cache.pinned && cache.users == 1 && cache.error?.code == "AccessDenied")
        #expect(cache.source.include == ["*.gguf"] && cache.callersDigest == "sha256:ab")
    }

    @Test func `versions of messages overlap or do not`() throws {
        let own = APIVersions(oldest: 2, newest: 3)
        #expect(own.overlaps(APIVersions(oldest: 3, newest: 4)) && own.overlaps(APIVersions(oldest: 1, newest: 2)))
        #expect(!own.overlaps(APIVersions(oldest: 4, newest: 5)) && !own.overlaps(.first))
        #expect(try report("", #","api":{"oldest":4,"newest":6}"#).api == APIVersions(oldest: 4, newest: 6))
        #expect(try report("", #","api":"four""#).api == .first)
        #expect(APIVersions.own.overlaps(.first), "agents of the release before are served")
    }

    @Test func `A state of another release is handed on as it came`() throws {
        for word in ["Prepared", "Filling", "Ready", "Failed", "Verifying"] {
            let state = try JSONDecoder().decode(CacheReport.State.self, from: Data("\"\(word)\"".utf8))
            #expect(state.word == word)
            #expect(String(decoding: try JSONEncoder().encode(state), as: UTF8.self) == "\"\(word)\"")
        }
    }

    @Test func `bytes that no node has are cut, so that sums of reports stay in range`() throws {
        let huge = #"{"uid":"a","bytesCached":9223372036854775807,"originBytes":9223372036854775807,"peerBytes":-1}"#
        let caches = try report("\(huge),\(huge)").caches
        #expect(caches.reduce(0) { $0 + $1.bytesCached + $1.originBytes } == 4 << 53)
        #expect(caches[0].peerBytes == 0)
    }

    @Test func `peers of another release are read as far as they can be, and no more than the bound`() throws {
        let some = #"{"address":"10.0.0.7:9418","receivedBytes":5,"rank":1},{"receivedBytes":7},{"address":"b","receivedBytes":-1,"bytesPerSecond":"x"}"#
        let peers = try report(#"{"uid":"a","peers":[\#(some)]},{"uid":"b","peers":7},{"uid":"c"}"#).caches.map(\.peers)
        #expect(peers[0] == [PeerTraffic(address: "10.0.0.7:9418", receivedBytes: 5), PeerTraffic(address: "b", receivedBytes: 0)])
        #expect(peers[1].isEmpty && peers[2].isEmpty)
        let many = (0..<100).map { #"{"address":"\#($0)"}"# }.joined(separator: ",")
        #expect(try report(#"{"uid":"a","peers":[\#(many)]}"#).caches[0].peers.count == PeerTraffic.most)
    }

    @Test func `the highest number that an agent can say is followed by itself`() {
        var numbers = OrderNumbers()
        numbers.learned(OrderNumber(epoch: "e", number: .max), for: "n")
        #expect(numbers.next(for: "n").number == .max)
    }

    @Test func `What is no report is refused`() {
        for text in ["[]", "{}", #"{"node":"n"}"#] {
            #expect(throws: DecodingError.self) { try JSONDecoder().decode(AgentReport.self, from: Data(text.utf8)) }
        }
    }

    @Test func `A refusal of another release is understood by its code`() throws {
        let text = #"{"code":"InsufficientCapacity","neededBytes":"many","why":1}"#
        let error = try JSONDecoder().decode(AgentError.self, from: Data(text.utf8))
        #expect(error.known == .insufficientCapacity && error.neededBytes == nil)
    }

    @Test func `A definition of a later release is read without what it adds`() throws {
        let text = #"{"namespace":"a","name":"b","source":{"uri":"oss://m/x/","mirror":"y"},"medium":"Memory","sizeBytes":1,"priority":3}"#
        #expect(try JSONDecoder().decode(CacheDefinition.self, from: Data(text.utf8)).sizeBytes == 1)
    }
}
