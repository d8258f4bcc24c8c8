package import CRD
package import Kubernetes

/// The merge patch that turns one status into another, made without encoding what is equal: most changes are a
/// condition and a few counts, beside details of a hundred nodes.
package enum StatusPatch {
    /// Nil when nothing differs. The same as ``MergePatch/difference(from:to:)`` of the two as JSON.
    package static func difference(from old: ModelCacheStatus?, to new: ModelCacheStatus) throws -> JSONValue? {
        guard let old else { return try MergePatch.json(new) }
        var patch = Members()
        try patch.put("observedGeneration", old.observedGeneration, new.observedGeneration)
        try patch.put("phase", old.phase, new.phase)
        try patch.put("conditions", old.conditions, new.conditions)
        try patch.put("source", old.source, new.source)
        try patch.put("medium", old.medium, new.medium)
        try patch.put("nodes", nodes(from: old.nodes, to: new.nodes))
        try patch.put("seeders", old.seeders, new.seeders)
        try patch.put("copies", old.copies, new.copies)
        try patch.put("departed", old.departed, new.departed)
        try patch.put("progress", old.progress, new.progress)
        try patch.put("traffic", old.traffic, new.traffic)
        return patch.value
    }

    private static func nodes(from old: NodesStatus?, to new: NodesStatus?) throws -> JSONValue? {
        guard old != new else { return nil }
        guard let new else { return JSONValue.null }
        var counts = new
        counts.details = []
        var before = old
        before?.details = []
        let change = MergePatch.difference(
            from: try before.map { try MergePatch.json($0) }, to: try MergePatch.json(counts))
        guard old?.details != new.details else { return change }
        var members: [String: JSONValue] = [:]
        if case .object(let counted)? = change { members = counted }
        members["details"] = .array(
            new.details.map { detail in
                var member: [String: JSONValue] = [
                    "name": .string(detail.name), "state": .string(detail.state.rawValue),
                    "percent": .integer(Int64(detail.percent)),
                ]
                if let message = detail.message { member["message"] = .string(message) }
                return .object(member)
            })
        return .object(members)
    }

    private struct Members {
        private var members: [String: JSONValue] = [:]

        var value: JSONValue? { members.isEmpty ? Optional.none : .object(members) }

        mutating func put(_ name: String, _ change: JSONValue?) throws {
            if let change { members[name] = change }
        }

        mutating func put<Part: Encodable & Equatable>(_ name: String, _ old: Part?, _ new: Part?) throws {
            guard old != new else { return }
            guard let new else {
                members[name] = JSONValue.null
                return
            }
            members[name] = MergePatch.difference(
                from: try old.map { try MergePatch.json($0) }, to: try MergePatch.json(new))
        }
    }
}
