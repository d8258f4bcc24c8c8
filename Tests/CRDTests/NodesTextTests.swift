import CRD
import Testing

@Suite struct NodesTextTests {
    private func copy(_ name: String, _ state: String, cached: Int64 = 0, place: Int? = nil) -> NodesReport.Copy {
        NodesReport.Copy(
            namespace: "models", name: name, medium: "Memory", state: state, bytesCached: cached, bytesTotal: 1_000,
            isPinned: false, readers: 0, evictionPlace: place)
    }

    private func medium(_ budget: Int64, used: Int64, free: Int64) -> NodesReport.Medium {
        NodesReport.Medium(budgetBytes: budget, usedBytes: used, freeBytes: free)
    }

    @Test func `each node has a line with its bytes and models`() {
        let report = NodesReport(nodes: [
            .init(
                name: "node-1", agent: "Reachable", memory: medium(64_000_000_000, used: 16_000, free: 63_000_000_000),
                models: [copy("gemma", "Filling", cached: 420), copy("llama", "Failed"), copy("qwen", "Ready", cached: 1_000, place: 1)]),
            .init(name: "node-2", agent: "Unknown"),
        ])
        #expect(
            NodesText.table(report).map { $0.split(separator: "   ").map { $0.filter { $0 != " " } } } == [
                ["NODE", "AGENT", "MEMORY", "USED", "FREE", "EVICTEDFIRST", "MODELS"],
                ["node-1", "Reachable", "64GB", "16kB", "63GB", "models/qwen", "models/gemma42%,models/llamaFailed,models/qwen"],
                ["node-2", "Unknown", "-", "-", "-", "-", "-"],
            ])
    }

    @Test func `disks have columns where a node has one`() {
        let report = NodesReport(nodes: [
            .init(name: "a", agent: "Reachable", memory: medium(1_000, used: 0, free: 1_000)),
            .init(
                name: "b", agent: "Reachable", memory: medium(1_000, used: 0, free: 1_000),
                disk: medium(5_000, used: 2_000, free: 5_000)),
        ])
        let lines = NodesText.table(report)
        #expect(lines[0].contains("DISK") && lines[1].contains("-") && lines[2].contains("5 kB"))
    }
}
