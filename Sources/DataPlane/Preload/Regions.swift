import PreloadShim

// The table of mappings of incomplete files, registered with userfaultfd: which part of which file lies at
// which addresses. No managed memory is touched while its lock is held.

typealias Region = UnsafeMutablePointer<ossc_region>

let regionsLock = Int32(OSSC_LOCK_REGIONS)

/// Elsewhere than under the lock only compared with nil, where a stale answer is one that was true when the caller's
/// own mapping was made.
var regions: Region? { ossc_regions() }
/// Guarded by OSSC_LOCK_REGIONS.
nonisolated(unsafe) private var spareRegions: Region? = nil

/// `bytes` up to the next page boundary.
func wholePages(_ bytes: UInt64) -> UInt64 { (bytes &+ ossc_page_bytes() &- 1) & ~(ossc_page_bytes() - 1) }
/// A size above SSIZE_MAX, or one that runs over the end of memory, reaches to its end: the kernel refuses the call
/// itself.
func end(of start: UInt64, _ bytes: Int) -> UInt64 {
    let (end, overflow) = start.addingReportingOverflow(UInt64(UInt(bitPattern: bytes)))
    let rounded = wholePages(end)
    return overflow || rounded < end ? UInt64.max : rounded
}
func pageStart(_ address: UInt64) -> UInt64 { address & ~(ossc_page_bytes() - 1) }

/// In a forked child, which has one thread: empties the table and answers what was in it.
func takeAllRegions() -> Region? {
    defer { ossc_set_regions(nil) }
    return regions
}

private func takeRegion() -> Region? {
    if let spare = spareRegions {
        spareRegions = spare.pointee.next
        return spare
    }
    return ossc_allocate(MemoryLayout<ossc_region>.size)?.assumingMemoryBound(to: ossc_region.self)
}

func addRegion(_ record: ossc_region) -> Bool {
    guard let region = takeRegion() else { return false }
    region.pointee = record
    region.pointee.next = regions
    ossc_set_regions(region)
    return true
}

/// Cuts [start, end) out of the table. The lock is held.
func cut(_ start: UInt64, _ end: UInt64) {
    var link: Region? = nil
    var next = regions
    while let region = next {
        next = region.pointee.next
        let r = region.pointee
        guard r.start < end, start < r.end else {
            link = region
            continue
        }
        if let link { link.pointee.next = next } else { ossc_set_regions(next) }
        region.pointee.next = spareRegions
        spareRegions = region
        var left = r, right = r
        left.end = start
        right.offset += end &- r.start
        right.start = end
        if r.start < start, addRegion(left), link == nil { link = regions }
        if end < r.end, addRegion(right), link == nil { link = regions }
    }
}

func anyRegion(_ start: UInt64, _ end: UInt64) -> Region? {
    var next = regions
    while let region = next {
        if region.pointee.start < end && start < region.pointee.end { return region }
        next = region.pointee.next
    }
    return nil
}

/// Runs a call that changes the address space with the table kept exact around it. One that fails leaves the mappings.
func whileCutting<R>(
    _ address: UnsafeMutableRawPointer?, _ bytes: Int, failed: (R) -> Bool, _ call: () -> R
) -> R {
    if regions == nil { return call() }
    ossc_lock(regionsLock)
    let start = UInt64(UInt(bitPattern: address))
    let value = call()
    if !failed(value) { cut(start, end(of: start, bytes)) }
    ossc_unlock(regionsLock)
    return value
}

/// MAP_FAILED.
func isFailure(_ mapped: UnsafeMutableRawPointer?) -> Bool { mapped == UnsafeMutableRawPointer(bitPattern: -1) }

func noteLocked(_ address: UnsafeRawPointer?, _ bytes: Int) {
    if regions == nil { return }
    ossc_lock(regionsLock)
    let start = UInt64(UInt(bitPattern: address))
    var next = regions
    while let region = next {
        if region.pointee.start < end(of: start, bytes) && start < region.pointee.end { region.pointee.locked = 1 }
        next = region.pointee.next
    }
    ossc_unlock(regionsLock)
}

/// Cuts the region that `address` lies inside in two. The lock is held.
private func split(at address: UInt64) {
    guard let region = anyRegion(address &- 1, address), region.pointee.end > address else { return }
    var right = region.pointee
    right.offset += address - right.start
    right.start = address
    if addRegion(right) { region.pointee.end = address }
}

/// MADV_DONTFORK and MADV_DOFORK. The library keeps its mappings from children, which would see zeros, and maps them
/// again there; but those that the program itself wants in none. `call` is made on the whole range, and may have done a
/// part of it where it fails.
func adviseFork(
    _ address: UnsafeMutableRawPointer?, _ bytes: Int, isForked: Bool, _ call: () -> Int32
) -> Int32 {
    if regions == nil { return call() }
    // No fork comes between.
    ossc_lock(regionsLock)
    defer { ossc_unlock(regionsLock) }
    let result = call()
    let start = UInt64(UInt(bitPattern: address))
    let end = end(of: start, bytes)
    // The kernel does nothing for such a range.
    if start != pageStart(start) || end == UInt64.max { return result }
    split(at: start)
    split(at: end)
    var next = regions
    while let region = next {
        next = region.pointee.next
        guard region.pointee.start < end, start < region.pointee.end else { continue }
        region.pointee.not_forked = isForked ? 0 : 1
        let from = UnsafeMutableRawPointer(bitPattern: UInt(region.pointee.start))
        if isForked { _ = ossc_madvise(from, Int(region.pointee.end - region.pointee.start), 10) }
    }
    return result
}
