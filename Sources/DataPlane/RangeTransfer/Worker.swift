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
        /// Whether each is to rest, in the order in which it was said.
        var paused: [(identifier: UInt64, isPaused: Bool)] = []
        var stops = false
        /// Set by the thread at its end; nothing is accepted or woken any more.
        var ended = false
    }

    /// A transfer that the thread works on.
    private struct Active {
        enum Way {
            /// libcurl carries it out.
            case curl
            /// libcurl makes the connection, which the engine will use itself.
            case connecting(DirectOrigin, target: Substring)
            case direct(DirectExchange)
        }

        let transfer: Transfer
        let entry: HandlePool.Entry
        let way: Way
    }

    private let inbox = Mutex(Inbox())
    private let multi: UnsafeMutableRawPointer
    private let configuration: TransferEngineConfiguration
    private let authorities: Authorities
    private let trust: TLSTrust
    private var thread = pthread_t()
    private var active: [UInt64: Active] = [:]
    private var pool: HandlePool
    private var idle = DirectIdle()
    /// The sockets of the exchanges in `active`, and the exchanges in the same order.
    private var watched: [curl_waitfd] = []
    private var exchanges: [DirectExchange] = []
    private var lastLook = ContinuousClock.now
    private let scratch = Scratch()
    let load = Atomic<Int>(0)

    /// libcurl reads up to this many bytes at once. 128 to 512 KiB measured alike, 16 KiB slower.
    private static let receiveBufferBytes = 128 * 1024

    init?(
        _ configuration: TransferEngineConfiguration, authorities: Authorities, trust: TLSTrust,
        sources: SourceAddresses
    ) {
        guard let multi = curl_multi_init() else { return nil }
        self.multi = multi
        self.configuration = configuration
        self.authorities = authorities
        self.trust = trust
        self.pool = HandlePool(sources)
        // As many idle connections as a busy node has in flight, so that none is dialled again.
        mc_curl_multi_set_long(multi, CURLMOPT_MAXCONNECTS, 512)
        mc_curl_multi_set_long(multi, CURLMOPT_PIPELINING, 0)
        let context = Unmanaged.passRetained(self).toOpaque()
        let failed = pthread_create(
            &thread, nil,
            { context in
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

    deinit { scratch.deallocate() }

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

    /// Nothing more is read of the transfer until it is resumed: the store's window closes when it is full.
    func pause(_ identifier: UInt64, _ isPaused: Bool) {
        inbox.withLock { inbox in
            guard !inbox.ended else { return }
            inbox.paused.append((identifier, isPaused))
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
        // A server that closes a connection must not kill the process; libcurl with NOSIGNAL leaves SIGPIPE to us.
        var signals = sigset_t()
        sigfillset(&signals)
        pthread_sigmask(SIG_BLOCK, &signals, nil)
        while true {
            let (submitted, cancelled, paused, stops) = inbox.withLock { inbox in
                defer {
                    inbox.submitted = []
                    inbox.cancelled = []
                    inbox.paused = []
                }
                return (inbox.submitted, inbox.cancelled, inbox.paused, inbox.stops)
            }
            // In this order: a transfer that is repeated under its identifier may be submitted and cancelled at once.
            for transfer in submitted { start(transfer) }
            for (identifier, isPaused) in paused { set(identifier, isPaused) }
            for identifier in cancelled { end(identifier, with: TransferError(.cancelled, detail: "cancelled")) }
            if stops { break }
            var running: Int32 = 0
            curl_multi_perform(multi, &running)
            var result = CURLE_OK
            while let handle = mc_curl_multi_finished(multi, &result) { finish(handle, result) }
            curl_multi_poll(multi, &watched, UInt32(watched.count), pollMilliseconds, nil)
            proceed()
            collect()
            look()
        }
        for identifier in Array(active.keys) {
            end(identifier, with: TransferError(.cancelled, detail: "the transfer engine was shut down"))
        }
        inbox.withLock { $0.ended = true }
        idle.drain()
        pool.drain()
        curl_multi_cleanup(multi)
    }

    private func start(_ transfer: Transfer) {
        // A transfer that is repeated while it goes on makes way: two under one identifier would be taken for each
        // other, and the first would never end.
        end(transfer.identifier, with: TransferError(.cancelled, detail: "the transfer was repeated"))
        guard let entry = pool.take(for: transfer.expectedBytes) else {
            load.wrappingSubtract(1, ordering: .relaxed)
            return transfer.finish(
                with: TransferError(.outOfMemory, detail: "out of memory", remedy: "give the process more"))
        }
        transfer.source = pool.sources.addresses[entry.source]
        transfer.proxy = configuration.proxies.proxy(for: transfer.url)
        guard case .range = transfer.body, transfer.proxy == nil,
            let (origin, target) = DirectOrigin.parse(transfer.url)
        else {
            return hand(transfer, entry, .curl)
        }
        if let connection = idle.take(origin, source: entry.source, now: .now) {
            begin(transfer, entry, on: connection, target: target, isReused: true)
        } else {
            hand(transfer, entry, .connecting(origin, target: target))
        }
    }

    /// To libcurl.
    private func hand(_ transfer: Transfer, _ entry: HandlePool.Entry, _ way: Active.Way) {
        transfer.connectBegan = .now
        prepare(entry.handle, for: transfer, way)
        let added = curl_multi_add_handle(multi, entry.handle)
        guard added == CURLM_OK else {
            release(transfer, entry)
            return transfer.finish(
                with: TransferError(.connectionLost, detail: String(cString: curl_multi_strerror(added))))
        }
        active[transfer.identifier] = Active(transfer: transfer, entry: entry, way: way)
    }

    private func begin(
        _ transfer: Transfer, _ entry: HandlePool.Entry, on connection: DirectConnection, target: Substring,
        isReused: Bool
    ) {
        let seconds = max(1, (configuration.stallTimeout.milliseconds + 999) / 1000)
        let speed = SpeedWatch(
            bytesPerSecond: max(1, configuration.stallBytesPerSecond), limit: .seconds(seconds), now: .now)
        let exchange = DirectExchange(
            transfer: transfer, entry: entry, connection: connection, target: target, isReused: isReused, speed: speed,
            openDeadline: transfer.connectBegan + configuration.connectTimeout,
            wakeInterval: configuration.wakeInterval, now: .now)
        active[transfer.identifier] = Active(transfer: transfer, entry: entry, way: .direct(exchange))
        precondition(exchanges.count == watched.count, "each exchange has its socket at its own index")
        exchanges.append(exchange)
        watched.append(curl_waitfd(fd: connection.descriptor, events: exchange.events, revents: 0))
        if case .waits = step(exchange) { watch(exchange) }
    }

    private func prepare(_ handle: UnsafeMutableRawPointer, for transfer: Transfer, _ way: Active.Way) {
        curl_easy_reset(handle)
        func set(_ option: CURLoption, _ value: Int) { mc_curl_set_long(handle, option, value) }
        func set(_ option: CURLoption, _ value: String) { mc_curl_set_string(handle, option, value) }
        let context = Unmanaged.passUnretained(transfer).toOpaque()
        if case .connecting(let origin, _) = way {
            set(CURLOPT_URL, origin.url)
            set(CURLOPT_CONNECT_ONLY, 1)
        } else {
            for header in transfer.headers { transfer.list = curl_slist_append(transfer.list, header) }
            set(CURLOPT_URL, transfer.url)
            mc_curl_set_list(handle, CURLOPT_HTTPHEADER, transfer.list)
        }
        mc_curl_set_pointer(handle, CURLOPT_PRIVATE, context)
        mc_curl_set_pointer(handle, CURLOPT_ERRORBUFFER, transfer.errorText)
        mc_curl_set_pointer(handle, CURLOPT_WRITEDATA, context)
        mc_curl_set_pointer(handle, CURLOPT_HEADERDATA, context)
        mc_curl_set_bytes(handle, CURLOPT_WRITEFUNCTION) { bytes, size, count, context in
            guard let context else { return 0 }
            let transfer = Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue()
            if transfer.isPaused { return Int(CURL_WRITEFUNC_PAUSE) }
            let body = UnsafeRawBufferPointer(start: bytes, count: size * count)
            return transfer.receive(body: body) ? size * count : 0
        }
        mc_curl_set_bytes(handle, CURLOPT_HEADERFUNCTION) { bytes, size, count, context in
            guard let context else { return 0 }
            let transfer = Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue()
            let line = UnsafeRawBufferPointer(start: bytes, count: size * count)
            return transfer.receive(header: line) ? size * count : 0
        }
        // A proxy's address is the process's owner's choice; the proxy connects to the store.
        if transfer.proxy == nil, let guarding = configuration.addressGuard {
            transfer.addressGuard = guarding
            mc_curl_set_open_socket(
                handle, { context, _, address in AddressGuard.openSocket(context, address) }, context)
        }
        if transfer.method == "HEAD" { set(CURLOPT_NOBODY, 1) }
        set(CURLOPT_BUFFERSIZE, Self.receiveBufferBytes)
        set(CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1)
        set(CURLOPT_PROTOCOLS_STR, "http,https")
        set(CURLOPT_FOLLOWLOCATION, 0)
        set(CURLOPT_PATH_AS_IS, 1)
        set(CURLOPT_NOSIGNAL, 1)
        // Without it, ending a transfer that waits for DNS would hold up this whole thread until DNS answers.
        set(CURLOPT_QUICK_EXIT, 1)
        setProxy(of: transfer, on: handle)
        set(CURLOPT_TCP_NODELAY, 1)
        set(CURLOPT_TCP_KEEPALIVE, 1)
        set(CURLOPT_TCP_KEEPIDLE, 30)
        set(CURLOPT_TCP_KEEPINTVL, 10)
        // Each lookup shuffles the endpoint's addresses, so nodes and threads spread over them. The connections that
        // one thread opens within a lookup's life share its first address: that is no even spread within a burst.
        set(CURLOPT_DNS_SHUFFLE_ADDRESSES, 1)
        set(CURLOPT_DNS_CACHE_TIMEOUT, 5)
        set(CURLOPT_CONNECTTIMEOUT_MS, max(1, configuration.connectTimeout.milliseconds))
        set(CURLOPT_LOW_SPEED_TIME, max(1, (configuration.stallTimeout.milliseconds + 999) / 1000))
        set(CURLOPT_LOW_SPEED_LIMIT, max(1, configuration.stallBytesPerSecond))
        set(CURLOPT_SSL_VERIFYPEER, 1)
        set(CURLOPT_SSL_VERIFYHOST, configuration.verifiesHostName ? 2 : 0)
        set(CURLOPT_SSLVERSION, Int(CURL_SSLVERSION_TLSv1_2))
        setAuthorities(on: handle)
        if let source = transfer.source {
            set(CURLOPT_INTERFACE, "host!\(source)")
            // A source address reaches the addresses of its own family alone.
            set(CURLOPT_IPRESOLVE, Int(source.contains(":") ? CURL_IPRESOLVE_V6 : CURL_IPRESOLVE_V4))
        }
    }

    /// libcurl would keep authorities for a day and sessions without an end, also when the file has changed. Now it
    /// reads them for each of its connections; most that it makes are the engine's own before TLS.
    private func setAuthorities(on handle: UnsafeMutableRawPointer) {
        mc_curl_set_string(handle, CURLOPT_CAINFO, authorities.file)
        mc_curl_set_string(handle, CURLOPT_CAPATH, authorities.folder)
        mc_curl_set_long(handle, CURLOPT_CA_CACHE_TIMEOUT, 0)
        mc_curl_set_long(handle, CURLOPT_SSL_SESSIONID_CACHE, 0)
    }

    /// An empty CURLOPT_PROXY and CURLOPT_NOPROXY keep libcurl from reading the environment itself.
    private func setProxy(of transfer: Transfer, on handle: UnsafeMutableRawPointer) {
        mc_curl_set_string(handle, CURLOPT_NOPROXY, "")
        mc_curl_set_string(handle, CURLOPT_PROXY, transfer.proxy?.url ?? "")
        guard let proxy = transfer.proxy else { return }
        if let user = proxy.user { mc_curl_set_string(handle, CURLOPT_PROXYUSERNAME, user) }
        if let password = proxy.password { mc_curl_set_string(handle, CURLOPT_PROXYPASSWORD, password) }
        if let file = authorities.file { mc_curl_set_string(handle, CURLOPT_PROXY_CAINFO, file) }
        if let folder = authorities.folder { mc_curl_set_string(handle, CURLOPT_PROXY_CAPATH, folder) }
        // The proxy's own answer to CONNECT is no head of the store's.
        mc_curl_set_long(handle, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1)
    }

    private func finish(_ handle: UnsafeMutableRawPointer, _ result: CURLcode) {
        guard let context = mc_curl_private(handle) else { return }
        let transfer = Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue()
        guard let (entry, way) = active.removeValue(forKey: transfer.identifier).map({ ($0.entry, $0.way) }) else {
            return
        }
        if case .connecting(let origin, let target) = way, result == CURLE_OK {
            let connection = DirectConnection(of: handle, origin: origin, source: entry.source, trust: trust)
            curl_multi_remove_handle(multi, handle)
            // Without a connection of its own it is libcurl's again, which says why if there is none.
            guard let connection else { return hand(transfer, entry, .curl) }
            return begin(transfer, entry, on: connection, target: target, isReused: false)
        }
        curl_multi_remove_handle(multi, handle)
        load.wrappingSubtract(1, ordering: .relaxed)
        transfer.finish(result: result, handle: handle)
        recycle(transfer, entry)
    }

    private func set(_ identifier: UInt64, _ isPaused: Bool) {
        // One that has ended meanwhile is not there any more.
        guard let found = active[identifier], found.transfer.isPaused != isPaused else { return }
        found.transfer.isPaused = isPaused
        switch found.way {
        case .direct(let exchange):
            if !isPaused { exchange.resumes(now: .now) }
            watch(exchange)
        // It pauses by itself when its next bytes come.
        case .curl: if !isPaused { curl_easy_pause(found.entry.handle, CURLPAUSE_CONT) }
        case .connecting: break
        }
    }

    private func end(_ identifier: UInt64, with error: TransferError) {
        guard let ended = active.removeValue(forKey: identifier) else { return }
        if case .direct(let exchange) = ended.way {
            forget(exchange)
            exchange.connection.end()
        } else {
            curl_multi_remove_handle(multi, ended.entry.handle)
        }
        release(ended.transfer, ended.entry)
        ended.transfer.finish(with: error)
    }

    // MARK: Exchanges of our own

    /// Gives every exchange that is ready its turn.
    private func proceed() {
        // From the end: one that is done leaves the arrays, and a new one that begins in its place goes to their end.
        var index = watched.count
        while index > 0 {
            index -= 1
            guard index < watched.count, watched[index].revents != 0 || exchanges[index].isReady else { continue }
            watched[index].revents = 0
            let exchange = exchanges[index]
            if case .waits = step(exchange) { watch(exchange) }
        }
    }

    /// One turn; `waits` when the exchange goes on.
    private func step(_ exchange: DirectExchange) -> DirectExchange.Outcome {
        let outcome = exchange.proceed(scratch)
        let transfer = exchange.transfer
        if case .waits = outcome { return outcome }
        forget(exchange)
        active[transfer.identifier] = nil
        if case .done = outcome { trust.keepSession(of: exchange.connection) }
        if case .failed = outcome { forgetSessions(of: exchange) }
        if case .done(reusable: true) = outcome {
            idle.give(exchange.connection, now: .now)
        } else {
            exchange.connection.end()
        }
        if case .stale = outcome, let (origin, target) = DirectOrigin.parse(transfer.url) {
            hand(transfer, exchange.entry, .connecting(origin, target: target))
            return outcome
        }
        release(transfer, exchange.entry)
        if case .failed(let code, let text) = outcome {
            transfer.finish(exchange, code: code, text: text)
        } else {
            transfer.finish(exchange)
        }
        return outcome
    }

    /// poll(2) passes a negative descriptor over: a hang-up of a paused one would be reported again and again.
    private func watch(_ exchange: DirectExchange) {
        guard let index = exchanges.firstIndex(where: { $0 === exchange }) else {
            preconditionFailure("an exchange that has ended is not watched any more")
        }
        let rests = exchange.rests
        watched[index].fd = rests ? -1 : exchange.connection.descriptor
        watched[index].events = exchange.events
        watched[index].revents = 0
    }

    private func forget(_ exchange: DirectExchange) {
        guard let index = exchanges.firstIndex(where: { $0 === exchange }) else {
            preconditionFailure("an exchange ends once")
        }
        exchanges.remove(at: index)
        watched.remove(at: index)
    }

    /// How long poll may wait: gathered bytes are not left lying when their rest is late.
    private var pollMilliseconds: Int32 {
        if exchanges.contains(where: \.isReady) { return 0 }
        return exchanges.contains { $0.gathers && !$0.rests }
            ? Int32(clamping: max(20, 2 * configuration.wakeInterval.milliseconds)) : 1000
    }

    /// Takes what lies below a low-water mark that was not reached in time: the link became slower than it was.
    private func collect() {
        let now = ContinuousClock.now
        for exchange in exchanges where !exchange.rests && exchange.isOverdue(now: now) {
            if case .waits = step(exchange) { watch(exchange) }
        }
    }

    /// Once a second: what has stalled, and which idle connections are of no use any more.
    private func look() {
        let now = ContinuousClock.now
        guard lastLook.duration(to: now) >= .seconds(1) else { return }
        lastLook = now
        for exchange in exchanges {
            if exchange.isLateToOpen(now: now) {
                timeOut(exchange, "SSL connection timeout")
            } else if !exchange.rests, exchange.isStalled(now: now) {
                timeOut(
                    exchange,
                    "Operation too slow. Less than \(max(1, configuration.stallBytesPerSecond)) bytes/sec transferred the last "
                        + "\(max(1, (configuration.stallTimeout.milliseconds + 999) / 1000)) seconds")
            }
        }
        idle.prune(now: now)
    }

    private func forgetSessions(of exchange: DirectExchange) {
        guard exchange.connection.isSecure, exchange.isUnanswered else { return }
        trust.forgetSessions(of: exchange.connection.origin)
    }

    private func timeOut(_ exchange: DirectExchange, _ text: String) {
        forgetSessions(of: exchange)
        active[exchange.transfer.identifier] = nil
        forget(exchange)
        exchange.connection.end()
        release(exchange.transfer, exchange.entry)
        exchange.transfer.finish(exchange, code: CURLE_OPERATION_TIMEDOUT, text: text)
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
