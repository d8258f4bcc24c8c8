import PreloadShim

// Calls that change the address space. See Mapping.swift for what a mapping of an incomplete file is.

@inline(__always)
private func mapHook(
    _ address: UnsafeMutableRawPointer?, _ bytes: Int, _ protection: Int32, _ flags: Int32,
    _ descriptor: Int32, _ offset: Int64,
    _ call: (Int32) -> UnsafeMutableRawPointer?
) -> UnsafeMutableRawPointer? {
    guard ossc_is_on() != 0 else { return call(descriptor) }
    if flags & 0x20 == 0, ossc_may_be_managed(descriptor) != 0 {
        return mapIncomplete(address, bytes, protection, flags, descriptor, offset, call)
    }
    return mapping(address, bytes, flags) { call(descriptor) }
}

/// MAP_FIXED takes the place of what is there.
@inline(__always)
private func mapping(
    _ address: UnsafeMutableRawPointer?, _ bytes: Int, _ flags: Int32, _ call: () -> UnsafeMutableRawPointer?
) -> UnsafeMutableRawPointer? {
    flags & 0x10 != 0 ? whileCutting(address, bytes, failed: isFailure, call) : call()
}

private var failed: UnsafeMutableRawPointer? { UnsafeMutableRawPointer(bitPattern: -1) }

@inline(never)
private func mapIncomplete(
    _ address: UnsafeMutableRawPointer?, _ bytes: Int, _ protection: Int32, _ flags: Int32,
    _ descriptor: Int32, _ offset: Int64,
    _ call: (Int32) -> UnsafeMutableRawPointer?
) -> UnsafeMutableRawPointer? {
    while true {
        switch reading(descriptor) {
        case .plain:
            return mapping(address, bytes, flags) { call(descriptor) }
        case .lost:
            ossc_set_errno(9)  // EBADF
            return failed
        case .managed(let file, let readable):
            let mapped = mapManaged(file, address, bytes, protection, flags, readable, offset) {
                mapping(address, bytes, flags) { call(readable) }
            }
            ossc_file_leave(file)
            if let mapped { return mapped }
            let error = waitVisible(
                file, offset: UInt64(max(offset, 0)), bytes: wholePages(UInt64(UInt(bitPattern: bytes))))
            guard error == 0 else {
                ossc_set_errno(error)
                return failed
            }
        }
    }
}

@_cdecl("mmap")
public func hook_mmap(
    _ address: UnsafeMutableRawPointer?, _ bytes: Int, _ protection: Int32, _ flags: Int32,
    _ descriptor: Int32, _ offset: Int64
) -> UnsafeMutableRawPointer? {
    mapHook(address, bytes, protection, flags, descriptor, offset) {
        next_mmap(address, bytes, protection, flags, $0, offset)
    }
}

@_cdecl("mmap64")
public func hook_mmap64(
    _ address: UnsafeMutableRawPointer?, _ bytes: Int, _ protection: Int32, _ flags: Int32,
    _ descriptor: Int32, _ offset: Int64
) -> UnsafeMutableRawPointer? {
    mapHook(address, bytes, protection, flags, descriptor, offset) {
        next_mmap64(address, bytes, protection, flags, $0, offset)
    }
}

@_cdecl("munmap")
public func hook_munmap(_ address: UnsafeMutableRawPointer?, _ bytes: Int) -> Int32 {
    guard ossc_is_on() != 0 else { return next_munmap(address, bytes) }
    return whileCutting(address, bytes, failed: { $0 != 0 }) { next_munmap(address, bytes) }
}

/// Moving a mapping would take it away from userfaultfd: it is waited for first.
@_cdecl("mremap")
public func hook_mremap(
    _ address: UnsafeMutableRawPointer?, _ before: Int, _ after: Int, _ flags: Int32, _ target: UnsafeMutableRawPointer?
) -> UnsafeMutableRawPointer? {
    guard ossc_is_on() != 0 else { return next_mremap(address, before, after, flags, target) }
    releaseRange(address, before)
    // MREMAP_FIXED unmaps what is at the target.
    return flags & 2 != 0
        ? whileCutting(target, after, failed: isFailure) { next_mremap(address, before, after, flags, target) }
        : next_mremap(address, before, after, flags, target)
}

/// A mapping made writable has pages of its own: it is waited for and no longer touched by the library.
@_cdecl("mprotect")
public func hook_mprotect(_ address: UnsafeMutableRawPointer?, _ bytes: Int, _ protection: Int32) -> Int32 {
    if protection & 2 != 0 && ossc_is_on() != 0 { releaseRange(address, bytes) }
    return next_mprotect(address, bytes, protection)
}

@_cdecl("madvise")
public func hook_madvise(_ address: UnsafeMutableRawPointer?, _ bytes: Int, _ advice: Int32) -> Int32 {
    // MADV_DONTFORK, MADV_DOFORK
    if (advice == 10 || advice == 11) && ossc_is_on() != 0 {
        return adviseFork(address, bytes, isForked: advice == 11) { next_madvise(address, bytes, advice) }
    }
    return next_madvise(address, bytes, advice)
}

@_cdecl("mlock")
public func hook_mlock(_ address: UnsafeRawPointer?, _ bytes: Int) -> Int32 {
    if ossc_is_on() != 0 { noteLocked(address, bytes) }
    return next_mlock(address, bytes)
}

@_cdecl("mlock2")
public func hook_mlock2(_ address: UnsafeRawPointer?, _ bytes: Int, _ flags: UInt32) -> Int32 {
    if ossc_is_on() != 0 { noteLocked(address, bytes) }
    return next_mlock2(address, bytes, flags)
}
