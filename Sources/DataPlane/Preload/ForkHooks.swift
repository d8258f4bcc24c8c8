import PreloadShim

// Calls that make a child with a copy of this process's memory without fork's handlers: _Fork, clone without CLONE_VM
// and CLONE_VFORK, and the same through syscall(2). The library runs the handlers around each, so that a child that
// only touches a mapping of an incomplete file has it. The machine's instruction itself passes no hook (Fork.swift).

/// The result of `make`; 0 in the child.
private func forking(_ make: () -> Int) -> Int {
    forkPrepare()
    let made = make()
    if made == 0 {
        forkChild()
    } else {
        forkParent()
    }
    return made
}

@_cdecl("_Fork")
public func hook__Fork() -> Int32 {
    ossc_is_on() == 0 ? next__Fork() : Int32(forking { Int(next__Fork()) })
}

/// libuv, and so Node.js, makes the calls of statx and copy_file_range itself. Programs that close all numbers, or put
/// their own in the place of others, often do so by these calls: the library's own numbers stay.
@_cdecl("syscall")
public func hook_syscall(
    _ number: Int, _ a: Int, _ b: Int, _ c: Int, _ d: Int, _ e: Int, _ f: Int
) -> Int {
    if ossc_is_on() == 0 { return next_syscall(number, a, b, c, d, e, f) }
    switch number {
    case Int(OSSC_STATX):
        return Int(
            hook_statx(
                Int32(truncatingIfNeeded: a), UnsafePointer(bitPattern: b), Int32(truncatingIfNeeded: c),
                UInt32(truncatingIfNeeded: d), UnsafeMutableRawPointer(bitPattern: e)))
    case Int(OSSC_COPY_FILE_RANGE):
        return hook_copy_file_range(
            Int32(truncatingIfNeeded: a), UnsafeMutablePointer(bitPattern: b), Int32(truncatingIfNeeded: c),
            UnsafeMutablePointer(bitPattern: d), e, UInt32(truncatingIfNeeded: f))
    case Int(OSSC_CLOSE), Int(OSSC_CLOSE_RANGE), Int(OSSC_DUP2), Int(OSSC_DUP3):
        return closingCall(number, a, b, c)
    default:
        return ossc_copies_process(number, a, b) != 0
            ? forking { next_syscall(number, a, b, c, d, e, f) } : next_syscall(number, a, b, c, d, e, f)
    }
}

/// By syscall(2) to the end: another library's `close` may be made of it.
private func closingCall(_ number: Int, _ a: Int, _ b: Int, _ c: Int) -> Int {
    let first = Int32(truncatingIfNeeded: a), second = Int32(truncatingIfNeeded: b)
    if number == Int(OSSC_CLOSE) {
        return Int(closing(first) { Int32(truncatingIfNeeded: next_syscall(number, a, b, c, 0, 0, 0)) })
    }
    if number != Int(OSSC_CLOSE_RANGE) {
        let flags = number == Int(OSSC_DUP3) ? Int32(truncatingIfNeeded: c) : 0
        return Int(
            replacing(first, second, flags) { Int32(truncatingIfNeeded: next_syscall(number, a, b, c, 0, 0, 0)) })
    }
    let flags = Int32(truncatingIfNeeded: c)
    return Int(
        closing(UInt32(bitPattern: first), UInt32(bitPattern: second), flags) {
            Int32(truncatingIfNeeded: next_syscall(number, Int($0), Int($1), c, 0, 0, 0))
        })
}

@_cdecl("clone")
public func hook_clone(
    _ body: (@convention(c) (UnsafeMutableRawPointer?) -> Int32)?, _ stack: UnsafeMutableRawPointer?, _ flags: Int32,
    _ argument: UnsafeMutableRawPointer?, _ a: Int, _ b: Int, _ c: Int
) -> Int32 {
    ossc_is_on() != 0
        ? ossc_clone_process(body, stack, flags, argument, a, b, c)
        : next_clone(body, stack, flags, argument, a, b, c)
}
