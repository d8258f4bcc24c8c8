/// What may be known and kept of a Secret: which entries it has, never what they hold.
public struct SecretView: Sendable, Hashable {
    /// The names of the entries that hold the store's keys.
    public struct Keys: Sendable, Hashable {
        public var keyID: String
        public var secret: String
        public var token: String

        public init(keyID: String, secret: String, token: String) {
            self.keyID = keyID
            self.secret = secret
            self.token = token
        }
    }

    public var name: String
    public var resourceVersion: String
    public var keys: Keys

    public init(name: String, resourceVersion: String, keys: Keys) {
        self.name = name
        self.resourceVersion = resourceVersion
        self.keys = keys
    }
}
