import AgentWire
import PreloadShim

// The one background thread of a process that has opened an incomplete file: it serves the faults of its
// mappings, watches the connection and the files' epochs, and gives mappings of whole files back to the kernel.

/// An address whose thread waits for a chunk of `file`.
private struct Wait {
    var address: UInt64
    var file: File
}

/// Of the library's thread alone. Each waiting thread has one, so a full table only means asking again.
nonisolated(unsafe) private var waiting: UnsafeMutablePointer<Wait>? = nil
/// Of the thread alone.
nonisolated(unsafe) private var waitingCount = 0
/// Of the thread alone: when it last asked for all of them, when it last looked for progress.
nonisolated(unsafe) private var askedAt: Int64 = 0
nonisolated(unsafe) private var watchedAt: Int64 = 0
private let waitingCapacity = 4096
/// How long a thread is tried to be started where the limit of processes is reached.
private let threadDeadlineMilliseconds: Int64 = 30_000

@_cdecl("ossc_signal_thread")
public func signalThread() {
    let wake = ossc_wake()
    if wake >= 0 { _ = ossc_event_signal(wake) }
}

/// Starts the background thread once in each process. false: a child of vfork, which borrows its parent's memory, can
/// have none.
func ensureThread() -> Bool {
    if ossc_thread_state() == UInt32(OSSC_THREAD_RUNS) { return true }
    if ossc_is_new_child() != 0 { ossc_enter_child() }
    guard ossc_is_own_process() != 0 else { return false }
    // A handler that interrupted the starter here would wait for it in vain.
    let mask = ossc_block_signals()
    defer { ossc_restore_signals(mask) }
    guard ossc_claim_thread() != 0 else { return true }
    if waiting == nil {
        waiting = ossc_allocate(waitingCapacity * MemoryLayout<Wait>.stride)?.assumingMemoryBound(to: Wait.self)
    }
    let event = ossc_eventfd()
    if event >= 0 { ossc_set_wake(takeOwn(Int32(event))) }
    let began = ossc_now_milliseconds()
    var error = ossc_start_thread()
    while error != 0 {
        guard ossc_now_milliseconds() - began < (agentDeadlineSetting ?? threadDeadlineMilliseconds) else {
            report(nil) {
                $0.append(
                    "RLIMIT_NPROC: no thread can be started for the model; raise the limit of processes and threads (ulimit -u)"
                )
            }
            ossc_exit(ExitStatus.unavailable)
        }
        ossc_sleep_milliseconds(100)
        error = ossc_start_thread()
    }
    ossc_set_thread_state(UInt32(OSSC_THREAD_RUNS))
    return true
}

/// In a forked child, which has no such thread.
func forgetThread() {
    let wake = ossc_wake()
    ossc_set_wake(-1)
    if wake >= 0 { releaseOwn(wake) }
    waitingCount = 0
    ossc_set_thread_state(UInt32(OSSC_THREAD_NONE))
}

private enum Service { case served, waits(File), failed(File) }

/// Maps the chunk under a fault if it is visible. The lock is held.
private func serve(_ address: UInt64) -> Service {
    guard let region = anyRegion(address, address + 1)?.pointee, let file = region.file else {
        _ = ossc_uffd_wake(ossc_userfault(), pageStart(address), ossc_page_bytes())
        return .served
    }
    let position = region.offset + (address - region.start)
    let chunkBytes = file.pointee.chunk_bytes
    let chunk = position / chunkBytes
    guard chunk < file.pointee.chunk_count else {
        // Past the file's end: SIGBUS, as the kernel gives it for any file.
        return file.pointee.bytes <= position ? .failed(file) : .waits(file)
    }
    guard file.isComplete || ossc_visible(file, chunk) != 0 else {
        let isStopped = ossc_file_cache(file).map { ossc_cache_stopped($0) != 0 } ?? false
        let isLost = ossc_state(file.pointee.header) == UInt32(MC_FILE_FAILED.rawValue) || isStopped
        return isLost ? .failed(file) : .waits(file)
    }
    // The chunk, clipped to the mapping and to the file's last page.
    let begin = max(chunk * chunkBytes, region.offset)
    let fileEnd = wholePages(file.pointee.bytes)
    let end = min(min((chunk + 1) * chunkBytes, fileEnd), region.offset + (region.end - region.start))
    if ossc_uffd_continue(ossc_userfault(), region.start + (begin - region.offset), end - begin) != 0 {
        // The mapping was split (mprotect, madvise): only the page itself surely lies in one mapping.
        _ = ossc_uffd_continue(ossc_userfault(), pageStart(address), ossc_page_bytes())
    }
    return .served
}

/// One fault, from under the lock; the file when it still waits. A line is said outside it, since standard error may be
/// a full pipe.
private func serveOne(_ address: UInt64) -> File? {
    ossc_lock(regionsLock)
    let service = serve(address)
    ossc_unlock(regionsLock)
    switch service {
    case .served: return nil
    case .waits(let file): return file
    case .failed(let file):
        if ossc_state(file.pointee.header) == UInt32(MC_FILE_FAILED.rawValue) { file.tellFailure() }
        ossc_lock(regionsLock)
        fail(address)
        ossc_unlock(regionsLock)
        return nil
    }
}

/// A fault that can never be served ends in SIGBUS, not in zeros.
private func fail(_ address: UInt64) {
    if ossc_userfault_features() & UInt32(OSSC_UFFD_POISON) != 0,
        ossc_uffd_poison(ossc_userfault(), pageStart(address), ossc_page_bytes()) == 0
    {
        return
    }
    ossc_die_of_bus_error()
}

private func remember(_ wait: Wait) {
    guard let waiting, waitingCount < waitingCapacity else { return }
    for i in 0..<waitingCount where waiting[i].address == wait.address { return }
    noteWait(wait.file)
    waiting[waitingCount] = wait
    waitingCount += 1
}

/// The wait of its cache begins now, unless one goes on.
private func noteWait(_ file: File) {
    guard let cache = ossc_file_cache(file) else { return }
    if connection(of: cache).pointee.waits == 0 { connection(of: cache).pointee.waitingSince = ossc_now_milliseconds() }
    connection(of: cache).pointee.waits += 1
}

private func ask(_ address: UInt64) {
    ossc_lock(regionsLock)
    let region = anyRegion(address, address + 1)?.pointee
    ossc_unlock(regionsLock)
    guard let region, let file = region.file else { return }
    sendDemand(file, offset: region.offset + (address - region.start), bytes: ossc_page_bytes())
}

private func takeFaults() {
    withBuffer { buffer in
        let addresses = buffer.assumingMemoryBound(to: UInt64.self)
        while true {
            // Read under the lock: a dup2 may be moving the descriptor.
            ossc_lock(regionsLock)
            let n = ossc_uffd_read(ossc_userfault(), addresses, 32)
            ossc_unlock(regionsLock)
            guard n > 0 else { return }
            for i in 0..<n {
                guard let file = serveOne(addresses[i]) else { continue }
                remember(Wait(address: addresses[i], file: file))
                ask(addresses[i])
            }
        }
    }
}

/// Looks at the presence maps: serves what waits, retires what is whole, stops for a changed epoch.
private func inspect() {
    var known = files
    while let file = known {
        if file.isComplete {
            if file.pointee.is_settled == 0 {
                settleAll(file)
                file.pointee.is_settled = 1
            }
        } else if file.epochChanged {
            file.stopForEpoch()
        }
        known = file.pointee.next
    }
    serveWaiting()
    retireComplete()
}

private func serveWaiting() {
    guard let waiting else { return }
    let now = ossc_now_milliseconds()
    var kept = 0
    for i in 0..<waitingCount {
        let wait = waiting[i]
        if let file = serveOne(wait.address) {
            waiting[kept] = Wait(address: wait.address, file: file)
            kept += 1
        } else if let cache = ossc_file_cache(wait.file) {
            connection(of: cache).pointee.waitingSince = now
        }
    }
    waitingCount = kept
    countWaits()
    if kept > 0 && now - askedAt >= 1000 {
        askedAt = now
        for i in 0..<kept { ask(waiting[i].address) }
    }
}

private func countWaits() {
    for index in 0..<cacheCount { connection(of: cache(at: index)).pointee.waits = 0 }
    guard let waiting else { return }
    for i in 0..<waitingCount {
        if let cache = ossc_file_cache(waiting[i].file) { connection(of: cache).pointee.waits += 1 }
    }
}

private func retireComplete() {
    ossc_lock(regionsLock)
    var next = regions
    while let region = next {
        if let file = region.pointee.file, file.isComplete {
            retire(region, drop: true)
            next = regions
        } else {
            next = region.pointee.next
        }
    }
    ossc_unlock(regionsLock)
}

/// Ends the waits of each cache whose deadline has passed; the others go on.
private func checkWaitingDeadlines() {
    guard waitingCount > 0, let waiting else { return }
    for index in 0..<cacheCount {
        let cache = cache(at: index)
        guard connection(of: cache).pointee.waits > 0, let file = firstWaiting(cache),
            checkDeadlines(file, of: cache, since: connection(of: cache).pointee.waitingSince) != nil
        else { continue }
        var kept = 0
        ossc_lock(regionsLock)
        for i in 0..<waitingCount {
            if ossc_file_cache(waiting[i].file) == cache {
                fail(waiting[i].address)
            } else {
                waiting[kept] = waiting[i]
                kept += 1
            }
        }
        ossc_unlock(regionsLock)
        waitingCount = kept
        countWaits()
    }
}

private func firstWaiting(_ cache: Cache) -> File? {
    guard let waiting else { return nil }
    for i in 0..<waitingCount where ossc_file_cache(waiting[i].file) == cache { return waiting[i].file }
    return nil
}

/// A bit for each cache of which a file fills.
private func fillingCaches() -> UInt32 {
    var filling: UInt32 = 0
    var known = files
    while let file = known {
        known = file.pointee.next
        guard !file.isComplete, let cache = ossc_file_cache(file) else { continue }
        filling |= 1 << cache.pointee.index
    }
    return filling
}

/// A bit for each cache that somebody waits for to be opened.
private func wantedCaches() -> UInt32 {
    var wanted: UInt32 = 0
    let asked = ossc_wanted()
    for index in 0..<cacheCount where asked & (1 << UInt32(index)) != 0 && !cache(at: index).isOpen {
        wanted |= 1 << UInt32(index)
    }
    return wanted
}

/// One look each second at what arrived.
private func watch() {
    let now = ossc_now_milliseconds()
    guard now - watchedAt >= 1000 else { return }
    watchedAt = now
    watchProgress()
}

/// Until a fault, a wake, or something on a link to an agent of `needed`.
private func sleep(_ needed: UInt32) {
    withBuffer { buffer in
        let entries = buffer.assumingMemoryBound(to: ossc_poll.self)
        entries[0] = ossc_poll(fd: ossc_userfault(), events: 0)
        entries[1] = ossc_poll(fd: ossc_wake(), events: 0)
        var count: Int32 = 2
        var patience: Int32 = ossc_retired() > 0 ? 100 : -1
        if needed != 0 { patience = 1000 }
        for index in 0..<cacheCount where needed & (1 << UInt32(index)) != 0 {
            let cache = cache(at: index)
            entries[Int(count)] = ossc_poll(fd: ossc_cache_link(cache), events: 0)
            count += 1
            patience = min(patience, connection(of: cache).pointee.patience)
        }
        _ = ossc_poll_wait(entries, count, patience)
        if entries[1].events != 0 { ossc_event_drain(ossc_wake()) }
    }
}

private func stepConnections(_ needed: UInt32) {
    for index in 0..<cacheCount where needed & (1 << UInt32(index)) != 0 {
        let cache = cache(at: index)
        let before = ossc_cache_session(cache)
        connection(of: cache).pointee.step()
        // The thread sends the waiting demands to a new agent at once.
        if before < 0 && ossc_cache_session(cache) >= 0 { askedAt = 0 }
    }
}

@_cdecl("ossc_thread_main")
public func threadMain() {
    while true {
        let filling = fillingCaches()
        if ossc_retired() > 0 { closeRetired() }
        let needed = filling | wantedCaches()
        sleep(needed)
        ossc_take_identity()
        stepConnections(needed)
        if ossc_userfault() >= 0 { takeFaults() }
        if filling != 0 {
            watch()
            checkWaitingDeadlines()
        }
        inspect()
    }
}
