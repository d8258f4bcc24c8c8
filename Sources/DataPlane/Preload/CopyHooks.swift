import PreloadShim

// Calls that move bytes from one descriptor to another inside the kernel, and ioctl, which can clone a file.

/// Calls with as many bytes as are there, one at least: a short count is usual for these calls. The call gets an offset
/// of its own, so that it reads where was looked, whoever shares the position or the program's variable; either is set
/// afterwards, as the kernel does.
@inline(__always)
private func moving(
    _ input: Int32, _ offset: UnsafeMutablePointer<Int64>?, _ bytes: Int,
    _ call: (Int32, UnsafeMutablePointer<Int64>?, Int) -> Int
) -> Int {
    ossc_may_be_managed(input) == 0 ? call(input, offset, bytes) : movingManaged(input, offset, bytes, call)
}

@inline(never)
private func movingManaged(
    _ input: Int32, _ offset: UnsafeMutablePointer<Int64>?, _ bytes: Int,
    _ call: (Int32, UnsafeMutablePointer<Int64>?, Int) -> Int
) -> Int {
    while true {
        switch reading(input) {
        case .plain:
            return call(input, offset, bytes)
        case .lost:
            return failing(9)  // EBADF
        case .managed(let file, let readable):
            let start = offset?.pointee ?? position(readable)
            if let share = available(file, start, bytes, least: 1) {
                var at = start
                let moved = call(readable, &at, share)
                if moved > 0, let offset { offset.pointee = start + Int64(moved) }
                if moved > 0, offset == nil { _ = ossc_seek(readable, start + Int64(moved), 0) }
                ossc_file_leave(file)
                return moved
            }
            // Not held while it waits: others may close what they have open of this file.
            ossc_file_leave(file)
            let error = wait(file, start, 1)
            if error != 0 { return failing(error) }
        }
    }
}

@_cdecl("sendfile")
public func hook_sendfile(
    _ output: Int32, _ input: Int32, _ offset: UnsafeMutablePointer<Int64>?, _ bytes: Int
) -> Int {
    moving(input, offset, bytes) { next_sendfile(output, $0, $1, $2) }
}

@_cdecl("sendfile64")
public func hook_sendfile64(
    _ output: Int32, _ input: Int32, _ offset: UnsafeMutablePointer<Int64>?, _ bytes: Int
) -> Int {
    moving(input, offset, bytes) { next_sendfile64(output, $0, $1, $2) }
}

@_cdecl("copy_file_range")
public func hook_copy_file_range(
    _ input: Int32, _ inputOffset: UnsafeMutablePointer<Int64>?, _ output: Int32,
    _ outputOffset: UnsafeMutablePointer<Int64>?,
    _ bytes: Int, _ flags: UInt32
) -> Int {
    moving(input, inputOffset, bytes) { next_copy_file_range($0, $1, output, outputOffset, $2, flags) }
}

@_cdecl("splice")
public func hook_splice(
    _ input: Int32, _ inputOffset: UnsafeMutablePointer<Int64>?, _ output: Int32,
    _ outputOffset: UnsafeMutablePointer<Int64>?,
    _ bytes: Int, _ flags: UInt32
) -> Int {
    moving(input, inputOffset, bytes) { next_splice($0, $1, output, outputOffset, $2, flags) }
}

@_cdecl("ioctl")
public func hook_ioctl(_ descriptor: Int32, _ request: UInt, _ argument: UInt) -> Int32 {
    // Requests to clone a file have the type 0x94.
    (request >> 8) & 0xFF == 0x94 || ossc_may_be_managed(descriptor) != 0 || (hasKnownFiles && request & ~1 == 0x5450)
        ? checkedControl(descriptor, request, argument) : next_ioctl(descriptor, request, argument)
}
/// Cloning and extent maps would show holes: cp falls back to reading.
@inline(never)
private func checkedControl(_ descriptor: Int32, _ request: UInt, _ argument: UInt) -> Int32 {
    let source: Int32
    switch request & 0xFFFF_FFFF {
    case 0x4004_9409: source = Int32(truncatingIfNeeded: argument)  // FICLONE
    case 0x4020_940D:  // FICLONERANGE
        source = UnsafePointer<Int64>(bitPattern: argument).map { Int32(truncatingIfNeeded: $0.pointee) } ?? -1
    case 0xC020_660B: source = descriptor  // FS_IOC_FIEMAP
    case 0x5450, 0x5451: return hook_fcntl(descriptor, 2, request & 1)  // FIONCLEX, FIOCLEX
    default: source = -1
    }
    if isManaged(source) {
        ossc_set_errno(95)  // EOPNOTSUPP
        return -1
    }
    return onReadable(descriptor, failed: -1) { next_ioctl($0, request, argument) }
}
