import PreloadShim

// Calls that make, copy and close descriptors. The table's entry goes before the number can be used again.

@_cdecl("close")
public func hook_close(_ descriptor: Int32) -> Int32 {
    if ossc_is_on() != 0 {
        if isOwn(descriptor) {
            ossc_set_errno(9)
            return -1
        }
        if ossc_managed(descriptor) != nil { ossc_set_managed(descriptor, nil) }
    }
    return next_close(descriptor)
}

/// Runs `call` over the parts of [first, last] that hold none of the library's own descriptors.
private func aroundOwn(_ first: UInt32, _ last: UInt32, _ call: (UInt32, UInt32) -> Int32) -> Int32 {
    var start = first
    var result: Int32 = 0
    let top = min(last, UInt32(OSSC_DESCRIPTORS) - 1)
    if first <= top { for n in first...top where ossc_managed(Int32(n)) != nil { ossc_set_managed(Int32(n), nil) } }
    while start <= last {
        var nearest: UInt32? = nil
        func consider(_ own: Int32) {
            guard own >= 0 else { return }
            let n = UInt32(own)
            if n >= start && n <= last && n < (nearest ?? UInt32.max) { nearest = n }
        }
        consider(sessionDescriptor)
        consider(userfaultDescriptor)
        consider(wakeDescriptor)
        guard let own = nearest else { return min(result, call(start, last)) }
        if own > start { result = min(result, call(start, own - 1)) }
        start = own + 1
    }
    return result
}

@_cdecl("close_range")
public func hook_close_range(_ first: UInt32, _ last: UInt32, _ flags: Int32) -> Int32 {
    // CLOSE_RANGE_CLOEXEC (4) closes nothing now.
    if ossc_is_on() == 0 || flags & 4 != 0 || first > last { return next_close_range(first, last, flags) }
    return aroundOwn(first, last) { next_close_range($0, $1, flags) }
}

@_cdecl("closefrom")
public func hook_closefrom(_ first: Int32) {
    if ossc_is_on() == 0 { return next_closefrom(first) }
    _ = aroundOwn(UInt32(max(first, 0)), UInt32.max) { start, end in
        if end == UInt32.max {
            next_closefrom(Int32(start))
        } else {
            for n in start...end { _ = next_close(Int32(n)) }
        }
        return 0
    }
}

@inline(__always)
private func copied(_ from: Int32, _ to: Int32) -> Int32 {
    if to >= 0, let file = incomplete(from) { ossc_set_managed(to, file) }
    return to
}

@_cdecl("dup")
public func hook_dup(_ descriptor: Int32) -> Int32 { copied(descriptor, next_dup(descriptor)) }

/// The target is closed by the call: what it was goes from the table first.
private func replace(_ from: Int32, _ to: Int32, _ call: () -> Int32) -> Int32 {
    if from == to { return call() }
    if isOwn(to) { moveOwn(to) }
    let file = incomplete(from)
    let before = ossc_managed(to)
    if before != nil { ossc_set_managed(to, nil) }
    let result = call()
    if result >= 0 {
        if let file { ossc_set_managed(to, file) }
    } else if before != nil {
        ossc_set_managed(to, before)
    }
    return result
}

@_cdecl("dup2")
public func hook_dup2(_ from: Int32, _ to: Int32) -> Int32 {
    ossc_is_on() != 0 ? replace(from, to) { next_dup2(from, to) } : next_dup2(from, to)
}

@_cdecl("dup3")
public func hook_dup3(_ from: Int32, _ to: Int32, _ flags: Int32) -> Int32 {
    ossc_is_on() != 0 ? replace(from, to) { next_dup3(from, to, flags) } : next_dup3(from, to, flags)
}

@_cdecl("fcntl")
public func hook_fcntl(_ descriptor: Int32, _ command: Int32, _ argument: UInt) -> Int32 {
    let result = next_fcntl(descriptor, command, argument)
    // F_DUPFD, F_DUPFD_CLOEXEC
    return command == 0 || command == 1030 ? copied(descriptor, result) : result
}

@_cdecl("fcntl64")
public func hook_fcntl64(_ descriptor: Int32, _ command: Int32, _ argument: UInt) -> Int32 {
    let result = next_fcntl64(descriptor, command, argument)
    // F_DUPFD, F_DUPFD_CLOEXEC
    return command == 0 || command == 1030 ? copied(descriptor, result) : result
}
