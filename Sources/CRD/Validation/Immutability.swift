/// `spec.source` and `spec.cache.medium` never change: copies on nodes, volumes, Jobs and pods that read them all rest on them.
public enum Immutability {
    public static let message = "source is immutable: make a new ModelCache for another source or version"
    public static let mediumMessage = "cache.medium is immutable: make a new ModelCache for the other medium"

    /// What a change from `old` to `new` breaks; empty when nothing.
    public static func problems(old: ModelCacheSpec, new: ModelCacheSpec) -> [FieldProblem] {
        func changed(_ path: String, _ from: String?, _ to: String?) -> FieldProblem? {
            from == to ? nil : FieldProblem(
                path: "spec.\(path)", value: to, problem: "was \(from ?? "absent") and is immutable",
                remedy: "put it back, or make a new ModelCache")
        }
        func quoted(_ text: String?) -> String? { text.map { JSONTree.string($0).text(limit: 200) } }
        let (before, after) = (old.source, new.source)
        return [
            changed("source.uri", quoted(before.uri), quoted(after.uri)),
            changed("source.endpoint", quoted(before.endpoint), quoted(after.endpoint)),
            changed("source.region", quoted(before.region), quoted(after.region)),
            changed("source.include", "\(before.include)", "\(after.include)"),
            changed("source.credentialsSecretRef", quoted(before.credentialsSecretRef?.name), quoted(after.credentialsSecretRef?.name)),
            changed("cache.medium", quoted(old.cache.medium.rawValue), quoted(new.cache.medium.rawValue)),
        ].compactMap { $0 }
    }
}

/// A stable text for a source, to be hashed into `status.source.resolvedSpecHash`.
public enum SourceFingerprint {
    /// Two sources have the same text exactly when they are equal.
    public static func of(_ source: Source) -> String {
        // Members are sorted, absent ones left out.
        (try? JSONTree(encoding: source).text()) ?? ""
    }
}
