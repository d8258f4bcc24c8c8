internal import ChunkStore

extension SetChange {
    /// Keys named of each kind.
    private static let mostNames = 5

    /// One line for the log: what came, changed and went, and how much stands.
    var summary: String {
        func part(_ what: String, _ keys: [String]) -> String? {
            guard !keys.isEmpty else { return nil }
            let names = keys.prefix(Self.mostNames).joined(separator: ", ")
            return "\(keys.count) \(what) (\(names)\(keys.count > Self.mostNames ? ", ..." : ""))"
        }
        let parts = [part("added", added), part("replaced", replaced), part("retired", retired)].compactMap { $0 }
        return (parts + ["\(kept.count) kept"]).joined(separator: ", ")
    }
}
