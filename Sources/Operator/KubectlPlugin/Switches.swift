internal import TextCoding

extension BooleanWords {
    /// Every `@Flag` of the commands, long and short.
    static let switches = BooleanWords(["all", "watch", "w", "all-namespaces", "A", "then-force"])
}
