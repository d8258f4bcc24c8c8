/// A source whose listing is another than before.
public struct SourceChange: Sendable, Hashable {
    /// Of the listing before.
    public var formerDigest: String
    /// Keys below the prefix that were added, removed or changed, sorted; empty where the listings are too long to be
    /// remembered, or an operator before this one saw the former.
    public var keys: [String]

    public init(formerDigest: String, keys: [String]) {
        self.formerDigest = formerDigest
        self.keys = keys
    }

    /// Nil: the listings are equal.
    public init?(from former: ResolvedSource, to current: ResolvedSource) {
        guard former.digest != current.digest else { return nil }
        var keys: [String] = []
        if !former.objects.isEmpty, !current.objects.isEmpty {
            keys = Set(former.objects.keys).union(current.objects.keys)
                .filter { former.objects[$0] != current.objects[$0] }.sorted()
        }
        self.init(formerDigest: former.digest, keys: keys)
    }

    /// For the condition.
    var message: String {
        let what =
            keys.isEmpty
            ? "the source holds other objects than those that were resolved before (\(formerDigest))"
            : "\(Words.count(keys.count, "object")) changed at the source: \(Words.list(keys, most: 10))"
        return what
            + ". Nodes are warmed with what is there now; set spec.source.digest to the digest that you want, or make a new "
            + "ModelCache for the new version"
    }
}
