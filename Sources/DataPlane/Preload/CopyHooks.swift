import PreloadShim

// Calls that move bytes from one descriptor to another inside the kernel, and ioctl, which can clone a file.

/// Calls with as many bytes as are there, one at least: a short count is usual for these calls.
@inline(__always)
func moving(_ input: Int32, _ offset: UnsafeMutablePointer<Int64>?, _ bytes: Int, _ call: (Int32, Int) -> Int) -> Int {
    if ossc_may_be_managed(input) == 0 { return call(input, bytes) }
    return admitted(input, offset?.pointee, bytes, least: 1, call)
}

@_cdecl("sendfile")
public func hook_sendfile(
    _ output: Int32, _ input: Int32, _ offset: UnsafeMutablePointer<Int64>?, _ bytes: Int
) -> Int {
    moving(input, offset, bytes) { next_sendfile(output, $0, offset, $1) }
}

@_cdecl("sendfile64")
public func hook_sendfile64(
    _ output: Int32, _ input: Int32, _ offset: UnsafeMutablePointer<Int64>?, _ bytes: Int
) -> Int {
    moving(input, offset, bytes) { next_sendfile64(output, $0, offset, $1) }
}

@_cdecl("copy_file_range")
public func hook_copy_file_range(
    _ input: Int32, _ inputOffset: UnsafeMutablePointer<Int64>?, _ output: Int32,
    _ outputOffset: UnsafeMutablePointer<Int64>?,
    _ bytes: Int, _ flags: UInt32
) -> Int {
    moving(input, inputOffset, bytes) { next_copy_file_range($0, inputOffset, output, outputOffset, $1, flags) }
}

@_cdecl("splice")
public func hook_splice(
    _ input: Int32, _ inputOffset: UnsafeMutablePointer<Int64>?, _ output: Int32,
    _ outputOffset: UnsafeMutablePointer<Int64>?,
    _ bytes: Int, _ flags: UInt32
) -> Int {
    moving(input, inputOffset, bytes) { next_splice($0, inputOffset, output, outputOffset, $1, flags) }
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
