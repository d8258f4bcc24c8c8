import CurlShim
import Glibc
import Synchronization

/// One engine thread with its curl_multi: connections and handles are its own and are reused.
///
/// @unchecked Sendable: the fields outside `inbox` are touched by the worker's thread alone; `multi` is also given to
/// `curl_multi_wakeup`, which libcurl documents as safe from any thread while the handle lives.
final class Worker: @unchecked Sendable {
    private struct Inbox {
        var submitted: [Transfer] = []
        var cancelled: [UInt64] = []
        var stops = false
        /// Set by the thread at its end; nothing is accepted or woken any more.
        var ended = false
    }

    private let inbox = Mutex(Inbox())
    private let multi: UnsafeMutableRawPointer
    private let configuration: TransferEngineConfiguration
    private let authorityFile: String?
    private var thread = pthread_t()
    private var active: [UInt64: (transfer: Transfer, entry: HandlePool.Entry)] = [:]
    private var pool: HandlePool
    let load = Atomic<Int>(0)

    /// libcurl reads up to this many bytes at once. 128 to 512 KiB measured alike, 16 KiB slower.
    private static let receiveBufferBytes = 128 * 1024

    init?(_ configuration: TransferEngineConfiguration, authorityFile: String?, sources: SourceAddresses) {
        guard let multi = curl_multi_init() else { return nil }
        self.multi = multi
        self.configuration = configuration
        self.authorityFile = authorityFile
        self.pool = HandlePool(sources)
        // As many idle connections as a busy node has in flight, so that none is dialled again.
        mc_curl_multi_set_long(multi, CURLMOPT_MAXCONNECTS, 512)
        mc_curl_multi_set_long(multi, CURLMOPT_PIPELINING, 0)
        let context = Unmanaged.passRetained(self).toOpaque()
        let failed = pthread_create(&thread, nil, { context in
            guard let context else { return nil }
            let worker = Unmanaged<Worker>.fromOpaque(context).takeRetainedValue()
            worker.run()
            return nil
        }, context)
        if failed != 0 {
            Unmanaged<Worker>.fromOpaque(context).release()
            curl_multi_cleanup(multi)
            return nil
        }
    }

    /// Takes the transfer, or false when the worker has stopped.
    func submit(_ transfer: Transfer) -> Bool {
        inbox.withLock { inbox in
            guard !inbox.stops else { return false }
            inbox.submitted.append(transfer)
            load.wrappingAdd(1, ordering: .relaxed)
            curl_multi_wakeup(multi)
            return true
        }
    }

    func cancel(_ identifier: UInt64) {
        inbox.withLock { inbox in
            guard !inbox.ended else { return }
            inbox.cancelled.append(identifier)
            curl_multi_wakeup(multi)
        }
    }

    /// Asks the thread to end; `join` waits for it.
    func stop() {
        inbox.withLock { inbox in
            inbox.stops = true
            if !inbox.ended { curl_multi_wakeup(multi) }
        }
    }

    /// The engine's last owner may be a completion, which runs on this very thread: it ends by itself then.
    func join() {
        if pthread_equal(thread, pthread_self()) != 0 { pthread_detach(thread) } else { pthread_join(thread, nil) }
    }

    // MARK: On the thread

    private func run() {
        // A store that closes a connection must not kill the process; libcurl with NOSIGNAL leaves SIGPIPE to us.
        var signals = sigset_t()
        sigfillset(&signals)
        pthread_sigmask(SIG_BLOCK, &signals, nil)
        while true {
            let (submitted, cancelled, stops) = inbox.withLock { inbox in
                defer {
                    inbox.submitted = []
                    inbox.cancelled = []
                }
                return (inbox.submitted, inbox.cancelled, inbox.stops)
            }
            // In this order: a transfer that is repeated under its identifier may be submitted and cancelled at once.
            for transfer in submitted { start(transfer) }
            for identifier in cancelled { end(identifier, with: StoreError(.cancelled, detail: "cancelled")) }
            if stops { break }
            var running: Int32 = 0
            curl_multi_perform(multi, &running)
            var result = CURLE_OK
            while let handle = mc_curl_multi_finished(multi, &result) { finish(handle, result) }
            curl_multi_poll(multi, nil, 0, 1000, nil)
        }
        for identifier in Array(active.keys) {
            end(identifier, with: StoreError(.cancelled, detail: "the transfer engine was shut down"))
        }
        inbox.withLock { $0.ended = true }
        pool.drain()
        curl_multi_cleanup(multi)
    }

    private func start(_ transfer: Transfer) {
        guard let entry = pool.take() else {
            load.wrappingSubtract(1, ordering: .relaxed)
            return transfer.finish(with: StoreError(.settings, detail: "out of memory", remedy: "give the agent more"))
        }
        transfer.source = pool.sources.addresses[entry.source]
        prepare(entry.handle, for: transfer)
        let added = curl_multi_add_handle(multi, entry.handle)
        guard added == CURLM_OK else {
            release(transfer, entry)
            return transfer.finish(with: StoreError(.connectionLost, detail: String(cString: curl_multi_strerror(added))))
        }
        active[transfer.identifier] = (transfer, entry)
    }

    private func prepare(_ handle: UnsafeMutableRawPointer, for transfer: Transfer) {
        curl_easy_reset(handle)
        func set(_ option: CURLoption, _ value: Int) { mc_curl_set_long(handle, option, value) }
        func set(_ option: CURLoption, _ value: String) { mc_curl_set_string(handle, option, value) }
        for header in transfer.headers { transfer.list = curl_slist_append(transfer.list, header) }
        let context = Unmanaged.passUnretained(transfer).toOpaque()
        set(CURLOPT_URL, transfer.url)
        mc_curl_set_list(handle, CURLOPT_HTTPHEADER, transfer.list)
        mc_curl_set_pointer(handle, CURLOPT_PRIVATE, context)
        mc_curl_set_pointer(handle, CURLOPT_ERRORBUFFER, transfer.errorText)
        mc_curl_set_pointer(handle, CURLOPT_WRITEDATA, context)
        mc_curl_set_pointer(handle, CURLOPT_HEADERDATA, context)
        mc_curl_set_bytes(handle, CURLOPT_WRITEFUNCTION) { bytes, size, count, context in
            guard let context else { return 0 }
            let transfer = Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue()
            let piece = UnsafeRawBufferPointer(start: bytes, count: size * count)
            return transfer.receive(body: piece) ? size * count : 0
        }
        mc_curl_set_bytes(handle, CURLOPT_HEADERFUNCTION) { bytes, size, count, context in
            guard let context else { return 0 }
            let transfer = Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue()
            let line = UnsafeRawBufferPointer(start: bytes, count: size * count)
            return transfer.receive(header: line) ? size * count : 0
        }
        if transfer.method == "HEAD" { set(CURLOPT_NOBODY, 1) }
        set(CURLOPT_BUFFERSIZE, Self.receiveBufferBytes)
        set(CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1)
        set(CURLOPT_PROTOCOLS_STR, "http,https")
        set(CURLOPT_FOLLOWLOCATION, 0)
        set(CURLOPT_PATH_AS_IS, 1)
        set(CURLOPT_NOSIGNAL, 1)
        // The store is named by its endpoint; a proxy from the environment would see signed requests.
        set(CURLOPT_PROXY, "")
        set(CURLOPT_TCP_NODELAY, 1)
        set(CURLOPT_TCP_KEEPALIVE, 1)
        set(CURLOPT_TCP_KEEPIDLE, 30)
        set(CURLOPT_TCP_KEEPINTVL, 10)
        // Each lookup shuffles the endpoint's addresses, so nodes and threads spread over them. The connections that one
        // thread opens within a lookup's life share its first address: that is no even spread within a burst.
        set(CURLOPT_DNS_SHUFFLE_ADDRESSES, 1)
        set(CURLOPT_DNS_CACHE_TIMEOUT, 5)
        set(CURLOPT_CONNECTTIMEOUT_MS, max(1, configuration.connectTimeout.milliseconds))
        set(CURLOPT_LOW_SPEED_TIME, max(1, (configuration.stallTimeout.milliseconds + 999) / 1000))
        set(CURLOPT_LOW_SPEED_LIMIT, max(1, configuration.stallBytesPerSecond))
        set(CURLOPT_SSL_VERIFYPEER, 1)
        set(CURLOPT_SSL_VERIFYHOST, 2)
        set(CURLOPT_SSLVERSION, Int(CURL_SSLVERSION_TLSv1_2))
        if let authorityFile { set(CURLOPT_CAINFO, authorityFile) }
        if let source = transfer.source {
            set(CURLOPT_INTERFACE, "host!\(source)")
            // A source address reaches the addresses of its own family alone.
            set(CURLOPT_IPRESOLVE, Int(source.contains(":") ? CURL_IPRESOLVE_V6 : CURL_IPRESOLVE_V4))
        }
    }

    private func finish(_ handle: UnsafeMutableRawPointer, _ result: CURLcode) {
        guard let context = mc_curl_private(handle) else { return }
        let transfer = Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue()
        guard let entry = active.removeValue(forKey: transfer.identifier)?.entry else { return }
        curl_multi_remove_handle(multi, handle)
        load.wrappingSubtract(1, ordering: .relaxed)
        transfer.finish(result: result, handle: handle)
        recycle(transfer, entry)
    }

    private func end(_ identifier: UInt64, with error: StoreError) {
        guard let (transfer, entry) = active.removeValue(forKey: identifier) else { return }
        curl_multi_remove_handle(multi, entry.handle)
        release(transfer, entry)
        transfer.finish(with: error)
    }

    private func release(_ transfer: Transfer, _ entry: HandlePool.Entry) {
        load.wrappingSubtract(1, ordering: .relaxed)
        recycle(transfer, entry)
    }

    private func recycle(_ transfer: Transfer, _ entry: HandlePool.Entry) {
        curl_easy_reset(entry.handle)
        curl_slist_free_all(transfer.list)
        transfer.list = nil
        pool.give(entry)
    }
}

extension Duration {
    var milliseconds: Int {
        Int(components.seconds) * 1000 + Int(components.attoseconds / 1_000_000_000_000_000)
    }
}
