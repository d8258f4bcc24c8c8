extension KeyedDecodingContainer {
    /// The value, or `fallback` where the field is absent or null, as the API server's defaulting does.
    ///
    /// A server applies defaults when it reads an object, but an object written before a default was added may still
    /// lack it.
    func decode<Value: Decodable>(_ key: Key, or fallback: Value) throws -> Value {
        try decodeIfPresent(Value.self, forKey: key) ?? fallback
    }
}
