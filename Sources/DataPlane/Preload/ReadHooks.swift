import PreloadShim

// Reading from a descriptor. One that is not managed costs a load, a branch and a jump: everything else is
// in functions of their own, so that the fast way saves no register. A managed one waits for its range first.

/// The end of what a read of `bytes` at `offset` can give: the offset itself for none.
private func wanted(_ file: File, _ offset: Int64, _ bytes: Int) -> UInt64 {
    guard offset >= 0, bytes != 0, UInt64(offset) < file.pointee.bytes else { return UInt64(max(offset, 0)) }
    let left = file.pointee.bytes - UInt64(offset)
    // A size that is negative as a ssize_t is more than any file has.
    return UInt64(offset) + (bytes < 0 ? left : min(left, UInt64(bytes)))
}

/// Calls `read` with the readable descriptor once [offset, offset + bytes) is there, or with the number itself when it
/// is not managed. -1 with errno when the range will not come. `offset` nil: the descriptor's own. `least`: how much of
/// the range is waited for; the call gets the bytes that are there.
@inline(__always)
func admitted(
    _ descriptor: Int32, _ offset: Int64?, _ bytes: Int, least: Int = Int.max, _ read: (Int32, Int) -> Int
) -> Int {
    while true {
        switch reading(descriptor) {
        case .plain:
            return read(descriptor, bytes)
        case .lost:
            ossc_set_errno(9)  // EBADF
            return -1
        case .managed(let file, let readable):
            let share = available(file, offset ?? position(readable), bytes, least)
            if let share {
                let result = read(readable, share)
                ossc_file_leave(file)
                return result
            }
            let at = offset ?? position(readable)
            ossc_file_leave(file)
            // Not held while it waits: others may close what they have open of this file.
            let error = waitVisible(file, offset: UInt64(at), bytes: wanted(file, at, min(bytes, least)) - UInt64(at))
            if error != 0 {
                ossc_set_errno(error)
                return -1
            }
        }
    }
}

/// How much of the range may be read now; nil when `least` of it is not there.
@inline(never)
private func available(_ file: File, _ offset: Int64, _ bytes: Int, _ least: Int) -> Int? {
    let end = wanted(file, offset, bytes)
    guard offset >= 0, end > UInt64(offset) else { return bytes }
    file.useEpoch()
    let there = file.visibleEnd(from: UInt64(offset), to: end)
    if file.epochChanged { file.stopForEpoch() }
    if there == end { return bytes }
    let enough = wanted(file, offset, bytes < 0 ? least : min(bytes, least))
    return there >= enough ? Int(there - UInt64(offset)) : nil
}

func position(_ descriptor: Int32) -> Int64 { Int64(ossc_seek(descriptor, 0, 1)) }

/// Bytes of an iovec array: pairs of an address and a length. The kernel itself refuses an array whose sum overflows.
func total(_ vector: UnsafeRawPointer?, _ count: Int32) -> Int {
    guard let vector, count > 0, count <= 1024 else { return 0 }
    var sum = 0
    for i in 0..<Int(count) {
        let (next, overflow) = sum.addingReportingOverflow(vector.load(fromByteOffset: i * 16 + 8, as: Int.self))
        if overflow || next < sum { return 0 }
        sum = next
    }
    return sum
}

@_cdecl("read")
public func hook_read(_ descriptor: Int32, _ to: UnsafeMutableRawPointer?, _ bytes: Int) -> Int {
    ossc_may_be_managed(descriptor) == 0 ? next_read(descriptor, to, bytes) : waitingRead(descriptor, to, bytes)
}
@inline(never)
private func waitingRead(_ descriptor: Int32, _ to: UnsafeMutableRawPointer?, _ bytes: Int) -> Int {
    admitted(descriptor, nil, bytes) { from, _ in next_read(from, to, bytes) }
}

@_cdecl("__read_chk")
public func hook___read_chk(_ descriptor: Int32, _ to: UnsafeMutableRawPointer?, _ bytes: Int, _ space: Int) -> Int {
    ossc_may_be_managed(descriptor) == 0
        ? next___read_chk(descriptor, to, bytes, space)
        : waitingReadChk(descriptor, to, bytes, space)
}
@inline(never)
private func waitingReadChk(_ descriptor: Int32, _ to: UnsafeMutableRawPointer?, _ bytes: Int, _ space: Int) -> Int {
    admitted(descriptor, nil, bytes) { from, _ in next___read_chk(from, to, bytes, space) }
}

@_cdecl("pread")
public func hook_pread(_ descriptor: Int32, _ to: UnsafeMutableRawPointer?, _ bytes: Int, _ offset: Int64) -> Int {
    ossc_may_be_managed(descriptor) == 0
        ? next_pread(descriptor, to, bytes, offset)
        : waitingPread(descriptor, to, bytes, offset)
}
@inline(never)
private func waitingPread(_ descriptor: Int32, _ to: UnsafeMutableRawPointer?, _ bytes: Int, _ offset: Int64) -> Int {
    admitted(descriptor, offset, bytes) { from, _ in next_pread(from, to, bytes, offset) }
}

@_cdecl("pread64")
public func hook_pread64(_ descriptor: Int32, _ to: UnsafeMutableRawPointer?, _ bytes: Int, _ offset: Int64) -> Int {
    ossc_may_be_managed(descriptor) == 0
        ? next_pread64(descriptor, to, bytes, offset)
        : waitingPread64(descriptor, to, bytes, offset)
}
@inline(never)
private func waitingPread64(_ descriptor: Int32, _ to: UnsafeMutableRawPointer?, _ bytes: Int, _ offset: Int64) -> Int {
    admitted(descriptor, offset, bytes) { from, _ in next_pread64(from, to, bytes, offset) }
}

@_cdecl("__pread_chk")
public func hook___pread_chk(
    _ descriptor: Int32, _ to: UnsafeMutableRawPointer?, _ bytes: Int, _ offset: Int64, _ space: Int
) -> Int {
    ossc_may_be_managed(descriptor) == 0
        ? next___pread_chk(descriptor, to, bytes, offset, space)
        : waitingPreadChk(descriptor, to, bytes, offset, space)
}
@inline(never)
private func waitingPreadChk(
    _ descriptor: Int32, _ to: UnsafeMutableRawPointer?, _ bytes: Int, _ offset: Int64, _ space: Int
) -> Int {
    admitted(descriptor, offset, bytes) { from, _ in next___pread_chk(from, to, bytes, offset, space) }
}

@_cdecl("__pread64_chk")
public func hook___pread64_chk(
    _ descriptor: Int32, _ to: UnsafeMutableRawPointer?, _ bytes: Int, _ offset: Int64, _ space: Int
) -> Int {
    ossc_may_be_managed(descriptor) == 0
        ? next___pread64_chk(descriptor, to, bytes, offset, space)
        : waitingPread64Chk(descriptor, to, bytes, offset, space)
}
@inline(never)
private func waitingPread64Chk(
    _ descriptor: Int32, _ to: UnsafeMutableRawPointer?, _ bytes: Int, _ offset: Int64, _ space: Int
) -> Int {
    admitted(descriptor, offset, bytes) { from, _ in next___pread64_chk(from, to, bytes, offset, space) }
}

@_cdecl("readv")
public func hook_readv(_ descriptor: Int32, _ vector: UnsafeRawPointer?, _ count: Int32) -> Int {
    ossc_may_be_managed(descriptor) == 0
        ? next_readv(descriptor, vector, count)
        : waitingReadv(descriptor, vector, count)
}
@inline(never)
private func waitingReadv(_ descriptor: Int32, _ vector: UnsafeRawPointer?, _ count: Int32) -> Int {
    admitted(descriptor, nil, total(vector, count)) { from, _ in next_readv(from, vector, count) }
}

@_cdecl("preadv")
public func hook_preadv(_ descriptor: Int32, _ vector: UnsafeRawPointer?, _ count: Int32, _ offset: Int64) -> Int {
    ossc_may_be_managed(descriptor) == 0
        ? next_preadv(descriptor, vector, count, offset)
        : waitingPreadv(descriptor, vector, count, offset)
}
@inline(never)
private func waitingPreadv(_ descriptor: Int32, _ vector: UnsafeRawPointer?, _ count: Int32, _ offset: Int64) -> Int {
    admitted(descriptor, offset, total(vector, count)) { from, _ in next_preadv(from, vector, count, offset) }
}

@_cdecl("preadv64")
public func hook_preadv64(_ descriptor: Int32, _ vector: UnsafeRawPointer?, _ count: Int32, _ offset: Int64) -> Int {
    ossc_may_be_managed(descriptor) == 0
        ? next_preadv64(descriptor, vector, count, offset)
        : waitingPreadv64(descriptor, vector, count, offset)
}
@inline(never)
private func waitingPreadv64(_ descriptor: Int32, _ vector: UnsafeRawPointer?, _ count: Int32, _ offset: Int64) -> Int {
    admitted(descriptor, offset, total(vector, count)) { from, _ in next_preadv64(from, vector, count, offset) }
}

@_cdecl("preadv2")
public func hook_preadv2(
    _ descriptor: Int32, _ vector: UnsafeRawPointer?, _ count: Int32, _ offset: Int64, _ flags: Int32
) -> Int {
    ossc_may_be_managed(descriptor) == 0
        ? next_preadv2(descriptor, vector, count, offset, flags)
        : waitingPreadv2(descriptor, vector, count, offset, flags)
}
@inline(never)
private func waitingPreadv2(
    _ descriptor: Int32, _ vector: UnsafeRawPointer?, _ count: Int32, _ offset: Int64, _ flags: Int32
) -> Int {
    admitted(descriptor, offset == -1 ? nil : offset, total(vector, count)) { from, _ in
        next_preadv2(from, vector, count, offset, flags)
    }
}

@_cdecl("preadv64v2")
public func hook_preadv64v2(
    _ descriptor: Int32, _ vector: UnsafeRawPointer?, _ count: Int32, _ offset: Int64, _ flags: Int32
) -> Int {
    ossc_may_be_managed(descriptor) == 0
        ? next_preadv64v2(descriptor, vector, count, offset, flags)
        : waitingPreadv64v2(descriptor, vector, count, offset, flags)
}
@inline(never)
private func waitingPreadv64v2(
    _ descriptor: Int32, _ vector: UnsafeRawPointer?, _ count: Int32, _ offset: Int64, _ flags: Int32
) -> Int {
    admitted(descriptor, offset == -1 ? nil : offset, total(vector, count)) { from, _ in
        next_preadv64v2(from, vector, count, offset, flags)
    }
}

@_cdecl("lseek")
public func hook_lseek(_ descriptor: Int32, _ offset: Int64, _ whence: Int32) -> Int64 {
    ossc_may_be_managed(descriptor) == 0 ? next_lseek(descriptor, offset, whence) : seek(descriptor, offset, whence)
}
@_cdecl("lseek64")
public func hook_lseek64(_ descriptor: Int32, _ offset: Int64, _ whence: Int32) -> Int64 {
    ossc_may_be_managed(descriptor) == 0 ? next_lseek64(descriptor, offset, whence) : seek(descriptor, offset, whence)
}
/// A managed file has no holes to skip: SEEK_DATA and SEEK_HOLE answer as for a full file.
@inline(never)
private func seek(_ descriptor: Int32, _ offset: Int64, _ whence: Int32) -> Int64 {
    guard whence == 3 || whence == 4, case .managed(let file, let readable) = reading(descriptor) else {
        return onReadable(descriptor, failed: -1) { next_lseek64($0, offset, whence) }
    }
    defer { ossc_file_leave(file) }
    guard offset >= 0, UInt64(offset) < file.pointee.bytes else {
        ossc_set_errno(6)  // ENXIO
        return -1
    }
    return next_lseek64(readable, whence == 3 ? offset : Int64(file.pointee.bytes), 0)
}
