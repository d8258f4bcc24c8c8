extension KeyedDecodingContainer {
    /// A field of another release's message: nil when it is absent, null, or not what this release knows.
    func tolerated<Value: Decodable>(_ key: Key) -> Value? { (try? decodeIfPresent(Value.self, forKey: key)) ?? nil }
}

/// One element of an array, nil where this release cannot read it, so that the others are read all the same.
struct Tolerated<Value: Decodable>: Decodable {
    var value: Value?

    init(from decoder: any Decoder) { value = try? Value(from: decoder) }
}
