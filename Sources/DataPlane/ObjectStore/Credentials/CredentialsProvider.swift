import Synchronization

/// Where credentials come from, and when they are read again.
///
/// Thread-safe; reading is synchronous (a small local file).
public final class CredentialsProvider: Sendable {
    enum Source: Sendable {
        case fixed(StoreCredentials?)
        case file(path: String)
    }
    let source: Source

    init(source: Source) { self.source = source }

    /// No signature at all: public buckets.
    public static let anonymous = CredentialsProvider(source: .fixed(nil))

    /// These, always.
    public static func fixed(_ credentials: StoreCredentials) -> CredentialsProvider {
        CredentialsProvider(source: .fixed(credentials))
    }

    /// From `OSS_ACCESS_KEY_ID`, `OSS_ACCESS_KEY_SECRET`, `OSS_SESSION_TOKEN` of an environment-like dictionary. For
    /// `s3`, `AWS_ACCESS_KEY_ID` and its kin fill in where no `OSS_` key is set. Both unset or empty: anonymous.
    /// `OSS_CREDENTIALS_FILE` names a file to read instead.
    public static func environment(
        _ variables: [String: String], scheme: StoreScheme
    ) throws(SettingError) -> CredentialsProvider {
        .anonymous
    }

    /// A file, read at first use and again when its contents expire or the store refuses the token: JSON with
    /// `AccessKeyId`, `AccessKeySecret`, `SecurityToken`, `Expiration`, or lines `OSS_ACCESS_KEY_ID=…`.
    public static func file(_ path: String) -> CredentialsProvider { CredentialsProvider(source: .file(path: path)) }

    /// The credentials to sign with now; nil means anonymous. Throws when the file cannot be read or understood.
    public func current() throws(SettingError) -> StoreCredentials? { nil }

    /// Called when the store refused `refused` as expired: reads again and returns other ones, or nil if there are none.
    public func refreshed(after refused: StoreCredentials) -> StoreCredentials? { nil }
}
