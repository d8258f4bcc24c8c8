import PreloadShim

// Calls that move bytes from one descriptor to another inside the kernel, and ioctl, which can clone a file.

/// Waits for the range's first chunk and answers how much may be moved at once: a short count is usual for these calls.
func clamp(_ descriptor: Int32, _ file: File, _ offset: Int64, _ bytes: Int) -> Int? {
    guard ready(descriptor, file, offset, 1) else { return nil }
    guard offset >= 0, UInt64(offset) < file.pointee.bytes else { return bytes }
    let end = min(file.pointee.bytes, UInt64(offset) &+ UInt64(bytes))
    return Int(file.visibleEnd(from: UInt64(offset), to: end) - UInt64(offset))
}

@_cdecl("sendfile")
public func hook_sendfile(_ output: Int32, _ input: Int32, _ offset: UnsafeMutablePointer<Int64>?, _ bytes: Int) -> Int {
    guard let file = incomplete(input) else { return next_sendfile(output, input, offset, bytes) }
    guard let share = clamp(input, file, offset?.pointee ?? position(input), bytes) else { return -1 }
    return next_sendfile(output, input, offset, share)
}

@_cdecl("sendfile64")
public func hook_sendfile64(_ output: Int32, _ input: Int32, _ offset: UnsafeMutablePointer<Int64>?, _ bytes: Int) -> Int {
    guard let file = incomplete(input) else { return next_sendfile64(output, input, offset, bytes) }
    guard let share = clamp(input, file, offset?.pointee ?? position(input), bytes) else { return -1 }
    return next_sendfile64(output, input, offset, share)
}

@_cdecl("copy_file_range")
public func hook_copy_file_range(
    _ input: Int32, _ inputOffset: UnsafeMutablePointer<Int64>?, _ output: Int32, _ outputOffset: UnsafeMutablePointer<Int64>?,
    _ bytes: Int, _ flags: UInt32
) -> Int {
    guard let file = incomplete(input) else { return next_copy_file_range(input, inputOffset, output, outputOffset, bytes, flags) }
    guard let share = clamp(input, file, inputOffset?.pointee ?? position(input), bytes) else { return -1 }
    return next_copy_file_range(input, inputOffset, output, outputOffset, share, flags)
}

@_cdecl("splice")
public func hook_splice(
    _ input: Int32, _ inputOffset: UnsafeMutablePointer<Int64>?, _ output: Int32, _ outputOffset: UnsafeMutablePointer<Int64>?,
    _ bytes: Int, _ flags: UInt32
) -> Int {
    guard let file = incomplete(input) else { return next_splice(input, inputOffset, output, outputOffset, bytes, flags) }
    guard let share = clamp(input, file, inputOffset?.pointee ?? position(input), bytes) else { return -1 }
    return next_splice(input, inputOffset, output, outputOffset, share, flags)
}

@_cdecl("ioctl")
public func hook_ioctl(_ descriptor: Int32, _ request: UInt, _ argument: UInt) -> Int32 {
    // The three requests below have the types 0x94 and 'f'.
    let kind = (request >> 8) & 0xFF
    return (kind == 0x94 || kind == 0x66) ? checkedControl(descriptor, request, argument) : next_ioctl(descriptor, request, argument)
}
/// Cloning and extent maps would show holes: cp falls back to reading.
@inline(never)
private func checkedControl(_ descriptor: Int32, _ request: UInt, _ argument: UInt) -> Int32 {
    let source: Int32
    switch request & 0xFFFF_FFFF {
    case 0x4004_9409: source = Int32(truncatingIfNeeded: argument)  // FICLONE
    case 0x4020_940D: source = UnsafePointer<Int64>(bitPattern: argument).map { Int32(truncatingIfNeeded: $0.pointee) } ?? -1  // FICLONERANGE
    case 0xC020_660B: source = descriptor  // FS_IOC_FIEMAP
    default: source = -1
    }
    guard incomplete(source) == nil else {
        ossc_set_errno(95)  // EOPNOTSUPP
        return -1
    }
    return next_ioctl(descriptor, request, argument)
}
