import PreloadShim

// Calls on a descriptor. An unmanaged one costs a load and a branch; a managed one waits for its range first.

/// Waits for [offset, offset + bytes); true when the call may go on, else errno is set.
@inline(never)
private func ready(_ descriptor: Int32, _ known: File, _ offset: Int64, _ bytes: Int) -> Bool {
    guard offset >= 0, bytes > 0 else { return true }
    if known.visibleEnd(from: UInt64(offset), to: min(known.pointee.bytes, UInt64(offset) &+ UInt64(bytes))) >= min(known.pointee.bytes, UInt64(offset) &+ UInt64(bytes)), !known.epochChanged {
        known.useEpoch()
        return true
    }
    guard let file = verified(descriptor, known) else { return true }
    let error = waitVisible(file, offset: UInt64(offset), bytes: UInt64(bytes))
    if error != 0 { ossc_set_errno(error) }
    return error == 0
}

private func position(_ descriptor: Int32) -> Int64 { Int64(ossc_seek(descriptor, 0, 1)) }

private func total(_ vector: UnsafeRawPointer?, _ count: Int32) -> Int {
    guard let vector else { return 0 }
    var sum = 0
    for i in 0..<max(Int(count), 0) { sum &+= vector.load(fromByteOffset: i * 16 + 8, as: Int.self) }
    return max(sum, 0)
}

/// Waits for the range's first chunk and answers how much may be moved at once: a short count is usual for these calls.
private func clamp(_ descriptor: Int32, _ file: File, _ offset: Int64, _ bytes: Int) -> Int? {
    guard ready(descriptor, file, offset, 1) else { return nil }
    guard offset >= 0, UInt64(offset) < file.pointee.bytes else { return bytes }
    let end = min(file.pointee.bytes, UInt64(offset) &+ UInt64(bytes))
    return Int(file.visibleEnd(from: UInt64(offset), to: end) - UInt64(offset))
}

@_cdecl("read")
public func hook_read(_ descriptor: Int32, _ to: UnsafeMutableRawPointer?, _ bytes: Int) -> Int {
    if let file = incomplete(descriptor), !ready(descriptor, file, position(descriptor), bytes) { return -1 }
    return next_read(descriptor, to, bytes)
}

@_cdecl("__read_chk")
public func hook___read_chk(_ descriptor: Int32, _ to: UnsafeMutableRawPointer?, _ bytes: Int, _ space: Int) -> Int {
    if let file = incomplete(descriptor), !ready(descriptor, file, position(descriptor), bytes) { return -1 }
    return next___read_chk(descriptor, to, bytes, space)
}

@_cdecl("pread")
public func hook_pread(_ descriptor: Int32, _ to: UnsafeMutableRawPointer?, _ bytes: Int, _ offset: Int64) -> Int {
    if let file = incomplete(descriptor), !ready(descriptor, file, offset, bytes) { return -1 }
    return next_pread(descriptor, to, bytes, offset)
}

@_cdecl("pread64")
public func hook_pread64(_ descriptor: Int32, _ to: UnsafeMutableRawPointer?, _ bytes: Int, _ offset: Int64) -> Int {
    if let file = incomplete(descriptor), !ready(descriptor, file, offset, bytes) { return -1 }
    return next_pread64(descriptor, to, bytes, offset)
}

@_cdecl("__pread_chk")
public func hook___pread_chk(_ descriptor: Int32, _ to: UnsafeMutableRawPointer?, _ bytes: Int, _ offset: Int64, _ space: Int) -> Int {
    if let file = incomplete(descriptor), !ready(descriptor, file, offset, bytes) { return -1 }
    return next___pread_chk(descriptor, to, bytes, offset, space)
}

@_cdecl("__pread64_chk")
public func hook___pread64_chk(_ descriptor: Int32, _ to: UnsafeMutableRawPointer?, _ bytes: Int, _ offset: Int64, _ space: Int) -> Int {
    if let file = incomplete(descriptor), !ready(descriptor, file, offset, bytes) { return -1 }
    return next___pread64_chk(descriptor, to, bytes, offset, space)
}

@_cdecl("readv")
public func hook_readv(_ descriptor: Int32, _ vector: UnsafeRawPointer?, _ count: Int32) -> Int {
    if let file = incomplete(descriptor), !ready(descriptor, file, position(descriptor), total(vector, count)) { return -1 }
    return next_readv(descriptor, vector, count)
}

@_cdecl("preadv")
public func hook_preadv(_ descriptor: Int32, _ vector: UnsafeRawPointer?, _ count: Int32, _ offset: Int64) -> Int {
    if let file = incomplete(descriptor), !ready(descriptor, file, offset, total(vector, count)) { return -1 }
    return next_preadv(descriptor, vector, count, offset)
}

@_cdecl("preadv64")
public func hook_preadv64(_ descriptor: Int32, _ vector: UnsafeRawPointer?, _ count: Int32, _ offset: Int64) -> Int {
    if let file = incomplete(descriptor), !ready(descriptor, file, offset, total(vector, count)) { return -1 }
    return next_preadv64(descriptor, vector, count, offset)
}

@_cdecl("preadv2")
public func hook_preadv2(_ descriptor: Int32, _ vector: UnsafeRawPointer?, _ count: Int32, _ offset: Int64, _ flags: Int32) -> Int {
    if let file = incomplete(descriptor), !ready(descriptor, file, offset == -1 ? position(descriptor) : offset, total(vector, count)) { return -1 }
    return next_preadv2(descriptor, vector, count, offset, flags)
}

@_cdecl("preadv64v2")
public func hook_preadv64v2(_ descriptor: Int32, _ vector: UnsafeRawPointer?, _ count: Int32, _ offset: Int64, _ flags: Int32) -> Int {
    if let file = incomplete(descriptor), !ready(descriptor, file, offset == -1 ? position(descriptor) : offset, total(vector, count)) { return -1 }
    return next_preadv64v2(descriptor, vector, count, offset, flags)
}

/// A managed file has no holes to skip: SEEK_DATA and SEEK_HOLE answer as for a full file.
@_cdecl("lseek")
public func hook_lseek(_ descriptor: Int32, _ offset: Int64, _ whence: Int32) -> Int64 {
    if whence >= 3, let file = incomplete(descriptor) {
        guard offset >= 0, UInt64(offset) < file.pointee.bytes else {
            ossc_set_errno(6)
            return -1
        }
        return next_lseek(descriptor, whence == 3 ? offset : Int64(file.pointee.bytes), 0)
    }
    return next_lseek(descriptor, offset, whence)
}

/// A managed file has no holes to skip: SEEK_DATA and SEEK_HOLE answer as for a full file.
@_cdecl("lseek64")
public func hook_lseek64(_ descriptor: Int32, _ offset: Int64, _ whence: Int32) -> Int64 {
    if whence >= 3, let file = incomplete(descriptor) {
        guard offset >= 0, UInt64(offset) < file.pointee.bytes else {
            ossc_set_errno(6)
            return -1
        }
        return next_lseek64(descriptor, whence == 3 ? offset : Int64(file.pointee.bytes), 0)
    }
    return next_lseek64(descriptor, offset, whence)
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

/// Cloning and extent maps would show holes: cp falls back to reading.
@_cdecl("ioctl")
public func hook_ioctl(_ descriptor: Int32, _ request: UInt, _ argument: UInt) -> Int32 {
    if ossc_is_on() != 0 {
        let source: Int32
        switch request & 0xFFFF_FFFF {
        case 0x4004_9409: source = Int32(truncatingIfNeeded: argument)  // FICLONE
        case 0x4020_940D: source = UnsafePointer<Int64>(bitPattern: argument).map { Int32(truncatingIfNeeded: $0.pointee) } ?? -1  // FICLONERANGE
        case 0xC020_660B: source = descriptor  // FS_IOC_FIEMAP
        default: source = -1
        }
        if incomplete(source) != nil {
            ossc_set_errno(95)
            return -1
        }
    }
    return next_ioctl(descriptor, request, argument)
}
