internal import TextCoding

extension BooleanWords {
    /// Every `@Flag` of the verbs.
    static let switches = BooleanWords([
        "all", "force", "idle-exit", "json", "pin", "requester-pays", "summary", "watch",
    ])
}
