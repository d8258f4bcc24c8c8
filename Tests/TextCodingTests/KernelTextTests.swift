import Foundation
import Testing
import TextCoding

/// Files of /proc and /sys.
@Suite struct KernelTextTests {
    /// The kernel gives such a file a page at a time.
    @Test func `a file of many pages is read to its end`() throws {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        defer { try? FileManager.default.removeItem(at: file) }
        let lines = (0..<20_000).map { "line\($0) \($0)\n" }.joined()
        try lines.write(to: file, atomically: true, encoding: .utf8)
        #expect(KernelText.read(file.path) == lines)
        // Longer than a page on every machine: one line for each mapping of this process.
        let mappings = try #require(KernelText.read("/proc/self/smaps"))
        #expect(mappings.utf8.count > 4096 && mappings.hasSuffix("\n"))
        #expect(KernelText.read("\(file.path).none") == nil)
    }

    @Test func `numbers are found by their names`() {
        let text = "cpu 1 2 3\nMemTotal:       16 kB\nCapEff:\t000001ff\nbtime 1700000000\n"
        #expect(KernelText.number("btime", in: text) == 1_700_000_000)
        #expect(KernelText.number("MemTotal", in: text) == 16)
        #expect(KernelText.number("CapEff", in: text, radix: 16) == 0x1ff)
        #expect(KernelText.number("Mem", in: text) == nil)
    }
}
