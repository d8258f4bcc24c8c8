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
    private let cached = Mutex<StoreCredentials?>(nil)

    /// Seconds before the expiry from which a file is read again: a request signed now is judged when it arrives.
    private static let renewalMargin: Int64 = 60

    init(source: Source) { self.source = source }

    /// No signature at all: public buckets.
    public static let anonymous = CredentialsProvider(source: .fixed(nil))

    /// These, always.
    public static func fixed(_ credentials: StoreCredentials) -> CredentialsProvider {
        CredentialsProvider(source: .fixed(credentials))
    }

    /// From `OSS_ACCESS_KEY_ID`, `OSS_ACCESS_KEY_SECRET`, `OSS_SESSION_TOKEN` of an environment-like dictionary. For
    /// `s3`, `AWS_ACCESS_KEY_ID` and its kin fill in where no `OSS_` key is set. Both unset or empty: anonymous.
    /// `OSS_CREDENTIALS_FILE` names a file to read instead. Throws when half a pair is set, or a value could not be sent.
    public static func environment(
        _ variables: [String: String], scheme: StoreScheme
    ) throws(SettingError) -> CredentialsProvider {
        if let path = variables["OSS_CREDENTIALS_FILE"], !path.isEmpty { return .file(path) }
        func value(_ name: String) -> String? { variables[name].flatMap { $0.isEmpty ? nil : $0 } }
        var family = "OSS"
        if scheme == .s3, value("OSS_ACCESS_KEY_ID") == nil, value("OSS_ACCESS_KEY_SECRET") == nil { family = "AWS" }
        let secretName = family == "OSS" ? "OSS_ACCESS_KEY_SECRET" : "AWS_SECRET_ACCESS_KEY"
        switch (value("\(family)_ACCESS_KEY_ID"), value(secretName)) {
        case (nil, nil): return .anonymous
        case (let id?, let secret?):
            let credentials = StoreCredentials(keyID: id, secret: secret, token: value("\(family)_SESSION_TOKEN"))
            return .fixed(try credentials.checked(field: family))
        case (nil, _?):
            throw SettingError(
                field: "\(family)_ACCESS_KEY_ID", value: nil, problem: "is not set, but \(secretName) is",
                remedy: "set both, or neither for a public bucket")
        case (_?, nil):
            throw SettingError(
                field: secretName, value: nil, problem: "is not set, but \(family)_ACCESS_KEY_ID is",
                remedy: "set both, or neither for a public bucket")
        }
    }

    /// A file, read at first use and again when its contents expire or the store refuses the token: JSON with
    /// `AccessKeyId`, `AccessKeySecret`, `SecurityToken`, `Expiration`, or lines `OSS_ACCESS_KEY_ID=…`,
    /// `OSS_ACCESS_KEY_SECRET=…`, `OSS_SESSION_TOKEN=…`, `OSS_CREDENTIALS_EXPIRATION=…` as a shell would read them. An
    /// expiry is written as `2026-11-21T05:43:40Z`. At most 64 KiB.
    public static func file(_ path: String) -> CredentialsProvider { CredentialsProvider(source: .file(path: path)) }

    /// The credentials to sign with now; nil means anonymous. Throws when the file cannot be read or understood.
    public func current() throws(SettingError) -> StoreCredentials? {
        switch source {
        case .fixed(let credentials): return credentials
        case .file(let path):
            let known = cached.withLock { $0 }
            let now = SystemClock.unixTime
            if let known, known.expiration.map({ $0 > now + Self.renewalMargin }) ?? true { return known }
            do throws(SettingError) {
                let read = try CredentialsFile.read(path)
                cached.withLock { $0 = read }
                return read
            } catch {
                // The file may be half written just now; what is known still holds for a moment.
                if let known, let expiration = known.expiration, expiration > now { return known }
                throw error
            }
        }
    }

    /// Called when the store refused `refused`: reads again and returns other ones, or nil if there are none.
    public func refreshed(after refused: StoreCredentials) -> StoreCredentials? {
        guard case .file(let path) = source else { return nil }
        guard let read = try? CredentialsFile.read(path), read != refused else {
            // Another request may have found newer ones before the file became unreadable.
            return cached.withLock { $0 }.flatMap { $0 == refused ? nil : $0 }
        }
        cached.withLock { $0 = read }
        return read
    }
}
