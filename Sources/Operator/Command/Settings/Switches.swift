internal import TextCoding

extension BooleanWords {
    /// Every `@Flag` of ``OperatorCommand``. Other operators are written in Go, and people's manifests say
    /// `-leader-elect` and `--leader-elect=true`.
    static let switches = BooleanWords(
        ["then-force", "rules-patch"],
        negatable: ["leader-elect", "allow-node-role", "allow-unverified-callers", "allow-loopback-endpoints"],
        allowsOneDash: true)
}
