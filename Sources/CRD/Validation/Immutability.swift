/// `spec.source.uri`, `spec.source.include` and `spec.cache.medium` never change: copies, volumes and the pods that
/// read all depend on them. How the store is reached (`endpoint`, `region`, `addressing`, `requesterPays`,
/// `credentials`) may change: agents and new pods then go the new way.
public enum Immutability {
    static let uriMessage = "uri is immutable: make a new ModelCache for another source or version"
    static let includeMessage = "include is immutable: make a new ModelCache for another selection"
    static let mediumMessage = "medium is immutable: make a new ModelCache for the other medium"

    /// A transition rule, which a server from 1.25 on checks at updates.
    static func rule(_ message: String) -> SchemaNode.CELRule { .init(rule: "self == oldSelf", message: message) }

    /// The rules that a change from `old` to `new` breaks; empty when it breaks none.
    public static func problems(old: ModelCacheSpec, new: ModelCacheSpec) -> [FieldProblem] {
        func changed(_ path: String, _ from: String, _ to: String) -> FieldProblem? {
            from == to
                ? nil
                : FieldProblem(
                    path: "spec.\(path)", value: to, problem: "was \(from) and is immutable",
                    remedy: "put it back, or make a new ModelCache")
        }
        func quoted(_ text: String) -> String { JSONTree.string(text).text(limit: 200) }
        return [
            changed("source.uri", quoted(old.source.uri), quoted(new.source.uri)),
            changed("source.include", "\(old.source.include)", "\(new.source.include)"),
            changed("cache.medium", quoted(old.cache.medium.rawValue), quoted(new.cache.medium.rawValue)),
        ].compactMap { $0 }
    }
}
