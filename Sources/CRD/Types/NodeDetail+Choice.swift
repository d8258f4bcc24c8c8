extension NodesStatus {
    /// The details that a status shows: the important ones first (failed, warming, pending, ready, then by name),
    /// bounded in number, with messages bounded in length.
    public static func details(choosing all: [NodeDetail]) -> [NodeDetail] {
        func rank(_ state: NodeDetail.State) -> Int {
            switch state {
            case .failed: 0
            case .warming: 1
            case .pending: 2
            case .ready: 3
            }
        }
        let sorted = all.sorted { left, right in
            (rank(left.state), left.name) < (rank(right.state), right.name)
        }
        return sorted.prefix(maximumDetails).map { detail in
            var shown = detail
            shown.percent = min(100, max(0, detail.percent))
            if let message = detail.message, message.unicodeScalars.count > NodeDetail.maximumMessageLength {
                shown.message = String(message.unicodeScalars.prefix(NodeDetail.maximumMessageLength - 1)) + "…"
            }
            return shown
        }
    }
}
