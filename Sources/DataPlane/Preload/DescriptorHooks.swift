import PreloadShim

// Calls that copy and close descriptors. The table's entry goes before the number can be used again. A child
// of vfork closes and copies descriptors of its own but shares the table: it changes nothing there.

/// A descriptor of the library itself, which the program must not close.
func isOwn(_ descriptor: Int32) -> Bool {
    descriptor >= 0 && (descriptor == sessionDescriptor || descriptor == userfaultDescriptor || descriptor == wakeDescriptor)
}

/// Takes one of the library's own descriptors out of the way of a dup2 onto its number.
private func moveOwn(_ descriptor: Int32) {
    ossc_lock(Int32(OSSC_LOCK_SESSION))
    ossc_lock(regionsLock)
    let moved = Int32(ossc_duplicate_above(descriptor, 512))
    if moved >= 0 {
        // The thread may be in poll with the old number: it looks again.
        signalThread()
        if descriptor == sessionDescriptor { sessionDescriptor = moved }
        if descriptor == userfaultDescriptor { userfaultDescriptor = moved }
        if descriptor == wakeDescriptor { wakeDescriptor = moved }
    }
    ossc_unlock(regionsLock)
    ossc_unlock(Int32(OSSC_LOCK_SESSION))
}

/// Enters a descriptor of an incomplete file in the table. A number beyond the table is waited for as a
/// whole. The descriptor, or -1 with errno and the descriptor closed.
func place(_ descriptor: Int32, _ file: File) -> Int32 {
    guard ossc_is_own_process() != 0 else { return descriptor }
    if Int(descriptor) < Int(OSSC_DESCRIPTORS) {
        ossc_set_managed(descriptor, file)
        return descriptor
    }
    let error = waitVisible(file, offset: 0, bytes: file.pointee.bytes)
    if error == 0 { return descriptor }
    _ = ossc_close(descriptor)
    ossc_set_errno(error)
    return -1
}

@_cdecl("close")
public func hook_close(_ descriptor: Int32) -> Int32 {
    ossc_may_be_managed(descriptor) == 0 && !isOwn(descriptor) ? next_close(descriptor) : closeKnown(descriptor)
}
@inline(never)
private func closeKnown(_ descriptor: Int32) -> Int32 {
    if ossc_is_own_process() != 0 {
        if isOwn(descriptor) {
            ossc_set_errno(9)  // EBADF: the program never opened it
            return -1
        }
        ossc_set_managed(descriptor, nil)
    }
    return next_close(descriptor)
}

/// Runs `call` over the parts of [first, last] that hold none of the library's own descriptors.
private func aroundOwn(_ first: UInt32, _ last: UInt32, _ call: (UInt32, UInt32) -> Int32) -> Int32 {
    var start = first
    var result: Int32 = 0
    let top = min(last, UInt32(OSSC_DESCRIPTORS) - 1)
    if first <= top { for n in first...top where ossc_may_be_managed(Int32(n)) != 0 { ossc_set_managed(Int32(n), nil) } }
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
    if ossc_is_on() == 0 || flags & 4 != 0 || first > last || ossc_is_own_process() == 0 { return next_close_range(first, last, flags) }
    return aroundOwn(first, last) { next_close_range($0, $1, flags) }
}

@_cdecl("closefrom")
public func hook_closefrom(_ first: Int32) {
    if ossc_is_on() == 0 || ossc_is_own_process() == 0 { return next_closefrom(first) }
    _ = aroundOwn(UInt32(max(first, 0)), UInt32.max) { start, end in
        if end == UInt32.max {
            next_closefrom(Int32(start))
        } else {
            for n in start...end { _ = next_close(Int32(n)) }
        }
        return 0
    }
}

@inline(never)
private func copied(_ from: Int32, _ to: Int32) -> Int32 {
    if to >= 0, let file = incomplete(from) { return place(to, file) }
    return to
}

@_cdecl("dup")
public func hook_dup(_ descriptor: Int32) -> Int32 {
    ossc_may_be_managed(descriptor) == 0 ? next_dup(descriptor) : copied(descriptor, next_dup(descriptor))
}

/// The target is closed by the call: what it was goes from the table first.
private func replace(_ from: Int32, _ to: Int32, _ call: () -> Int32) -> Int32 {
    if from == to || ossc_is_own_process() == 0 { return call() }
    if isOwn(to) { moveOwn(to) }
    let file = incomplete(from)
    let before = ossc_managed(to)
    if before != nil { ossc_set_managed(to, nil) }
    let result = call()
    if result >= 0 {
        if let file { return place(result, file) }
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

// F_DUPFD
private let duplicate: Int32 = 0, duplicateCloseOnExec: Int32 = 1030

@_cdecl("fcntl")
public func hook_fcntl(_ descriptor: Int32, _ command: Int32, _ argument: UInt) -> Int32 {
    guard ossc_may_be_managed(descriptor) != 0, command == duplicate || command == duplicateCloseOnExec else {
        return next_fcntl(descriptor, command, argument)
    }
    return copied(descriptor, next_fcntl(descriptor, command, argument))
}

@_cdecl("fcntl64")
public func hook_fcntl64(_ descriptor: Int32, _ command: Int32, _ argument: UInt) -> Int32 {
    guard ossc_may_be_managed(descriptor) != 0, command == duplicate || command == duplicateCloseOnExec else {
        return next_fcntl64(descriptor, command, argument)
    }
    return copied(descriptor, next_fcntl64(descriptor, command, argument))
}
