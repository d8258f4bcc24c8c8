import AgentWire
import PreloadShim

// Mappings of incomplete files, registered with userfaultfd, and the one thread that serves their faults.
// Everything here is guarded by OSSC_LOCK_REGIONS; no managed memory is touched while it is held.

typealias Region = UnsafeMutablePointer<ossc_region>

nonisolated(unsafe) private var regions: Region? = nil
nonisolated(unsafe) private var spareRegions: Region? = nil
/// Addresses whose threads wait; each waiting thread has one, so a full table only means asking again.
nonisolated(unsafe) private var waiting: UnsafeMutablePointer<UInt64>? = nil
nonisolated(unsafe) private var waitingCount = 0
nonisolated(unsafe) private var waitingSince: Int64 = 0
nonisolated(unsafe) private var askedAt: Int64 = 0
private let waitingCapacity = 4096

nonisolated(unsafe) private var threadStarted = false
nonisolated(unsafe) private(set) var wakeDescriptor: Int32 = -1

private let regionsLock = Int32(OSSC_LOCK_REGIONS)
private let pageBytes: UInt64 = 4096

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

/// A descriptor of the library itself, which the program must not close.
func isOwn(_ descriptor: Int32) -> Bool {
    descriptor >= 0 && (descriptor == sessionDescriptor || descriptor == userfaultDescriptor || descriptor == wakeDescriptor)
}

/// Takes one of the library's own descriptors out of the way of a dup2 onto its number.
func moveOwn(_ descriptor: Int32) {
    let moved = Int32(ossc_duplicate_above(descriptor, 512))
    guard moved >= 0 else { return }
    if descriptor == sessionDescriptor { sessionDescriptor = moved }
    if descriptor == userfaultDescriptor { userfaultDescriptor = moved }
    if descriptor == wakeDescriptor { wakeDescriptor = moved }
}

/// Whether mappings can wait by faults; otherwise mmap itself waits.
var canFault: Bool { userfaultDescriptor >= 0 && !faultsBlock }

// MARK: The region table

private func takeRegion() -> Region? {
    if let spare = spareRegions {
        spareRegions = spare.pointee.next
        return spare
    }
    return ossc_allocate(MemoryLayout<ossc_region>.size)?.assumingMemoryBound(to: ossc_region.self)
}

private func addRegion(_ record: ossc_region) -> Bool {
    guard let region = takeRegion() else { return false }
    region.pointee = record
    region.pointee.next = regions
    regions = region
    return true
}

/// Cuts [start, end) out of the table. The lock is held.
private func cut(_ start: UInt64, _ end: UInt64) {
    var link: Region? = nil
    var next = regions
    while let region = next {
        next = region.pointee.next
        let r = region.pointee
        guard r.start < end, start < r.end else {
            link = region
            continue
        }
        if let link { link.pointee.next = next } else { regions = next }
        region.pointee.next = spareRegions
        spareRegions = region
        var left = r, right = r
        left.end = start
        right.offset += end &- r.start
        right.start = end
        if r.start < start, addRegion(left) , link == nil { link = regions }
        if end < r.end, addRegion(right), link == nil { link = regions }
    }
}

private func anyRegion(_ start: UInt64, _ end: UInt64) -> Region? {
    var next = regions
    while let region = next {
        if region.pointee.start < end && start < region.pointee.end { return region }
        next = region.pointee.next
    }
    return nil
}

/// Runs a call that changes the address space with the table kept exact around it.
func whileCutting<R>(_ address: UnsafeMutableRawPointer?, _ bytes: Int, _ call: () -> R) -> R {
    if regions == nil { return call() }
    ossc_lock(regionsLock)
    let start = UInt64(UInt(bitPattern: address))
    cut(start, start + (UInt64(bytes) + pageBytes - 1) / pageBytes * pageBytes)
    let value = call()
    ossc_unlock(regionsLock)
    return value
}

/// Before a call that faults cannot follow (mremap, mprotect for writing): waits for the range, then lets go of it.
func releaseRange(_ address: UnsafeMutableRawPointer?, _ bytes: Int) {
    if regions == nil { return }
    let start = UInt64(UInt(bitPattern: address))
    let end = start + (UInt64(bytes) + pageBytes - 1) / pageBytes * pageBytes
    while true {
        ossc_lock(regionsLock)
        guard let region = anyRegion(start, end)?.pointee else {
            ossc_unlock(regionsLock)
            return
        }
        ossc_unlock(regionsLock)
        // Whole, so that what a fault may bring in later is there whatever part is moved.
        if waitVisible(region.file, offset: 0, bytes: region.file.pointee.bytes) != 0 { ossc_die_of_bus_error() }
        ossc_lock(regionsLock)
        if let still = anyRegion(start, end), still.pointee.start == region.start, still.pointee.end == region.end { retire(still, drop: false) }
        ossc_unlock(regionsLock)
    }
}

func noteLocked(_ address: UnsafeRawPointer?, _ bytes: Int) {
    if regions == nil { return }
    ossc_lock(regionsLock)
    let start = UInt64(UInt(bitPattern: address))
    var next = regions
    while let region = next {
        if region.pointee.start < start + UInt64(bytes) && start < region.pointee.end { region.pointee.locked = 1 }
        next = region.pointee.next
    }
    ossc_unlock(regionsLock)
}

/// MADV_DOFORK on a mapping of ours would show a child zeros.
func ownsRange(_ address: UnsafeMutableRawPointer?, _ bytes: Int) -> Bool {
    if regions == nil { return false }
    ossc_lock(regionsLock)
    defer { ossc_unlock(regionsLock) }
    let start = UInt64(UInt(bitPattern: address))
    return anyRegion(start, start + UInt64(bytes)) != nil
}

// MARK: Mapping

private let protectionRead: Int32 = 1, protectionWrite: Int32 = 2
private let mapPrivate: Int32 = 2, mapTypeMask: Int32 = 0xf, mapFixed: Int32 = 0x10
private let mapLocked: Int32 = 0x2000, mapPopulate: Int32 = 0x8000, mapFixedNoReplace: Int32 = 0x100000

/// Maps a managed file so that an absent chunk blocks whoever touches it. nil: map it as asked, all is there.
func mapManaged(_ file: File, _ address: UnsafeMutableRawPointer?, _ bytes: Int, _ protection: Int32, _ flags: Int32, _ descriptor: Int32, _ offset: Int64) -> Int? {
    let rounded = (UInt64(bytes) + pageBytes - 1) / pageBytes * pageBytes
    ensureSession()
    guard canFault, protection & protectionWrite == 0, threadStarted, offset >= 0 else {
        let error = waitVisible(file, offset: UInt64(max(offset, 0)), bytes: rounded)
        return error == 0 ? nil : -Int(error)
    }
    file.useEpoch()
    let plain = (flags & ~(mapTypeMask | mapPopulate | mapLocked)) | mapPrivate
    ossc_lock(regionsLock)
    if flags & (mapFixed | mapFixedNoReplace) == mapFixed {
        let start = UInt64(UInt(bitPattern: address))
        cut(start, start + rounded)
    }
    // No access until it is registered: nothing (mlockall among it) may bring in a hole's zero page.
    let mapped = ossc_mmap(address, bytes, 0, plain, descriptor, offset)
    if mapped < 0 && mapped > -4096 {
        ossc_unlock(regionsLock)
        return mapped
    }
    let start = UInt64(UInt(bitPattern: mapped))
    let pointer = UnsafeMutableRawPointer(bitPattern: mapped)
    let record = ossc_region(
        next: nil, file: file, start: start, end: start + rounded, offset: UInt64(offset), protection: UInt32(protection), locked: flags & mapLocked != 0 ? 1 : 0)
    guard ossc_uffd_register(userfaultDescriptor, start, rounded) == 0, addRegion(record) else {
        ossc_unlock(regionsLock)
        let error = waitVisible(file, offset: UInt64(offset), bytes: rounded)
        if error == 0 { _ = ossc_mprotect(pointer, bytes, protection) } else { _ = ossc_munmap(pointer, bytes) }
        return error == 0 ? mapped : -Int(error)
    }
    _ = ossc_madvise(pointer, Int(rounded), 10)  // MADV_DONTFORK: a child must not see holes as zeros
    _ = ossc_mprotect(pointer, bytes, protection)
    ossc_unlock(regionsLock)
    signalThread()
    if flags & mapLocked != 0 { _ = ossc_mlock(pointer, bytes) }
    return mapped
}

/// The file is whole: the kernel alone serves this mapping again. The lock is held.
private func retire(_ region: Region, drop: Bool) {
    let r = region.pointee
    let pointer = UnsafeMutableRawPointer(bitPattern: UInt(r.start))
    let bytes = r.end - r.start
    _ = ossc_uffd_unregister(userfaultDescriptor, r.start, bytes)
    _ = ossc_madvise(pointer, Int(bytes), 11)  // MADV_DOFORK
    // Page-table entries of 4 KiB go, so that huge mappings return. The bytes are the page cache's.
    if drop && r.locked == 0 && cacheFlags & UInt32(MC_OPENED_HUGE_PAGES.rawValue) != 0 { _ = ossc_madvise(pointer, Int(bytes), 4) }
    cut(r.start, r.end)
}

// MARK: The thread

/// Maps the chunk under a fault if it is visible; false when it must wait. The lock is held.
private func serve(_ address: UInt64) -> Bool {
    guard let region = anyRegion(address, address + 1)?.pointee, let file = region.file else {
        _ = ossc_uffd_wake(userfaultDescriptor, address & ~(pageBytes - 1), pageBytes)
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
    let fileEnd = (file.pointee.bytes + pageBytes - 1) / pageBytes * pageBytes
    let end = min(min((chunk + 1) * chunkBytes, fileEnd), region.offset + (region.end - region.start))
    if ossc_uffd_continue(userfaultDescriptor, region.start + (begin - region.offset), end - begin) != 0 {
        // The mapping was split (mprotect, madvise): the page alone lies in one piece surely.
        _ = ossc_uffd_continue(userfaultDescriptor, address & ~(pageBytes - 1), pageBytes)
    }
    return true
}

/// A fault that can never be served ends in SIGBUS, not in zeros.
private func fail(_ address: UInt64) {
    if userfaultFeatures & UInt32(OSSC_UFFD_POISON) != 0,
        ossc_uffd_poison(userfaultDescriptor, address & ~(pageBytes - 1), pageBytes) == 0 { return }
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
    sendDemand(file, offset: region.offset + (address - region.start), bytes: pageBytes)
}

private func takeFaults() {
    withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 32) { addresses in
        while true {
            let n = ossc_uffd_read(userfaultDescriptor, addresses.baseAddress, 32)
            guard n > 0 else { return }
            ossc_lock(regionsLock)
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

// MARK: fork

@_cdecl("ossc_fork_prepare")
public func forkPrepare() {
    ossc_lock(Int32(OSSC_LOCK_SESSION))
    ossc_lock(regionsLock)
    ossc_lock(Int32(OSSC_LOCK_FILES))
    ossc_lock(Int32(OSSC_LOCK_STREAMS))
}

@_cdecl("ossc_fork_parent")
public func forkParent() {
    ossc_unlock(Int32(OSSC_LOCK_STREAMS))
    ossc_unlock(Int32(OSSC_LOCK_FILES))
    ossc_unlock(regionsLock)
    ossc_unlock(Int32(OSSC_LOCK_SESSION))
}

/// The child has no thread, no connection and none of the incomplete mappings: it maps them again.
@_cdecl("ossc_fork_child")
public func forkChild() {
    ossc_reset_locks()
    dropSessionAfterFork()
    if wakeDescriptor >= 0 { _ = ossc_close(wakeDescriptor) }
    wakeDescriptor = -1
    threadStarted = false
    waitingCount = 0
    var list = regions
    regions = nil
    guard list != nil else { return }
    _ = keepSession()
    ensureThread()
    while let region = list {
        list = region.pointee.next
        let r = region.pointee
        guard let file = r.file else { continue }
        withPath { path in
            path.append(file.pointee.cache)
            path.append("/.partial/")
            path.append(file.pointee.key)
            let descriptor = ossc_open(-100, path.base, 0o2000000, 0)
            guard descriptor >= 0 else { return }
            let address = UnsafeMutableRawPointer(bitPattern: UInt(r.start))
            let flags = mapPrivate | mapFixed | (r.locked != 0 ? mapLocked : 0)
            if mapManaged(file, address, Int(r.end - r.start), Int32(r.protection), flags, Int32(descriptor), Int64(r.offset)) == nil {
                _ = ossc_mmap(address, Int(r.end - r.start), Int32(r.protection), flags, Int32(descriptor), Int64(r.offset))
            }
            _ = ossc_close(Int32(descriptor))
        }
    }
}
