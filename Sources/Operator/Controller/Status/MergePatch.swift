internal import FoundationEssentials
public import Kubernetes

/// The JSON merge patch (RFC 7386) that turns one value into another: what is not in it stays untouched on the server,
/// and a change of one percentage costs a few hundred bytes.
public enum MergePatch {
    /// Nil when nothing differs.
    public static func difference(from old: JSONValue?, to new: JSONValue) -> JSONValue? {
        guard case .object(let members) = new, case .object(let before)? = old else {
            // A bare nil would be JSON's null here.
            return old == new ? Optional.none : new
        }
        var patch: [String: JSONValue] = [:]
        for (name, value) in members {
            if let change = difference(from: before[name], to: value) { patch[name] = change }
        }
        for name in before.keys where members[name] == nil { patch[name] = .null }
        return patch.isEmpty ? Optional.none : .object(patch)
    }

    package static func json(_ value: some Encodable) throws -> JSONValue {
        try JSONDecoder().decode(JSONValue.self, from: JSONEncoder().encode(value))
    }
}
