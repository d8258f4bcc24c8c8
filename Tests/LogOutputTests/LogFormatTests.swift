import Foundation
import LogOutput
import Logging
import Testing

@Suite struct LogFormatTests {
    private static let time = Date(timeIntervalSince1970: 1_767_323_045.625)
    private static let text = "2026-01-02T03:04:05.625Z"

    /// Texts that a store, a peer or a pod may bring into a message.
    static let texts = [
        "plain", "", "two words", "a\nb", "a\r\nb", "a\u{b}b", "a\u{c}b", "a\u{85}b", "a\u{2028}b", "a\u{2029}b", "\"quoted\"", "back\\slash",
        "k=v", "tab\there", "nul\u{0}", "\u{1b}[31mred", "del\u{7f}", "模型",
    ]

    @Test(arguments: LogFormat.allCases, texts) func anEventIsOneLineWhateverItsTextsHold(format: LogFormat, text: String) {
        let line = format.line(time: Self.time, level: .info, label: "agent", message: text, fields: [("key", text)])
        #expect(line.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).count == 1)
        #expect(!line.unicodeScalars.contains { "\n\r\u{b}\u{c}\u{85}\u{2028}\u{2029}".unicodeScalars.contains($0) })
    }

    @Test(arguments: texts) func jsonGivesBackEveryText(text: String) throws {
        let line = LogFormat.json.line(
            time: Self.time, level: .warning, label: "agent", message: text, fields: [("message", text), ("key", text)])
        let read = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: String])
        #expect(read == ["time": Self.text, "level": "warning", "logger": "agent", "message": text, "message_": text, "key": text])
    }

    @Test func textQuotesOnlyWhatNeedsIt() {
        let line = LogFormat.text.line(
            time: Self.time, level: .error, label: "agent", message: "no \"room\"",
            fields: [("a", "1"), ("b", ""), ("c", "x y"), ("d", "k=v"), ("e", "a\"b")])
        #expect(line == #"\#(Self.text) error agent: no "room" a=1 b="" c="x y" d="k=v" e="a\"b""#)
    }
}
