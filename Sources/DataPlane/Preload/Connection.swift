import AgentWire
import PreloadShim

// The connection of each cache to its agent: a state that the library's thread alone has, and one step after each wake
// of that thread. No step waits; what a step waits for is polled together with the faults. A cache that nobody needs
// takes no step.
//
//     away -> asking -> open -> away          the agent answers, goes, comes again
//     away -> starting -> asking              nobody answers and an agent can be started
//     any  -> stopped                         the agent refuses for a reason that time does not cure
//
// In a first opening a refusal, or a deadline that passed, ends the program, since it could not have begun without the
// model. Later the readers see `stopped` or `gone_since` and get EIO.

/// Of the library's thread alone, and of a forked child before it has one.
struct Connection {
    private enum State {
        case away(retryAt: Int64)
        /// An agent was started, and its standard error is watched.
        case starting(since: Int64, hasEnded: Bool)
        /// MC_OPEN is sent.
        case asking(since: Int64)
        case open
        case stopped
    }

    private let cache: Cache
    private var state = State.away(retryAt: 0)
    /// An agent was there once, so one may come again.
    private var hasConnected = false
    /// Since when an agent is there and asked, however often; nil: nobody listens.
    private var askedSince: Int64? = nil
    /// The last agent could not reach the store. It has the store's deadline, not the agent's.
    private var storeIsUnreachable = false
    /// The line is said that a node's agent is waited for, or an answer.
    private var hasToldWait = false, hasToldSilence = false
    /// The refusal that was told last, and when; 0: none.
    private var toldRefusal: UInt64 = 0, toldRefusalAt: Int64 = 0
    /// The last words of a started agent, or of a refusal. It gets its memory at the first step.
    private var reason: Text! = nil
    /// When an agent may be started again.
    private var startAgainAt: Int64 = 0
    /// Faults that wait for chunks of this cache, and when the oldest wait without an answer began.
    var waits = 0
    var waitingSince: Int64 = 0

    fileprivate init(_ cache: Cache) { self.cache = cache }

    private var isFirst: Bool { !cache.isOpen }
}

/// Safe: the pointer is written once by `start`.
nonisolated(unsafe) private var connections: UnsafeMutablePointer<Connection>? = nil

/// Called once, when the table of caches is made.
func makeConnections() {
    connections = ossc_allocate(cacheCount * MemoryLayout<Connection>.stride)?
        .assumingMemoryBound(to: Connection.self)
    guard let connections else { refuse("MODEL_DIR", "cannot be used: no memory; free some") }
    for index in 0..<cacheCount { (connections + index).initialize(to: Connection(cache(at: index))) }
}

/// The state of the cache's connection, in place.
func connection(of cache: Cache) -> UnsafeMutablePointer<Connection> {
    connections.unsafelyUnwrapped + Int(cache.pointee.index)
}

/// In a forked child, which has one thread: the connections are the parent's.
func forgetConnections() {
    for index in 0..<cacheCount { connection(of: cache(at: index)).pointee.forget() }
}

private let retryMilliseconds: Int64 = 200
private let startMilliseconds: Int64 = 10_000
/// How long an agent may be silent before the program's user is told what is waited for.
private let silenceMilliseconds: Int64 = 5_000
/// Another refusal is told no sooner than this after the last one.
private let refusalMilliseconds: Int64 = 10_000

extension Connection {
    /// How long the thread may sleep at most while somebody needs the model.
    var patience: Int32 {
        switch state {
        case .away(let retryAt): Int32(max(1, min(retryAt - ossc_now_milliseconds(), 1000)))
        case .starting: 20
        case .asking, .open, .stopped: 1000
        }
    }

    /// The link under the lock that a dup2 onto its number takes: it may not be moved meanwhile.
    private func withLink<R>(_ body: (Int32) -> R) -> R {
        ossc_lock(descriptorsLock)
        let result = body(ossc_cache_link(cache))
        ossc_unlock(descriptorsLock)
        return result
    }

    private func dropLink() {
        ossc_lock(descriptorsLock)
        let link = ossc_cache_link(cache), lock = ossc_cache_start_lock(cache)
        ossc_cache_set_session(cache, -1)
        ossc_cache_set_link(cache, -1)
        ossc_cache_set_start_lock(cache, -1)
        if link >= 0 { releaseOwn(link) }
        if lock >= 0 { releaseOwn(lock) }
        ossc_unlock(descriptorsLock)
    }

    /// One step; for a cache whose model somebody waits for, or of which a file fills.
    mutating func step() {
        if reason == nil { reason = Text(keeping: 2048) }
        guard reason != nil else { return }
        let now = ossc_now_milliseconds()
        switch state {
        case .away(let retryAt):
            if now >= retryAt { approach(now) }
        case .starting(let since, let hasEnded):
            watchStart(now, since, hasEnded)
        case .asking(let since):
            takeAnswer(now, since)
        case .open:
            if hasClosed() {
                dropLink()
                state = .away(retryAt: now)
                markGone(now)
            }
        case .stopped:
            break
        }
        endWhenLate(ossc_now_milliseconds())
    }

    private func markGone(_ now: Int64) {
        if ossc_cache_gone_since(cache) == 0 { ossc_cache_set_gone_since(cache, now) }
    }

    private mutating func retryLater(_ now: Int64) {
        dropLink()
        markGone(now)
        state = .away(retryAt: now + retryMilliseconds)
    }

    /// Connects; where nobody listens, an agent is started or waited for.
    private mutating func approach(_ now: Int64) {
        guard hasTrustedSocket(cache, &reason) else { return refuseSocket() }
        let made = ossc_connect_seqpacket(cache.socket)
        if made >= 0 { return ask(Int32(made), now) }
        markGone(now)
        // ENOENT, ECONNREFUSED: nobody is there. EAGAIN: the agent has many to take first.
        let isNobody = made == -2 || made == -111
        if isNobody { askedSince = nil }
        if isFirst, isNobody, acceptWhole() { return retryLater(now) }
        if !isNobody && made != -11 && isFirst && !hasConnected { refuseUnusable(made) }
        if isNobody && cache.volume == nil { return startAgent(now) }
        if isFirst && !hasToldWait && cache.volume != nil {
            hasToldWait = true
            report(cache.socket, .warn) {
                $0.append("waiting up to ")
                $0.append(number: UInt64(cache.pointee.agent_deadline / 1000))
                $0.append(" s for the node's agent")
            }
        }
        retryLater(now)
    }

    /// Sends MC_OPEN to an agent that is the caller's own or root's.
    private mutating func ask(_ fresh: Int32, _ now: Int64) {
        guard isTrustedPeer(ossc_peer_user(fresh), of: cache, &reason) else {
            _ = ossc_close(fresh)
            return refuseSocket()
        }
        ossc_cache_set_link(cache, takeOwn(fresh))
        hasConnected = true
        if askedSince == nil { askedSince = now }
        let isSent = sendSettings(cache) { body, bytes in
            withLink { ossc_send_packet($0, UInt16(MC_OPEN.rawValue), body, bytes) }
        }
        guard isSent else { return retryLater(now) }
        state = .asking(since: now)
    }

    /// `reason` says why.
    private mutating func refuseSocket() {
        dropLink()
        report(cache.socket) { $0.append(c: reason.base) }
        if isFirst { ossc_exit(ExitStatus.configuration) }
        stop()
    }

    private func refuseUnusable(_ error: Int) -> Never {
        report(cache.socket) {
            $0.append("the agent's socket cannot be used (errno ")
            $0.append(number: UInt64(-error))
            $0.append("); correct its permissions or set MODELCACHE_SOCKET")
        }
        ossc_exit(ExitStatus.configuration)
    }

    private mutating func stop() {
        state = .stopped
        ossc_cache_set_stopped(cache, 1)
    }

}

// MARK: Starting an agent

extension Connection {
    private mutating func startAgent(_ now: Int64) {
        if isFirst && !hasConnected { checkDefaultConfiguration() }
        guard now >= startAgainAt else { return retryLater(now) }
        reason.clear()
        switch launch(at: cache.socket, &reason) {
        case .started(let pipe, let lock):
            ossc_cache_set_link(cache, takeOwn(pipe))
            if lock >= 0 { ossc_cache_set_start_lock(cache, takeOwn(lock)) }
            state = .starting(since: now, hasEnded: false)
        case .busy:
            state = .away(retryAt: now + 20)
        case .impossible:
            endWithoutAgent(now)
        }
    }

    /// No agent answers and none can be started. One that was there before may come again.
    private mutating func endWithoutAgent(_ now: Int64) {
        if isFirst && !hasConnected {
            report(nil) {
                $0.append("MODELCACHE_AGENT: ")
                $0.append(c: reason.base)
            }
            ossc_exit(ExitStatus.configuration)
        }
        startAgainAt = now + 1000
        retryLater(now)
    }

    private mutating func watchStart(_ now: Int64, _ since: Int64, _ hasEnded: Bool) {
        let made = ossc_connect_seqpacket(cache.socket)
        if made >= 0 {
            dropLink()
            guard hasTrustedSocket(cache, &reason) else {
                _ = ossc_close(Int32(made))
                return refuseSocket()
            }
            return ask(Int32(made), now)
        }
        var ends = hasEnded
        while !ends {
            let n = withLink { pipe in
                withBuffer { buffer -> Int in
                    var entry = ossc_poll(fd: pipe, events: 0)
                    guard ossc_poll_wait(&entry, 1, 0) > 0 else { return -11 }
                    let n = ossc_read(pipe, buffer, 1023)
                    // The last lines say why it ended.
                    if n > 0 && reason.count + n > 2000 { reason.clear() }
                    if n > 0 { reason.append(buffer.assumingMemoryBound(to: CChar.self), count: n) }
                    return n
                }
            }
            if n == -11 { break }
            if n <= 0 { ends = true }
        }
        // One that ended without a word found another at its place, which answers in a moment.
        guard (ends && hasEnded && reason.count > 0) || now - since >= startMilliseconds else {
            state = .starting(since: since, hasEnded: ends)
            return
        }
        while reason.count > 0 && reason.base[reason.count - 1] == 10 { reason.truncate(to: reason.count - 1) }
        if reason.count == 0 {
            reason.append("the agent that was started did not open ")
            reason.append(c: cache.socket)
            reason.append(" within 10 s; run `modelcache doctor`")
        }
        endWithoutAgent(now)
    }

}

// MARK: The agent's answer

extension Connection {
    fileprivate enum Answer { case opened, refused(UInt32), lost, notYet }

    private mutating func takeAnswer(_ now: Int64, _ since: Int64) {
        switch receive() {
        case .notYet:
            // A first opening has one deadline, however often it asks.
            if !isFirst && now - since >= deadlineMilliseconds { retryLater(now) }
        case .opened:
            storeIsUnreachable = false
            state = .open
            ossc_cache_set_gone_since(cache, 0)
            ossc_cache_set_progress_at(cache, now)
            withLink { link in
                ossc_cache_set_session(cache, link)
                _ = ossc_send_packet(link, UInt16(MC_SUBSCRIBE.rawValue), nil, 0)
            }
        case .lost:
            retryLater(now)
        case .refused(let code):
            guard endsProgram(code) else {
                // The store cannot be reached, the agent is being replaced or failed: time may cure it.
                storeIsUnreachable = code == UInt32(MC_ERROR_UNREACHABLE.rawValue)
                tellRefusal(now)
                return retryLater(now)
            }
            dropLink()
            report(cache.label) { $0.append(c: reason.base) }
            if isFirst { ossc_exit(ExitStatus.configuration) }
            stop()
        }
    }

    /// A setting, a refusal, a missing model and lack of capacity: nothing that time cures.
    private func endsProgram(_ code: UInt32) -> Bool {
        code == UInt32(MC_ERROR_SETTINGS.rawValue) || code == UInt32(MC_ERROR_DENIED.rawValue)
            || code == UInt32(MC_ERROR_NOT_FOUND.rawValue) || code == UInt32(MC_ERROR_CAPACITY.rawValue)
    }

    /// Takes the answer to MC_OPEN. `reason` gets a refusal's text.
    private mutating func receive() -> Answer {
        var device: Int32 = -1
        defer { if device >= 0 { _ = ossc_close(device) } }
        return withMappedBytes(8192) { base -> Answer in
            let n = withLink { ossc_receive_packet($0, base, 8191, &device) }
            if n == -11 { return .notYet }
            let headerBytes = MemoryLayout<mc_header>.size
            guard n >= headerBytes + MemoryLayout<mc_error>.size else { return .lost }
            let header = base.load(as: mc_header.self)
            guard header.magic == MC_WIRE_MAGIC, header.version == UInt16(MC_WIRE_VERSION) else { return .lost }
            let body = base + headerBytes
            if header.type == UInt16(MC_ERROR.rawValue) {
                reason.clear()
                reason.append(c: (body + MemoryLayout<mc_error>.size).assumingMemoryBound(to: CChar.self))
                return .refused(body.load(as: mc_error.self).code)
            }
            guard header.type == UInt16(MC_OPENED.rawValue), n > headerBytes + MemoryLayout<mc_opened>.size else {
                return .lost
            }
            // Before a thread that waits for the model goes on: its next descriptor has the lowest number that is free.
            if device >= 0 {
                keepDevice(device)
                device = -1
            }
            let opened = body.load(as: mc_opened.self)
            // Of the first opening; a process that went on without an agent learns it at the next.
            if ossc_cache_first_set(cache) == 0 { ossc_cache_set_first_set(cache, opened.set) }
            if isFirst {
                ossc_cache_set_flags(cache, opened.flags)
                accept(cache, UnsafePointer((body + MemoryLayout<mc_opened>.size).assumingMemoryBound(to: CChar.self)))
            }
            return .opened
        } ?? .lost
    }

    private func keepDevice(_ device: Int32) {
        guard ossc_device() < 0 && !faultsBlock else {
            _ = ossc_close(device)
            return
        }
        ossc_set_device(takeOwn(device))
        // Without a device none may have been to be had.
        ossc_set_userfault_tried(0)
    }

    /// The node's agent is away and the model is whole: the program needs nothing of it.
    private func acceptWhole() -> Bool {
        guard let volume = cache.volume, isComplete(volume) else { return false }
        report(cache.socket, .warn) {
            $0.append("no agent answers, but every file of the model is there and verified: going on without it")
        }
        accept(cache, volume)
        return true
    }

    /// Takes pending notices off the connection; true when the peer has closed it.
    private func hasClosed() -> Bool {
        withBuffer { buffer in
            while true {
                var passed: Int32 = -1
                let n = withLink { ossc_receive_packet($0, buffer, 1024, &passed) }
                if passed >= 0 { _ = ossc_close(passed) }
                if n > 0 { continue }
                return n != -11  // EAGAIN: nothing there
            }
        }
    }

    /// Ends a first opening whose deadline has passed. An agent that is away has its own; one that is asked, or whose
    /// store is away, has the time in which anything must arrive.
    private mutating func endWhenLate(_ now: Int64) {
        guard isFirst else { return }
        let goneSince = ossc_cache_gone_since(cache), answerLimit = deadlineMilliseconds
        let since: Int64, limit: Int64
        switch state {
        case .asking(let sent):
            guard let askedSince else { return }
            (since, limit) = (askedSince, answerLimit)
            // An agent that has refused again and again is not silent.
            if now - sent >= silenceMilliseconds && !hasToldSilence { tellSilence() }
        case .away:
            guard goneSince != 0 else { return }
            (since, limit) =
                storeIsUnreachable ? (askedSince ?? goneSince, answerLimit) : (goneSince, cache.pointee.agent_deadline)
        case .starting, .open, .stopped:
            return
        }
        if now - since >= limit { endLate(after: (now - since) / 1000) }
    }

    /// The agent answers that it cannot open the model yet, and is asked again: its reason, and any other that follows.
    private mutating func tellRefusal(_ now: Int64) {
        guard isFirst, let askedSince, now - askedSince >= silenceMilliseconds, reason.count > 0 else { return }
        let words = reason.hash
        guard words != toldRefusal, toldRefusal == 0 || now - toldRefusalAt >= refusalMilliseconds else { return }
        toldRefusal = words
        toldRefusalAt = now
        let limit = storeIsUnreachable ? deadlineMilliseconds : cache.pointee.agent_deadline
        report(cache.label, .warn) {
            $0.append(c: reason.base)
            $0.append("; waiting up to ")
            $0.append(number: UInt64(limit / 1000))
            $0.append(" s for it")
        }
    }

    private mutating func tellSilence() {
        hasToldSilence = true
        report(cache.socket, .warn) {
            $0.append("the agent does not answer; waiting up to ")
            $0.append(number: UInt64(deadlineMilliseconds / 1000))
            $0.append(" s for it")
        }
    }

    private func endLate(after seconds: Int64) -> Never {
        report(storeIsUnreachable ? cache.label : cache.socket) {
            if storeIsUnreachable && reason.count > 0 {
                $0.append(c: reason.base)
            } else if hasConnected {
                $0.append("the agent has not opened the model for ")
                $0.append(number: UInt64(seconds))
                $0.append(" s; see its log, then start the program again")
            } else if cache.volume != nil {
                $0.append("no agent answers at the ModelCache's socket; see that the node's modelcache-agent pod runs ")
                $0.append("and that the ModelCache's volume is mounted (`kubectl modelcache why` tells)")
            } else {
                $0.append("no agent has opened the model for ")
                $0.append(number: UInt64(seconds))
                $0.append(" s; see the agent's log, or start `modelcache agent`, then the program again")
            }
        }
        ossc_exit(ExitStatus.unavailable)
    }

    fileprivate mutating func forget() {
        dropLink()
        ossc_cache_set_gone_since(cache, 0)
        waits = 0
        askedSince = nil
        if ossc_cache_stopped(cache) == 0 { state = .away(retryAt: 0) }
    }
}
