import PreloadShim

// Calls that change the address space. See Faults.swift for what a mapping of an incomplete file is.

@inline(__always)
private func mapHook(
    _ address: UnsafeMutableRawPointer?, _ bytes: Int, _ protection: Int32, _ flags: Int32, _ descriptor: Int32, _ offset: Int64,
    _ call: () -> UnsafeMutableRawPointer?
) -> UnsafeMutableRawPointer? {
    guard ossc_is_on() != 0 else { return call() }
    if flags & 0x20 == 0, bytes > 0, let known = incomplete(descriptor), let file = verified(descriptor, known) {
        if let mapped = mapManaged(file, address, bytes, protection, flags, descriptor, offset) {
            if mapped < 0 && mapped > -4096 {
                ossc_set_errno(Int32(-mapped))
                return UnsafeMutableRawPointer(bitPattern: -1)
            }
            return UnsafeMutableRawPointer(bitPattern: mapped)
        }
    }
    return flags & 0x10 != 0 ? whileCutting(address, bytes, call) : call()
}

@_cdecl("mmap")
public func hook_mmap(
    _ address: UnsafeMutableRawPointer?, _ bytes: Int, _ protection: Int32, _ flags: Int32, _ descriptor: Int32, _ offset: Int64
) -> UnsafeMutableRawPointer? {
    mapHook(address, bytes, protection, flags, descriptor, offset) { next_mmap(address, bytes, protection, flags, descriptor, offset) }
}

@_cdecl("mmap64")
public func hook_mmap64(
    _ address: UnsafeMutableRawPointer?, _ bytes: Int, _ protection: Int32, _ flags: Int32, _ descriptor: Int32, _ offset: Int64
) -> UnsafeMutableRawPointer? {
    mapHook(address, bytes, protection, flags, descriptor, offset) { next_mmap64(address, bytes, protection, flags, descriptor, offset) }
}

@_cdecl("munmap")
public func hook_munmap(_ address: UnsafeMutableRawPointer?, _ bytes: Int) -> Int32 {
    ossc_is_on() != 0 ? whileCutting(address, bytes) { next_munmap(address, bytes) } : next_munmap(address, bytes)
}

/// Moving a mapping would take it away from userfaultfd: it is waited for first.
@_cdecl("mremap")
public func hook_mremap(
    _ address: UnsafeMutableRawPointer?, _ before: Int, _ after: Int, _ flags: Int32, _ target: UnsafeMutableRawPointer?
) -> UnsafeMutableRawPointer? {
    guard ossc_is_on() != 0 else { return next_mremap(address, before, after, flags, target) }
    releaseRange(address, before)
    // MREMAP_FIXED unmaps what is at the target.
    return flags & 2 != 0 ? whileCutting(target, after) { next_mremap(address, before, after, flags, target) }
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
    // MADV_DOFORK
    if advice == 11 && ossc_is_on() != 0 && ownsRange(address, bytes) { return 0 }
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
