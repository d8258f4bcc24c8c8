import Foundation
import LogOutput
import Models
import TestSupport
import Testing

@Suite struct EventPaceTests {
    private let begin = ContinuousClock.now

    @Test func `a loop is told a few times a minute, with the number of those left out`() {
        var pace = EventPace<String>(mostKeys: 1024)
        let most = EventPace<String>.most
        for _ in 0..<most { #expect(pace.admits("a", now: begin) == 0) }
        for _ in 0..<1000 { #expect(pace.admits("a", now: begin + .seconds(30)) == nil) }
        #expect(pace.admits("b", now: begin + .seconds(30)) == 0, "another key has a pace of its own")
        #expect(pace.admits("a", now: begin + .seconds(60)) == 1000)
        #expect(pace.admits("a", now: begin + .seconds(60)) == 0)
    }

    @Test func `the number of keys is bounded, and those beyond it share one pace`() {
        var pace = EventPace<Int>(mostKeys: 256)
        for key in 0..<256 { #expect(pace.admits(key, now: begin) == 0) }
        let beyond = (0..<100).map { pace.admits(100_000 + $0, now: begin) }
        #expect(beyond.count { $0 != nil } == EventPace<Int>.most)
        #expect(pace.admits(0, now: begin) == 0, "those that came before go on")
        #expect(pace.admits(200_000, now: begin + .seconds(61)) == 0, "what is over a minute old is forgotten")
    }

    @Test func `a caller that is refused over and over fills no record, and another reason is still recorded`() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("audit")
        #expect(FileManager.default.createFile(atPath: path, contents: nil))
        let file = try #require(FileHandle(forWritingAtPath: path))
        let audit = AuditLog(LineSink(file.fileDescriptor))
        for number in 0..<100 {
            audit.refused(model: "m", source: "oss://b/m/", nil, AgentFailure(.denied, "request \(number)"))
        }
        audit.refused(model: "m", source: "oss://b/m/", nil, AgentFailure(.notFound, "gone"))
        let lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
        #expect(lines.count == EventPace<String>.most + 1)
        #expect(lines.last?.contains("gone") == true)
    }
}
