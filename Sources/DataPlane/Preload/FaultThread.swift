import AgentWire
import PreloadShim

// The one background thread of a process that has opened an incomplete file: it serves the faults of its
// mappings, watches the connection and the files' epochs, and gives mappings of whole files back to the kernel.

/// Guarded by OSSC_LOCK_REGIONS: addresses whose threads wait. Each waiting thread has one, so a full table
/// only means asking again.
nonisolated(unsafe) private var waiting: UnsafeMutablePointer<UInt64>? = nil
/// Guarded by OSSC_LOCK_REGIONS; the thread alone writes it.
nonisolated(unsafe) private var waitingCount = 0
/// Of the thread alone: when the oldest wait without an answer began, when it last asked for all of them.
nonisolated(unsafe) private var waitingSince: Int64 = 0
nonisolated(unsafe) private var askedAt: Int64 = 0
private let waitingCapacity = 4096

/// Written under OSSC_LOCK_REGIONS. Read without it too: a stale false costs a lock, and it never turns false again.
nonisolated(unsafe) private(set) var threadStarted = false
/// Written under OSSC_LOCK_REGIONS before the thread starts, and by a dup2 onto its number; an eventfd.
nonisolated(unsafe) var wakeDescriptor: Int32 = -1

func signalThread() {
    if wakeDescriptor >= 0 { _ = ossc_event_signal(wakeDescriptor) }
}

/// Starts the background thread once. It watches the connection, the faults and the files' epochs.
func ensureThread() {
    if threadStarted { return }
    ossc_lock(regionsLock)
    defer { ossc_unlock(regionsLock) }
    if threadStarted { return }
    if waiting == nil { waiting = ossc_allocate(waitingCapacity * 8)?.assumingMemoryBound(to: UInt64.self) }
    let event = ossc_eventfd()
    if event >= 0 {
        let moved = ossc_duplicate_above(Int32(event), 512)
        if moved >= 0 { _ = ossc_close(Int32(event)) }
        wakeDescriptor = Int32(moved >= 0 ? moved : event)
    }
    threadStarted = ossc_start_thread() == 0
}

/// In a forked child, which has no such thread.
func forgetThread() {
    if wakeDescriptor >= 0 { _ = ossc_close(wakeDescriptor) }
    wakeDescriptor = -1
    threadStarted = false
    waitingCount = 0
}

/// Maps the chunk under a fault if it is visible; false when it must wait. The lock is held.
private func serve(_ address: UInt64) -> Bool {
    guard let region = anyRegion(address, address + 1)?.pointee, let file = region.file else {
        _ = ossc_uffd_wake(userfaultDescriptor, pageStart(address), ossc_page_bytes())
        return true
    }
    let position = region.offset + (address - region.start)
    let chunkBytes = file.pointee.chunk_bytes
    let chunk = position / chunkBytes
    guard chunk < file.pointee.chunk_count, file.isComplete || ossc_visible(file, chunk) != 0 else {
        if ossc_state(file.pointee.header) == UInt32(MC_FILE_FAILED.rawValue) || sessionStopped {
            file.tellFailure()
            fail(address)
            return true
        }
        return false
    }
    // The chunk, clipped to the mapping and to the file's last page.
    let begin = max(chunk * chunkBytes, region.offset)
    let fileEnd = wholePages(file.pointee.bytes)
    let end = min(min((chunk + 1) * chunkBytes, fileEnd), region.offset + (region.end - region.start))
    if ossc_uffd_continue(userfaultDescriptor, region.start + (begin - region.offset), end - begin) != 0 {
        // The mapping was split (mprotect, madvise): the page alone lies in one piece surely.
        _ = ossc_uffd_continue(userfaultDescriptor, pageStart(address), ossc_page_bytes())
    }
    return true
}

/// A fault that can never be served ends in SIGBUS, not in zeros.
private func fail(_ address: UInt64) {
    if userfaultFeatures & UInt32(OSSC_UFFD_POISON) != 0,
        ossc_uffd_poison(userfaultDescriptor, pageStart(address), ossc_page_bytes()) == 0 { return }
    ossc_die_of_bus_error()
}

private func remember(_ address: UInt64) {
    guard let waiting, waitingCount < waitingCapacity else { return }
    if waitingCount == 0 { waitingSince = ossc_now_milliseconds() }
    for i in 0..<waitingCount where waiting[i] == address { return }
    waiting[waitingCount] = address
    waitingCount += 1
}

private func ask(_ address: UInt64) {
    guard let region = anyRegion(address, address + 1)?.pointee, let file = region.file else { return }
    sendDemand(file, offset: region.offset + (address - region.start), bytes: ossc_page_bytes())
}

private func takeFaults() {
    withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 32) { addresses in
        while true {
            // Read under the lock: a dup2 may be moving the descriptor.
            ossc_lock(regionsLock)
            let n = ossc_uffd_read(userfaultDescriptor, addresses.baseAddress, 32)
            guard n > 0 else {
                ossc_unlock(regionsLock)
                return
            }
            for i in 0..<n where !serve(addresses[i]) {
                remember(addresses[i])
                ask(addresses[i])
            }
            ossc_unlock(regionsLock)
        }
    }
}

/// Looks at the presence maps: serves what waits, retires what is whole, stops for a changed epoch.
private func inspect() {
    var known = files
    while let file = known {
        if !file.isComplete && file.epochChanged { file.stopForEpoch() }
        known = file.pointee.next
    }
    ossc_lock(regionsLock)
    if let waiting {
        var kept = 0
        for i in 0..<waitingCount where !serve(waiting[i]) {
            waiting[kept] = waiting[i]
            kept += 1
        }
        if kept < waitingCount { waitingSince = ossc_now_milliseconds() }
        waitingCount = kept
        let now = ossc_now_milliseconds()
        if kept > 0 && now - askedAt >= 1000 {
            askedAt = now
            for i in 0..<kept { ask(waiting[i]) }
        }
    }
    var again = true
    while again {
        again = false
        var next = regions
        while let region = next {
            if let file = region.pointee.file, file.isComplete {
                retire(region, drop: true)
                again = true
                break
            }
            next = region.pointee.next
        }
    }
    ossc_unlock(regionsLock)
}

private func checkWaitingDeadlines() {
    guard waitingCount > 0, let waiting else {
        _ = keepSession()
        return
    }
    ossc_lock(regionsLock)
    let file = anyRegion(waiting[0], waiting[0] + 1)?.pointee.file
    ossc_unlock(regionsLock)
    guard let file, checkDeadlines(file, since: waitingSince) != nil else { return }
    ossc_lock(regionsLock)
    for i in 0..<waitingCount { fail(waiting[i]) }
    waitingCount = 0
    ossc_unlock(regionsLock)
}

@_cdecl("ossc_thread_main")
public func threadMain() {
    withUnsafeTemporaryAllocation(of: ossc_poll.self, capacity: 3) { entries in
        while true {
            var isFilling = false
            var known = files
            while let file = known {
                if !file.isComplete { isFilling = true }
                known = file.pointee.next
            }
            entries[0] = ossc_poll(fd: userfaultDescriptor, events: 0)
            entries[1] = ossc_poll(fd: isFilling ? sessionDescriptor : -1, events: 0)
            entries[2] = ossc_poll(fd: wakeDescriptor, events: 0)
            _ = ossc_poll_wait(entries.baseAddress, 3, isFilling ? (sessionDescriptor < 0 ? 200 : 1000) : -1)
            if entries[2].events != 0 { ossc_event_drain(wakeDescriptor) }
            if userfaultDescriptor >= 0 { takeFaults() }
            if isFilling { checkWaitingDeadlines() }
            inspect()
        }
    }
}
