import CurlShim
import Glibc
import Synchronization

/// What the engine is made with.
public struct TransferEngineConfiguration: Sendable {
    /// Threads that receive, decrypt and hand bytes to sinks. Nil: one for each two cores, 2 to 8.
    public var threads: Int?
    /// `HTTP_SOURCE_IP`: connections leave from these addresses, evenly. Empty: the kernel chooses.
    public var sourceAddresses: [String]
    /// PEM file of trusted authorities; nil: `SSL_CERT_FILE` of the process, else the system's.
    public var authorityFile: String?
    /// Whether a certificate must name the host; false where an authority of our own signs nobody else.
    public var verifiesHostName: Bool
    /// How long bytes of a plain-HTTP range may gather in the kernel before a thread is woken for them: a wake for every segment
    /// costs more than all else.
    public var wakeInterval: Duration
    /// DNS, TCP and TLS together.
    public var connectTimeout: Duration
    /// A transfer that brings less than `stallBytesPerSecond` for this long has stalled.
    public var stallTimeout: Duration
    public var stallBytesPerSecond: Int
    /// Asked before each connection is made; nil: any address will do.
    public var addressGuard: AddressGuard?

    public init(
        threads: Int? = nil, sourceAddresses: [String] = [], authorityFile: String? = nil,
        verifiesHostName: Bool = true, wakeInterval: Duration = .milliseconds(10),
        connectTimeout: Duration = .seconds(10), stallTimeout: Duration = .seconds(15), stallBytesPerSecond: Int = 1024,
        addressGuard: AddressGuard? = nil
    ) {
        self.addressGuard = addressGuard
        self.threads = threads
        self.sourceAddresses = sourceAddresses
        self.authorityFile = authorityFile
        self.verifiesHostName = verifiesHostName
        self.wakeInterval = wakeInterval
        self.connectTimeout = connectTimeout
        self.stallTimeout = stallTimeout
        self.stallBytesPerSecond = stallBytesPerSecond
    }
}

/// HTTP transfers on threads of its own, shared by every `StoreClient` of the process.
///
/// Submitted transfers start at once: whoever submits decides how many are in flight.
///
/// libcurl resolves, connects, binds source addresses and speaks TLS. Ranged GETs over plain HTTP are then spoken by the engine
/// itself on the connected socket (`DirectExchange`): libcurl hands a body out in pieces of 16 KiB from its own buffer, which
/// costs a copy of every byte.
public final class TransferEngine: Sendable {
    public let configuration: TransferEngineConfiguration
    private let workers: [Worker]
    private let lastIdentifier = Atomic<UInt64>(0)
    private let ended = Mutex(false)
    private let placement = Mutex(())

    private static let initialized = curl_global_init(Int(CURL_GLOBAL_DEFAULT)) == CURLE_OK

    /// Starts the threads. Throws when a source address is not on this machine (it is named) or the authority file
    /// cannot be read.
    public init(_ configuration: TransferEngineConfiguration = TransferEngineConfiguration()) throws(SettingError) {
        self.configuration = configuration
        let sources = try SourceAddresses(configuration.sourceAddresses)
        var authorityFile = configuration.authorityFile
        if authorityFile == nil, let variable = getenv("SSL_CERT_FILE") { authorityFile = String(cString: variable) }
        if authorityFile == "" { authorityFile = nil }
        if let authorityFile, access(authorityFile, R_OK) != 0 {
            throw SettingError(
                field: "SSL_CERT_FILE", value: authorityFile, problem: "cannot be read: \(String(cString: strerror(errno)))",
                remedy: "name a readable PEM file, or leave it unset for the system's authorities")
        }
        let cores = sysconf(Int32(_SC_NPROCESSORS_ONLN))
        let count = max(1, min(configuration.threads ?? min(max(cores / 2, 2), 8), 64))
        var workers: [Worker] = []
        for _ in 0..<count where Self.initialized {
            if let worker = Worker(configuration, authorityFile: authorityFile, sources: sources) { workers.append(worker) }
        }
        guard !workers.isEmpty else {
            throw SettingError(
                field: "threads", value: "\(count)", problem: "no transfer thread could be started",
                remedy: "raise the limits on threads and memory")
        }
        self.workers = workers
    }

    deinit { shutDown() }

    /// Transfers submitted and not completed.
    public var inFlight: Int { workers.reduce(0) { $0 + $1.load.load(ordering: .relaxed) } }

    /// Cancels what is in flight (their completions are called) and ends the threads. Later submissions complete with
    /// `cancelled`. Returns when the threads are gone; not to be called from a completion.
    public func shutDown() {
        let first = ended.withLock { ended in
            defer { ended = true }
            return !ended
        }
        guard first else { return }
        for worker in workers { worker.stop() }
        for worker in workers { worker.join() }
    }

    /// Ends a transfer soon; its completion is called with `StoreError.cancelled` unless it was done already.
    public func cancel(_ id: TransferID) {
        guard workers.indices.contains(id.worker) else { return }
        workers[id.worker].cancel(id.value)
    }

    /// Starts an exchange on the least loaded thread, or on `worker` (to keep a repeated request's identifier valid).
    @discardableResult
    func submit(
        url: String, method: String, headers: [String], body: Transfer.Body, repeating repeated: TransferID? = nil,
        completion: @escaping @Sendable (Result<Transfer.Answer, StoreError>) -> Void
    ) -> TransferID {
        let value = repeated?.value ?? lastIdentifier.wrappingAdd(1, ordering: .relaxed).newValue
        // Choosing and counting in one step: submitters that choose together would choose the same thread.
        let (id, taken) = placement.withLock { _ in
            let index =
                repeated?.worker
                ?? workers.indices.min {
                    workers[$0].load.load(ordering: .relaxed) < workers[$1].load.load(ordering: .relaxed)
                } ?? 0
            let id = TransferID(value: value, worker: index)
            let transfer = Transfer(
                id: id, url: url, method: method, headers: headers, body: body, completion: completion)
            return (id, workers[index].submit(transfer))
        }
        if !taken { completion(.failure(StoreError(.cancelled, detail: "the transfer engine was shut down"))) }
        return id
    }
}
