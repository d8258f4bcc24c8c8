internal import FoundationEssentials
internal import Glibc

/// The identity of a candidate, and the durations. Defaults as in client-go and controller-runtime.
///
/// All candidates of a lease should have the same durations.
public struct LeaderElectionOptions: Sendable, Equatable {
    /// Unique to the process: two processes with one identity would both lead.
    public var identity: String
    /// A candidate takes over when it has seen no renewal for this time. Complete seconds.
    public var leaseDuration: Duration
    /// A leader that could not renew for this time stops leading.
    public var renewDeadline: Duration
    /// The pause between two tries.
    public var retryPeriod: Duration

    public init(
        identity: String = Self.uniqueIdentity(), leaseDuration: Duration = .seconds(15),
        renewDeadline: Duration = .seconds(10),
        retryPeriod: Duration = .seconds(2)
    ) {
        self.identity = identity
        self.leaseDuration = leaseDuration
        self.renewDeadline = renewDeadline
        self.retryPeriod = retryPeriod
    }

    /// `<host name>_<random UUID>`, as in controller-runtime.
    public static func uniqueIdentity() -> String {
        var name = [CChar](repeating: 0, count: 256)
        let host =
            gethostname(&name, name.count - 1) == 0
            ? String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self) : "unknown"
        return "\(host)_\(UUID().uuidString.lowercased())"
    }

    /// A problem of the durations, or nil. A leader needs time for a retry before its deadline, and must stop before
    /// the next leader starts.
    public var problem: String? {
        if identity.isEmpty { return "the identity is empty" }
        if leaseDuration < .seconds(1) { return "the lease duration must be at least 1s" }
        if retryPeriod <= .zero { return "the retry period must be positive" }
        if leaseDuration <= renewDeadline { return "the lease duration must be longer than the renew deadline" }
        // client-go's JitterFactor.
        if renewDeadline <= retryPeriod * 1.2 {
            return "the renew deadline must be longer than 1.2 times the retry period"
        }
        return nil
    }
}
