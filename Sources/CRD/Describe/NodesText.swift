/// The text of `kubectl modelcache nodes`.
public enum NodesText {
    /// One line a node. Used and free bytes stand behind each other for memory and, where any node has one, for disk.
    public static func table(_ report: NodesReport) -> [String] {
        let hasDisk = report.nodes.contains { $0.disk != nil }
        let header =
            ["NODE", "AGENT", "MEMORY", "USED", "FREE"] + (hasDisk ? ["DISK", "USED", "FREE"] : [])
            + ["EVICTED FIRST", "MODELS"]
        let rows = report.nodes.map { node in
            [Texts.plain(node.name), Texts.plain(node.agent)] + figures(node.memory)
                + (hasDisk ? figures(node.disk) : [])
                + [first(node.models), node.models.isEmpty ? "-" : node.models.map(text).joined(separator: ", ")]
        }
        return Texts.table([header] + rows)
    }

    private static func figures(_ medium: NodesReport.Medium?) -> [String] {
        guard let medium else { return ["-", "-", "-"] }
        return [medium.budgetBytes, medium.usedBytes, medium.freeBytes].map(Texts.bytes)
    }

    /// Of each medium.
    private static func first(_ copies: [NodesReport.Copy]) -> String {
        let names = copies.filter { $0.evictionPlace == 1 }.map { Texts.plain("\($0.namespace)/\($0.name)") }
        return names.isEmpty ? "-" : names.joined(separator: ", ")
    }

    /// Present bytes, 0 to 100.
    public static func percent(_ copy: NodesReport.Copy) -> Int {
        guard copy.bytesTotal > 0 else { return 0 }
        // The numbers come from other processes: no product of them may overflow.
        return Int(min(100, max(0, Double(copy.bytesCached) * 100 / Double(copy.bytesTotal))))
    }

    /// `models/qwen`, `models/qwen 42%`, `models/qwen Failed`.
    private static func text(_ copy: NodesReport.Copy) -> String {
        let state =
            switch copy.state {
            case "Ready": ""
            case "Filling": " \(percent(copy))%"
            default: " \(copy.state)"
            }
        return Texts.plain("\(copy.namespace)/\(copy.name)\(state)")
    }
}
