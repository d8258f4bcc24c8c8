/// The facts that are known and kept about a source's Secret. A Job of the ModelCache's namespace told them; the
/// operator reads no Secret.
public struct SecretView: Sendable, Hashable {
    /// Another one for other entries or values (`MountedSecret.version`).
    public var version: String
    /// When the credentials expire, in Unix seconds; nil: the Secret does not say.
    public var expiry: Int64?

    public init(version: String, expiry: Int64? = nil) {
        self.version = version
        self.expiry = expiry
    }
}
