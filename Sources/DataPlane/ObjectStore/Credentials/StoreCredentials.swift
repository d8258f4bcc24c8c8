/// A key pair, with a security token when it is temporary.
///
/// Its description and reflection show the first four characters of the key id and nothing else.
public struct StoreCredentials: Sendable, Hashable, CustomStringConvertible, CustomDebugStringConvertible,
    CustomReflectable
{
    public let keyID: String
    public let secret: String
    /// STS session token.
    public let token: String?
    /// Seconds since 1970 (UTC) after which the store refuses them; nil when unknown.
    public let expiration: Int64?

    public init(keyID: String, secret: String, token: String? = nil, expiration: Int64? = nil) {
        self.keyID = keyID
        self.secret = secret
        self.token = token
        self.expiration = expiration
    }

    public var description: String {
        "StoreCredentials(\(keyID.prefix(4))…\(token == nil ? "" : ", with token"))"
    }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: [:]) }
}
