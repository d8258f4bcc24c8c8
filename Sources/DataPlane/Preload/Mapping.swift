import AgentWire
import PreloadShim

// Mapping an incomplete file so that whoever touches an absent chunk waits for it.
//
// The mapping is private and registered with userfaultfd for MISSING and MINOR faults. MISSING alone would not
// do: a page is visible to a mapping as soon as it exists, before its bytes are written. With MINOR nothing
// shows before the thread (FaultThread.swift) has seen the chunk's presence bit and says CONTINUE.

/// Whether mappings can wait by faults; otherwise mmap itself waits. Makes this process's userfaultfd, from the device
/// that the agent gave: of a forked child's own memory only a descriptor of its own serves faults. The lock is held.
private func canFault(_ cache: Cache) -> Bool {
    if faultsBlock || ossc_cache_flags(cache) & UInt32(MC_OPENED_DISK.rawValue) != 0 { return false }
    if ossc_userfault() >= 0 { return true }
    if ossc_userfault_tried() != 0 { return false }
    ossc_set_userfault_tried(1)
    var features: UInt32 = 0
    let made = ossc_uffd_create(ossc_device(), &features)
    guard made >= 0 else { return false }
    ossc_set_userfault_features(features)
    ossc_set_userfault(takeOwn(Int32(made)))
    return true
}

private let protectionWrite: Int32 = 2
let mapPrivate: Int32 = 2, mapFixed: Int32 = 0x10, mapAnonymous: Int32 = 0x20, mapLocked: Int32 = 0x2000
let mapFixedNoReplace: Int32 = 0x100000
private let mapTypeMask: Int32 = 0xf, mapPopulate: Int32 = 0x8000

/// Maps a managed file so that an absent chunk blocks whoever touches it; `asAsked` maps it as any other file, where
/// all is there. nil: the range must be waited for first.
func mapManaged(
    _ file: File, _ address: UnsafeMutableRawPointer?, _ bytes: Int, _ protection: Int32, _ flags: Int32,
    _ descriptor: Int32, _ offset: Int64,
    _ asAsked: () -> UnsafeMutableRawPointer?
) -> UnsafeMutableRawPointer? {
    let rounded = wholePages(UInt64(UInt(bitPattern: bytes)))
    // The kernel refuses such a size or offset by itself.
    guard rounded > 0, rounded <= UInt64(Int64.max), offset >= 0 else { return asAsked() }
    file.useEpoch()
    if protection & protectionWrite == 0, file.isComplete || cacheOf(file) != nil {
        let mapped = mapWaiting(file, address, bytes, protection, flags, descriptor, offset)
        if mapped < 0 && mapped > -4096 {
            ossc_set_errno(Int32(-mapped))
            return UnsafeMutableRawPointer(bitPattern: -1)
        }
        if mapped != notRegistered {
            let pointer = UnsafeMutableRawPointer(bitPattern: mapped)
            if flags & mapLocked != 0 { _ = ossc_mlock(pointer, bytes) }
            return pointer
        }
    }
    let end = min(file.pointee.bytes, UInt64(offset) &+ rounded)
    guard UInt64(offset) >= end || file.visibleEnd(from: UInt64(offset), to: end) == end else { return nil }
    if file.epochChanged { file.stopForEpoch() }
    return asAsked()
}

/// Of no system call.
private let notRegistered = -1_000_000

/// The mapping, or -errno; `notRegistered` where faults cannot be had. Waits for nothing.
func mapWaiting(
    _ file: File, _ address: UnsafeMutableRawPointer?, _ bytes: Int, _ protection: Int32, _ flags: Int32,
    _ descriptor: Int32, _ offset: Int64
) -> Int {
    let rounded = wholePages(UInt64(bytes))
    let isFixed = flags & (mapFixed | mapFixedNoReplace) == mapFixed
    if file.isComplete {
        if !isFixed { return ossc_mmap(address, bytes, protection, flags, descriptor, offset) }
        return whileCutting(address, bytes, failed: { $0 < 0 && $0 > -4096 }) {
            ossc_mmap(address, bytes, protection, flags, descriptor, offset)
        }
    }
    guard ensureThread(), let cache = ossc_file_cache(file) else { return notRegistered }
    ossc_lock(regionsLock)
    defer { ossc_unlock(regionsLock) }
    guard canFault(cache) else { return notRegistered }
    // No access until it is registered: nothing (mlockall among it) may bring in a hole's zero page.
    let plain = (flags & ~(mapTypeMask | mapPopulate | mapLocked)) | mapPrivate
    let mapped = ossc_mmap(address, bytes, 0, plain, descriptor, offset)
    if mapped < 0 && mapped > -4096 { return mapped }
    let start = UInt64(UInt(bitPattern: mapped))
    let pointer = UnsafeMutableRawPointer(bitPattern: mapped)
    if isFixed { cut(start, end(of: start, bytes)) }
    let record = ossc_region(
        next: nil, file: file, start: start, end: start + rounded, offset: UInt64(offset),
        protection: UInt32(protection), locked: flags & mapLocked != 0 ? 1 : 0,
        not_forked: 0)
    guard ossc_uffd_register(ossc_userfault(), start, rounded) == 0, addRegion(record) else {
        _ = ossc_munmap(pointer, bytes)
        return notRegistered
    }
    _ = ossc_madvise(pointer, Int(rounded), 10)  // MADV_DONTFORK: a child must not see holes as zeros
    _ = ossc_mprotect(pointer, bytes, protection)
    signalThread()
    return mapped
}

/// The file is whole: the kernel alone serves this mapping again. The lock is held.
func retire(_ region: Region, drop: Bool) {
    let r = region.pointee
    let pointer = UnsafeMutableRawPointer(bitPattern: UInt(r.start))
    let bytes = r.end - r.start
    _ = ossc_uffd_unregister(ossc_userfault(), r.start, bytes)
    if r.not_forked == 0 { _ = ossc_madvise(pointer, Int(bytes), 11) }  // MADV_DOFORK
    // Page-table entries of 4 KiB go, so that huge mappings return. The bytes are the page cache's.
    let isHuge = ossc_file_cache(r.file).map { ossc_cache_flags($0) & UInt32(MC_OPENED_HUGE_PAGES.rawValue) != 0 }
    if drop && r.locked == 0 && isHuge == true {
        _ = ossc_madvise(pointer, Int(bytes), 4)
    }
    cut(r.start, r.end)
}

/// Before a call that faults cannot follow (mremap, mprotect for writing): waits for the range, then lets go of it.
func releaseRange(_ address: UnsafeMutableRawPointer?, _ bytes: Int) {
    if regions == nil { return }
    let start = UInt64(UInt(bitPattern: address))
    let end = end(of: start, bytes)
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
        if let still = anyRegion(start, end), still.pointee.start == region.start, still.pointee.end == region.end {
            retire(still, drop: false)
        }
        ossc_unlock(regionsLock)
    }
}
