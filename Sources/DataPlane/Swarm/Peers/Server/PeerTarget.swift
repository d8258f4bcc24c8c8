/// The target of a peer's request, `/swarm/v1/models/<id>/<resource>`, and its range. Pure.
package struct PeerTarget: Sendable, Equatable {
    package enum Resource: Sendable, Equatable {
        case map
        case control
        /// `files/<index>`. Nil: no number.
        case file(Int?)
        case other
    }

    /// Not looked up yet.
    package let modelID: String
    package let resource: Resource

    /// Nil: it names no model.
    package init?(_ uri: String) {
        let parts = uri.prefix { $0 != "?" }.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count >= 6, parts[0].isEmpty, parts[1] == "swarm", parts[2] == "v1", parts[3] == "models" else {
            return nil
        }
        modelID = String(parts[4])
        resource =
            switch (parts.count, parts[5]) {
            case (6, "map"): .map
            case (6, "control"): .control
            case (7, "files"): .file(Int(parts[6]))
            default: .other
            }
    }

    /// `bytes=<first>-<last>`, cut to the file; without one, the whole file. Nil: it cannot be served.
    package static func range(_ header: String?, size: UInt64) -> Range<UInt64>? {
        guard let header else { return size > 0 ? 0..<size : nil }
        guard header.hasPrefix("bytes=") else { return nil }
        let ends = header.dropFirst(6).split(separator: "-", omittingEmptySubsequences: false)
        guard ends.count == 2, let first = UInt64(ends[0]), first < size else { return nil }
        if ends[1].isEmpty { return first..<size }
        guard let last = UInt64(ends[1]), last >= first else { return nil }
        return first..<min(last, size - 1) + 1
    }
}
