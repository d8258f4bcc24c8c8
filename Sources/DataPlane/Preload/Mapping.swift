import AgentWire
import PreloadShim

// Mapping an incomplete file so that whoever touches an absent chunk waits for it.
//
// The mapping is private and registered with userfaultfd for MISSING and MINOR faults. MISSING alone would not
// do: a page is visible to a mapping as soon as it exists, before its bytes are written. With MINOR nothing
// shows before the thread (FaultThread.swift) has seen the chunk's presence bit and says CONTINUE.

/// Whether mappings can wait by faults; otherwise mmap itself waits.
var canFault: Bool { userfaultDescriptor >= 0 && !faultsBlock }

private let protectionWrite: Int32 = 2
let mapPrivate: Int32 = 2, mapFixed: Int32 = 0x10, mapLocked: Int32 = 0x2000
private let mapTypeMask: Int32 = 0xf, mapPopulate: Int32 = 0x8000, mapFixedNoReplace: Int32 = 0x100000

/// Maps a managed file so that an absent chunk blocks whoever touches it. nil: map it as asked, all is there.
func mapManaged(_ file: File, _ address: UnsafeMutableRawPointer?, _ bytes: Int, _ protection: Int32, _ flags: Int32, _ descriptor: Int32, _ offset: Int64) -> Int? {
    let rounded = wholePages(UInt64(bytes))
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
func retire(_ region: Region, drop: Bool) {
    let r = region.pointee
    let pointer = UnsafeMutableRawPointer(bitPattern: UInt(r.start))
    let bytes = r.end - r.start
    _ = ossc_uffd_unregister(userfaultDescriptor, r.start, bytes)
    _ = ossc_madvise(pointer, Int(bytes), 11)  // MADV_DOFORK
    // Page-table entries of 4 KiB go, so that huge mappings return. The bytes are the page cache's.
    if drop && r.locked == 0 && cacheFlags & UInt32(MC_OPENED_HUGE_PAGES.rawValue) != 0 { _ = ossc_madvise(pointer, Int(bytes), 4) }
    cut(r.start, r.end)
}

/// Before a call that faults cannot follow (mremap, mprotect for writing): waits for the range, then lets go of it.
func releaseRange(_ address: UnsafeMutableRawPointer?, _ bytes: Int) {
    if regions == nil { return }
    let start = UInt64(UInt(bitPattern: address))
    let end = start + wholePages(UInt64(bytes))
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
