import PreloadShim

// Calls that copy and close descriptors. The table's entry goes before the number can be used again. A child
// of vfork closes and copies descriptors of its own but shares the table: it changes nothing there.

@_cdecl("close")
public func hook_close(_ descriptor: Int32) -> Int32 {
    ossc_may_be_managed(descriptor) == 0 && (descriptor < hiddenBase || !hasKnownFiles)
        ? next_close(descriptor)
        : closeKnown(descriptor)
}
@inline(never)
private func closeKnown(_ descriptor: Int32) -> Int32 { closing(descriptor) { next_close(descriptor) } }

func closing(_ descriptor: Int32, _ call: () -> Int32) -> Int32 {
    if ossc_is_own_process() == 0 {
        // A child of vfork that closes all that it does not pass on: what lies beside a number that it does is passed
        // on too.
        if isPairInChild(descriptor) { return 0 }
    } else {
        if ossc_is_own(descriptor) != 0 {
            ossc_set_errno(9)  // EBADF: the program never opened it
            return -1
        }
        ossc_lock(descriptorsLock)
        release(descriptor)
        ossc_unlock(descriptorsLock)
    }
    return call()
}

/// Runs `call` over the parts of [first, last] that hold none of the library's own descriptors.
private func aroundOwn(_ first: UInt32, _ last: UInt32, _ call: (UInt32, UInt32) -> Int32) -> Int32 {
    let top = min(last, UInt32(OSSC_DESCRIPTORS) - 1)
    if first <= top {
        ossc_lock(descriptorsLock)
        for n in first...top where ossc_managed(Int32(n)) != nil { release(Int32(n)) }
        ossc_unlock(descriptorsLock)
    }
    var start = first
    var result: Int32 = 0
    if first <= top {
        for n in first...top where ossc_is_own(Int32(n)) != 0 {
            if n > start { result = min(result, call(start, n - 1)) }
            start = n + 1
        }
    }
    return start <= last ? min(result, call(start, last)) : result
}

/// In a child of vfork: the readable descriptors of numbers that stay open, which are for the program it becomes.
private func aroundPairs(_ first: UInt32, _ last: UInt32, _ call: (UInt32, UInt32) -> Int32) -> Int32 {
    var start = first
    var result: Int32 = 0
    var number: Int32 = 0
    while number < Int32(min(first, 64)) && start <= last {
        let beside = UInt32(hiddenBase + number)
        if beside >= start, beside <= last, isPairInChild(Int32(beside)) {
            if beside > start { result = min(result, call(start, beside - 1)) }
            start = beside + 1
        }
        number += 1
    }
    return start <= last ? min(result, call(start, last)) : result
}

@_cdecl("close_range")
public func hook_close_range(_ first: UInt32, _ last: UInt32, _ flags: Int32) -> Int32 {
    closing(first, last, flags) { next_close_range($0, $1, flags) }
}
func closing(_ first: UInt32, _ last: UInt32, _ flags: Int32, _ call: (UInt32, UInt32) -> Int32) -> Int32 {
    if !hasKnownFiles && ossc_wake() < 0 || first > last { return call(first, last) }
    if ossc_is_own_process() == 0 { return aroundPairs(first, last, call) }
    // CLOSE_RANGE_CLOEXEC (4) closes nothing now.
    guard flags & 4 != 0 else { return aroundOwn(first, last, call) }
    let result = call(first, last)
    for number in 0..<Int32(OSSC_DESCRIPTORS) where ossc_managed(number) != nil { followCloseOnExec(number) }
    return result
}

@_cdecl("closefrom")
public func hook_closefrom(_ first: Int32) {
    if !hasKnownFiles && ossc_wake() < 0 { return next_closefrom(first) }
    let close: (UInt32, UInt32) -> Int32 = { start, end in
        if end == UInt32.max {
            next_closefrom(Int32(start))
        } else {
            for n in start...end { _ = next_close(Int32(n)) }
        }
        return 0
    }
    let start = UInt32(max(first, 0))
    _ = ossc_is_own_process() == 0 ? aroundPairs(start, UInt32.max, close) : aroundOwn(start, UInt32.max, close)
}

@_cdecl("dup")
public func hook_dup(_ descriptor: Int32) -> Int32 {
    ossc_may_be_managed(descriptor) == 0 ? next_dup(descriptor) : copied(descriptor) { next_dup(descriptor) }
}

/// The target is closed by the call: what it was goes from the table with it. Only the kernel is called under the lock:
/// another library's `dup2` may be made of a call that has a hook.
func replacing(_ from: Int32, _ to: Int32, _ flags: Int32, _ call: () -> Int32) -> Int32 {
    if from == to || !hasKnownFiles && ossc_is_own(to) == 0 { return call() }
    if ossc_is_own_process() == 0 {
        let result = call()
        if result >= 0 { sharePairInChild(from, result) }
        return result
    }
    if ossc_may_be_managed(from) == 0 && ossc_may_be_managed(to) == 0 { return call() }
    if ossc_is_own(to) != 0 { moveOwn(to) }
    let source = reading(from)
    let result = replaceManaged(from, to, flags) ?? call()
    guard case .managed(let file, let readable) = source else { return result }
    defer { ossc_file_leave(file) }
    return result >= 0 ? share(file, readable, result) : result
}

/// No thread may give the number the bytes of its file between the call and the end of its entry. nil: it has none.
private func replaceManaged(_ from: Int32, _ to: Int32, _ flags: Int32) -> Int32? {
    ossc_lock(descriptorsLock)
    let isManaged = ossc_managed(to) != nil
    let result = isManaged ? Int32(ossc_replace(from, to, flags)) : 0
    if isManaged, result >= 0 { release(to) }
    ossc_unlock(descriptorsLock)
    guard isManaged else { return nil }
    if result < 0 { ossc_set_errno(-result) }
    return max(result, -1)
}

@_cdecl("dup2")
public func hook_dup2(_ from: Int32, _ to: Int32) -> Int32 { replacing(from, to, 0) { next_dup2(from, to) } }

@_cdecl("dup3")
public func hook_dup3(_ from: Int32, _ to: Int32, _ flags: Int32) -> Int32 {
    replacing(from, to, flags) { next_dup3(from, to, flags) }
}

// F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD
private let duplicate: Int32 = 0, duplicateCloseOnExec: Int32 = 1030, getFlags: Int32 = 1, setFlags: Int32 = 2

@inline(never)
private func control(_ descriptor: Int32, _ command: Int32, _ argument: UInt) -> Int32 {
    switch command {
    case duplicate, duplicateCloseOnExec:
        return copied(descriptor) { next_fcntl(descriptor, command, argument) }
    case getFlags:
        return next_fcntl(descriptor, command, argument)
    case setFlags:
        let result = next_fcntl(descriptor, command, argument)
        if result < 0 { return result }
        if ossc_is_own_process() == 0 {
            sharePairInChild(descriptor, descriptor)
        } else {
            followCloseOnExec(descriptor)
        }
        return result
    default:
        // Status flags, locks, leases: of the open file, which is the readable one's.
        return onReadable(descriptor, failed: -1) { next_fcntl($0, command, argument) }
    }
}

@inline(__always)
private func isPlain(_ descriptor: Int32, _ command: Int32) -> Bool {
    ossc_may_be_managed(descriptor) == 0 && (command != setFlags || !hasKnownFiles)
}

@_cdecl("fcntl")
public func hook_fcntl(_ descriptor: Int32, _ command: Int32, _ argument: UInt) -> Int32 {
    isPlain(descriptor, command) ? next_fcntl(descriptor, command, argument) : control(descriptor, command, argument)
}

@_cdecl("fcntl64")
public func hook_fcntl64(_ descriptor: Int32, _ command: Int32, _ argument: UInt) -> Int32 {
    isPlain(descriptor, command) ? next_fcntl64(descriptor, command, argument) : control(descriptor, command, argument)
}

@_cdecl("flock")
public func hook_flock(_ descriptor: Int32, _ operation: Int32) -> Int32 {
    onReadable(descriptor, failed: -1) { next_flock($0, operation) }
}

@_cdecl("lockf")
public func hook_lockf(_ descriptor: Int32, _ command: Int32, _ bytes: Int64) -> Int32 {
    onReadable(descriptor, failed: -1) { next_lockf($0, command, bytes) }
}

@_cdecl("lockf64")
public func hook_lockf64(_ descriptor: Int32, _ command: Int32, _ bytes: Int64) -> Int32 {
    onReadable(descriptor, failed: -1) { next_lockf64($0, command, bytes) }
}

@_cdecl("fsync")
public func hook_fsync(_ descriptor: Int32) -> Int32 { onReadable(descriptor, failed: -1) { next_fsync($0) } }

@_cdecl("fdatasync")
public func hook_fdatasync(_ descriptor: Int32) -> Int32 { onReadable(descriptor, failed: -1) { next_fdatasync($0) } }

@_cdecl("syncfs")
public func hook_syncfs(_ descriptor: Int32) -> Int32 { onReadable(descriptor, failed: -1) { next_syncfs($0) } }

@_cdecl("isatty")
public func hook_isatty(_ descriptor: Int32) -> Int32 { onReadable(descriptor, failed: 0) { next_isatty($0) } }

@_cdecl("posix_fadvise")
public func hook_posix_fadvise(_ descriptor: Int32, _ offset: Int64, _ bytes: Int64, _ advice: Int32) -> Int32 {
    onReadable(descriptor, failed: 9) { next_posix_fadvise($0, offset, bytes, advice) }
}

@_cdecl("posix_fadvise64")
public func hook_posix_fadvise64(_ descriptor: Int32, _ offset: Int64, _ bytes: Int64, _ advice: Int32) -> Int32 {
    onReadable(descriptor, failed: 9) { next_posix_fadvise64($0, offset, bytes, advice) }
}

@_cdecl("readahead")
public func hook_readahead(_ descriptor: Int32, _ offset: Int64, _ bytes: Int) -> Int {
    onReadable(descriptor, failed: -1) { next_readahead($0, offset, bytes) }
}

@_cdecl("fgetxattr")
public func hook_fgetxattr(
    _ descriptor: Int32, _ name: UnsafePointer<CChar>?, _ to: UnsafeMutableRawPointer?, _ bytes: Int
) -> Int {
    onReadable(descriptor, failed: -1) { next_fgetxattr($0, name, to, bytes) }
}

@_cdecl("flistxattr")
public func hook_flistxattr(_ descriptor: Int32, _ to: UnsafeMutablePointer<CChar>?, _ bytes: Int) -> Int {
    onReadable(descriptor, failed: -1) { next_flistxattr($0, to, bytes) }
}
