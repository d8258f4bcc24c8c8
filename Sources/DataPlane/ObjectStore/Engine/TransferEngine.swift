/// What the engine is made with.
public struct TransferEngineConfiguration: Sendable {
    /// Threads that receive, decrypt and hand bytes to sinks. Nil: one for each two cores, 2 to 8.
    public var threads: Int?
    /// `HTTP_SOURCE_IP`: connections leave from these addresses, evenly. Empty: the kernel chooses.
    public var sourceAddresses: [String]
    /// PEM file of trusted authorities; nil: `SSL_CERT_FILE` of the process, else the system's.
    public var authorityFile: String?
    /// DNS, TCP and TLS together.
    public var connectTimeout: Duration
    /// A transfer that brings less than `stallBytesPerSecond` for this long has stalled.
    public var stallTimeout: Duration
    public var stallBytesPerSecond: Int

    public init(
        threads: Int? = nil, sourceAddresses: [String] = [], authorityFile: String? = nil,
        connectTimeout: Duration = .seconds(10), stallTimeout: Duration = .seconds(15), stallBytesPerSecond: Int = 1024
    ) {
        self.threads = threads
        self.sourceAddresses = sourceAddresses
        self.authorityFile = authorityFile
        self.connectTimeout = connectTimeout
        self.stallTimeout = stallTimeout
        self.stallBytesPerSecond = stallBytesPerSecond
    }
}

/// HTTP transfers on threads of its own, shared by every `StoreClient` of the process.
///
/// Submitted transfers start at once: whoever submits decides how many are in flight.
public final class TransferEngine: Sendable {
    public let configuration: TransferEngineConfiguration

    /// Starts the threads. Throws when a source address is not on this machine (it is named) or the authority file
    /// cannot be read.
    public init(_ configuration: TransferEngineConfiguration = TransferEngineConfiguration()) throws(SettingError) {
        self.configuration = configuration
    }

    /// Transfers submitted and not completed.
    public var inFlight: Int { 0 }

    /// Cancels what is in flight (their completions are called) and ends the threads. Later submissions complete with
    /// `cancelled`. Returns when the threads are gone; not to be called from a completion.
    public func shutDown() {}
}
