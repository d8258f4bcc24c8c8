extension KeyedDecodingContainer {
    /// A field of another release's message: nil when it is absent, null, or not what this release knows.
    func tolerated<Value: Decodable>(_ key: Key) -> Value? { (try? decodeIfPresent(Value.self, forKey: key)) ?? nil }

    /// A number of bytes, cut to what a node can have: the operator adds up what agents say, and no agent may make a
    /// sum overflow. Nil as ``tolerated(_:)``.
    func toleratedBytes(_ key: Key) -> Int64? {
        let bytes: Int64? = tolerated(key)
        // Eight pebibytes: a thousand such numbers are in range.
        return bytes.map { min(max($0, 0), 1 << 53) }
    }
}

/// One element of an array, nil where this release cannot read it, so that the others are read all the same.
struct Tolerated<Value: Decodable>: Decodable {
    var value: Value?

    init(from decoder: any Decoder) { value = try? Value(from: decoder) }
}
