// RangeTransfer: ranges of objects over HTTP, at the speed of the link.
//
// A client submits a request with a sink; a thread of the engine carries it out and calls the completion once.
// - `TransferEngine` has the threads and gives each request to the least loaded one.
// - `Worker` is one thread: a curl_multi, idle connections, handles bound to source addresses (`SourceAddresses`).
// - `Transfer` is one exchange. `RangeCheck` decides from the head whether the body is the requested range.
// - `DirectExchange` speaks HTTP on a socket that libcurl connected, and receives into the sink's memory.
// - `TLSTrust` has the authorities (`AuthorityWatch` sees them change) and sessions (`SessionShelf`) for its TLS.
// Invariants: nothing of a response reaches a sink before its head is right; a completion is called exactly once.
// Left to others: signatures, the meaning of a status, retries, and how many requests are in flight.

import CurlShim
import Glibc
import Synchronization
public import TextCoding

/// The settings of an engine.
public struct TransferEngineConfiguration: Sendable {
    /// Threads that receive, decrypt and hand bytes to sinks. Nil: one for each two cores, 2 to 8.
    public var threads: Int?
    /// `HTTP_SOURCE_IP`: connections leave from these addresses, evenly. Empty: the kernel chooses.
    public var sourceAddresses: [String]
    /// PEM file of trusted authorities; nil: `SSL_CERT_FILE` of the process, else the system's.
    public var authorityFile: String?
    /// Folder of trusted authorities with names as `openssl rehash` makes them, several with colons between; nil:
    /// `SSL_CERT_DIR` of the process, else the system's.
    public var authorityFolder: String?
    /// Through which hosts are reached.
    public var proxies: ProxySettings
    /// Whether a certificate must name the host; false where an authority of our own signs nobody else.
    public var verifiesHostName: Bool
    /// How long bytes of a range may gather in the kernel before a thread is woken for them: a wake for every segment
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
        authorityFolder: String? = nil, proxies: ProxySettings = .none, verifiesHostName: Bool = true,
        wakeInterval: Duration = .milliseconds(10),
        connectTimeout: Duration = .seconds(10), stallTimeout: Duration = .seconds(15), stallBytesPerSecond: Int = 1024,
        addressGuard: AddressGuard? = nil
    ) {
        self.addressGuard = addressGuard
        self.threads = threads
        self.sourceAddresses = sourceAddresses
        self.authorityFile = authorityFile
        self.authorityFolder = authorityFolder
        self.proxies = proxies
        self.verifiesHostName = verifiesHostName
        self.wakeInterval = wakeInterval
        self.connectTimeout = connectTimeout
        self.stallTimeout = stallTimeout
        self.stallBytesPerSecond = stallBytesPerSecond
    }
}

/// HTTP transfers on threads of its own, shared by every client of the process.
///
/// Submitted transfers start at once: the submitter decides how many are in flight.
///
/// libcurl resolves, connects and binds source addresses. Ranged GETs are then spoken by the engine itself on the
/// connected socket (`DirectExchange`), over OpenSSL where the URL says so: libcurl hands a body out 16 KiB at a time
/// from its own buffer, which costs a copy of every byte, and with TLS makes three system calls for each. All other
/// requests, and those through a proxy, are libcurl's from end to end.
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
        let authorities = try Authorities(
            file: configuration.authorityFile, folder: configuration.authorityFolder,
            verifiesHostName: configuration.verifiesHostName)
        let trust = TLSTrust(authorities, verifiesHostName: configuration.verifiesHostName)
        let cores = sysconf(Int32(_SC_NPROCESSORS_ONLN))
        let count = max(1, min(configuration.threads ?? min(max(cores / 2, 2), 8), 64))
        var workers: [Worker] = []
        for _ in 0..<count where Self.initialized {
            if let worker = Worker(configuration, authorities: authorities, trust: trust, sources: sources) {
                workers.append(worker)
            }
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

    /// Ends a transfer soon; its completion is called with `TransferError.cancelled` unless it was done already.
    public func cancel(_ id: TransferID) {
        guard workers.indices.contains(id.worker) else { return }
        workers[id.worker].cancel(id.value)
    }

    /// Reads nothing more of a transfer for now; what the windows hold still comes to this machine. It does not stall
    /// meanwhile. Nothing for one that has ended.
    public func pause(_ id: TransferID) {
        guard workers.indices.contains(id.worker) else { return }
        workers[id.worker].pause(id.value, true)
    }

    /// Goes on with a transfer that was paused.
    public func resume(_ id: TransferID) {
        guard workers.indices.contains(id.worker) else { return }
        workers[id.worker].pause(id.value, false)
    }

    /// Starts an exchange on the least loaded thread, or on `worker` (to keep a repeated request's identifier valid).
    @discardableResult
    package func submit(
        url: String, method: String, headers: [String], body: TransferBody, repeating repeated: TransferID? = nil,
        completion: @escaping @Sendable (Result<TransferResponse, TransferError>) -> Void
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
        if !taken { completion(.failure(TransferError(.cancelled, detail: "the transfer engine was shut down"))) }
        return id
    }
}
