import Synchronization
internal import TextCoding

/// Where credentials come from, and when they are read again.
///
/// Thread-safe. A file is read in the call (it is small and local); roles are asked for in the background.
public final class CredentialsProvider: Sendable {
    private enum Source: Sendable {
        case fixed(StoreCredentials?)
        case file(path: String)
        case role(RoleCredentials)
    }

    /// After a refusal of the store.
    package enum Replacement: Sendable {
        case other(StoreCredentials)
        /// They are being fetched, or could not be: the error says so, and the same request may succeed later.
        case later(StoreError)
        case none
    }

    private let source: Source
    /// The party whose rights requests have.
    public let principal: Principal
    /// Parties that the environment names in part.
    public let passedOver: [CredentialChain.PassedOver]
    private let cached = Mutex<StoreCredentials?>(nil)

    /// Seconds before the expiry from which a file is read again: a request signed now is judged when it arrives.
    private static let renewalMargin: Int64 = 60

    private init(source: Source, principal: Principal, passedOver: [CredentialChain.PassedOver] = []) {
        self.source = source
        self.principal = principal
        self.passedOver = passedOver
    }

    /// No signature at all: public buckets.
    public static let anonymous = CredentialsProvider(source: .fixed(nil), principal: Principal(.anonymous))

    /// These, always.
    public static func fixed(_ credentials: StoreCredentials) -> CredentialsProvider {
        CredentialsProvider(
            source: .fixed(credentials), principal: Principal(.key, name: "\(credentials.keyID.prefix(4))…"))
    }

    /// The party that the chain chose. Roles are shared in the process; nothing is asked yet.
    public convenience init(_ chain: CredentialChain) {
        let source: Source =
            switch chain.choice {
            case .anonymous: .fixed(nil)
            case .key(let credentials): .fixed(credentials)
            case .file(let path): .file(path: path)
            case .role(let source): .role(RoleCredentials.shared(source))
            }
        self.init(source: source, principal: chain.principal, passedOver: chain.passedOver)
    }

    /// A role whose renewal somebody else may watch.
    package convenience init(_ role: RoleCredentials) {
        self.init(source: .role(role), principal: role.source.principal)
    }

    /// A file, read at first use and again when its contents expire or the store refuses the token: JSON with
    /// `AccessKeyId`, `AccessKeySecret`, `SecurityToken`, `Expiration`, or lines `OSS_ACCESS_KEY_ID=…`,
    /// `OSS_ACCESS_KEY_SECRET=…`, `OSS_SESSION_TOKEN=…`, `OSS_CREDENTIALS_EXPIRATION=…` as a shell would read them. An
    /// expiry is written as `2026-11-21T05:43:40Z`. At most 64 KiB.
    public static func file(_ path: String) -> CredentialsProvider {
        CredentialsProvider(source: .file(path: path), principal: Principal(.file, name: path))
    }

    /// Whether requests with either have the rights of one and the same party, as far as is known without a look.
    package func isSameParty(as other: CredentialsProvider) -> Bool {
        switch (source, other.source) {
        case (.fixed(let one), .fixed(let another)): one == another
        case (.file(let one), .file(let another)): one == another
        case (.role(let one), .role(let another)): one === another
        default: false
        }
    }

    /// The credentials to sign with now; nil means anonymous. Never waits for a network.
    ///
    /// Throws `settings` when the file cannot be read or understood, `credentialsUnavailable` while a role's are being
    /// fetched, `credentialsRefused` when the role's were refused.
    public func current() throws(StoreError) -> StoreCredentials? {
        switch source {
        case .fixed(let credentials): return credentials
        case .role(let role): return try role.current()
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
                throw StoreError(.settings, detail: error.description)
            }
        }
    }

    /// As ``current()``, but waits for a role's first credentials: at most some tens of seconds.
    public func ready() async throws(StoreError) -> StoreCredentials? {
        if case .role(let role) = source { return try await role.ready() }
        return try current()
    }

    /// Called when the store refused `refused`. Does not wait.
    package func refused(_ refused: StoreCredentials) -> Replacement {
        switch source {
        case .fixed: .none
        case .role(let role): role.refused(refused)
        case .file(let path): readAgain(path, after: refused).map { .other($0) } ?? .none
        }
    }

    /// As ``refused(_:)``, but waits for a role's others. Nil: there are none.
    package func replaced(_ refused: StoreCredentials) async -> StoreCredentials? {
        switch source {
        case .fixed: nil
        case .role(let role): await role.replaced(refused)
        case .file(let path): readAgain(path, after: refused)
        }
    }

    /// When the credentials of the moment end, in seconds since 1970; nil: never, or unknown.
    public var expiration: Int64? {
        switch source {
        case .fixed(let credentials): credentials?.expiration
        case .file: cached.withLock { $0?.expiration }
        case .role(let role): role.expiration
        }
    }

    private func readAgain(_ path: String, after refused: StoreCredentials) -> StoreCredentials? {
        guard let read = try? CredentialsFile.read(path), read != refused else {
            // Another request may have found newer ones before the file became unreadable.
            return cached.withLock { $0 }.flatMap { $0 == refused ? nil : $0 }
        }
        cached.withLock { $0 = read }
        return read
    }
}
