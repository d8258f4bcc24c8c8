/// `spec.source` never changes: copies on nodes, Jobs and pods that read them all rest on it.
public enum Immutability {
    public static let message = "source is immutable: make a new ModelCache for another source or version"

    /// What a change from `old` to `new` breaks; empty when nothing.
    public static func problems(old: ModelCacheSpec, new: ModelCacheSpec) -> [FieldProblem] {
        func changed(_ path: String, _ from: String?, _ to: String?) -> FieldProblem? {
            from == to ? nil : FieldProblem(
                path: "spec.source.\(path)", value: to, problem: "was \(from ?? "absent") and is immutable",
                remedy: "put it back, or make a new ModelCache")
        }
        func quoted(_ text: String?) -> String? { text.map { JSONTree.string($0).text(limit: 200) } }
        let (before, after) = (old.source, new.source)
        return [
            changed("uri", quoted(before.uri), quoted(after.uri)),
            changed("endpoint", quoted(before.endpoint), quoted(after.endpoint)),
            changed("region", quoted(before.region), quoted(after.region)),
            changed("include", "\(before.include)", "\(after.include)"),
            changed("credentialsSecretRef", quoted(before.credentialsSecretRef?.name), quoted(after.credentialsSecretRef?.name)),
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
