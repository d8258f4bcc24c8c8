import PreloadShim

// Reading from a descriptor. One that is not managed costs a load, a branch and a jump: everything else is
// in functions of their own, so that the fast way saves no register. A managed one waits for its range first.

/// Waits for [offset, offset + bytes); true when the call may go on, else errno is set.
@inline(never)
func ready(_ descriptor: Int32, _ known: File, _ offset: Int64, _ bytes: Int) -> Bool {
    guard offset >= 0, bytes > 0 else { return true }
    let end = min(known.pointee.bytes, UInt64(offset) &+ UInt64(bytes))
    if known.visibleEnd(from: UInt64(offset), to: end) >= end, !known.epochChanged {
        known.useEpoch()
        return true
    }
    guard let file = verified(descriptor, known) else { return true }
    let error = waitVisible(file, offset: UInt64(offset), bytes: UInt64(bytes))
    if error != 0 { ossc_set_errno(error) }
    return error == 0
}

/// The same for a descriptor that may be managed. `offset` nil: the descriptor's own.
@inline(never)
private func admit(_ descriptor: Int32, _ offset: Int64?, _ bytes: Int) -> Bool {
    guard let file = incomplete(descriptor) else { return true }
    return ready(descriptor, file, offset ?? position(descriptor), bytes)
}

func position(_ descriptor: Int32) -> Int64 { Int64(ossc_seek(descriptor, 0, 1)) }

/// Bytes of an iovec array: pairs of an address and a length.
private func total(_ vector: UnsafeRawPointer?, _ count: Int32) -> Int {
    guard let vector else { return 0 }
    var sum = 0
    for i in 0..<max(Int(count), 0) { sum &+= vector.load(fromByteOffset: i * 16 + 8, as: Int.self) }
    return max(sum, 0)
}

@_cdecl("read")
public func hook_read(_ descriptor: Int32, _ to: UnsafeMutableRawPointer?, _ bytes: Int) -> Int {
    ossc_may_be_managed(descriptor) == 0 ? next_read(descriptor, to, bytes) : waitingRead(descriptor, to, bytes)
}
@inline(never)
private func waitingRead(_ descriptor: Int32, _ to: UnsafeMutableRawPointer?, _ bytes: Int) -> Int {
    admit(descriptor, nil, bytes) ? next_read(descriptor, to, bytes) : -1
}

@_cdecl("__read_chk")
public func hook___read_chk(_ descriptor: Int32, _ to: UnsafeMutableRawPointer?, _ bytes: Int, _ space: Int) -> Int {
    ossc_may_be_managed(descriptor) == 0 ? next___read_chk(descriptor, to, bytes, space) : waitingReadChecked(descriptor, to, bytes, space)
}
@inline(never)
private func waitingReadChecked(_ descriptor: Int32, _ to: UnsafeMutableRawPointer?, _ bytes: Int, _ space: Int) -> Int {
    admit(descriptor, nil, bytes) ? next___read_chk(descriptor, to, bytes, space) : -1
}

@_cdecl("pread")
public func hook_pread(_ descriptor: Int32, _ to: UnsafeMutableRawPointer?, _ bytes: Int, _ offset: Int64) -> Int {
    ossc_may_be_managed(descriptor) == 0 ? next_pread(descriptor, to, bytes, offset) : waitingPread(descriptor, to, bytes, offset)
}
// off_t has 64 bits: both names are one function.
@_cdecl("pread64")
public func hook_pread64(_ descriptor: Int32, _ to: UnsafeMutableRawPointer?, _ bytes: Int, _ offset: Int64) -> Int {
    ossc_may_be_managed(descriptor) == 0 ? next_pread64(descriptor, to, bytes, offset) : waitingPread(descriptor, to, bytes, offset)
}
@inline(never)
private func waitingPread(_ descriptor: Int32, _ to: UnsafeMutableRawPointer?, _ bytes: Int, _ offset: Int64) -> Int {
    admit(descriptor, offset, bytes) ? next_pread64(descriptor, to, bytes, offset) : -1
}

@_cdecl("__pread_chk")
public func hook___pread_chk(_ descriptor: Int32, _ to: UnsafeMutableRawPointer?, _ bytes: Int, _ offset: Int64, _ space: Int) -> Int {
    ossc_may_be_managed(descriptor) == 0 ? next___pread_chk(descriptor, to, bytes, offset, space)
        : waitingPreadChecked(descriptor, to, bytes, offset, space)
}
@_cdecl("__pread64_chk")
public func hook___pread64_chk(_ descriptor: Int32, _ to: UnsafeMutableRawPointer?, _ bytes: Int, _ offset: Int64, _ space: Int) -> Int {
    ossc_may_be_managed(descriptor) == 0 ? next___pread64_chk(descriptor, to, bytes, offset, space)
        : waitingPreadChecked(descriptor, to, bytes, offset, space)
}
@inline(never)
private func waitingPreadChecked(_ descriptor: Int32, _ to: UnsafeMutableRawPointer?, _ bytes: Int, _ offset: Int64, _ space: Int) -> Int {
    admit(descriptor, offset, bytes) ? next___pread64_chk(descriptor, to, bytes, offset, space) : -1
}

@_cdecl("readv")
public func hook_readv(_ descriptor: Int32, _ vector: UnsafeRawPointer?, _ count: Int32) -> Int {
    ossc_may_be_managed(descriptor) == 0 ? next_readv(descriptor, vector, count) : waitingReadv(descriptor, vector, count)
}
@inline(never)
private func waitingReadv(_ descriptor: Int32, _ vector: UnsafeRawPointer?, _ count: Int32) -> Int {
    admit(descriptor, nil, total(vector, count)) ? next_readv(descriptor, vector, count) : -1
}

@_cdecl("preadv")
public func hook_preadv(_ descriptor: Int32, _ vector: UnsafeRawPointer?, _ count: Int32, _ offset: Int64) -> Int {
    ossc_may_be_managed(descriptor) == 0 ? next_preadv(descriptor, vector, count, offset) : waitingPreadv(descriptor, vector, count, offset)
}
@_cdecl("preadv64")
public func hook_preadv64(_ descriptor: Int32, _ vector: UnsafeRawPointer?, _ count: Int32, _ offset: Int64) -> Int {
    ossc_may_be_managed(descriptor) == 0 ? next_preadv64(descriptor, vector, count, offset) : waitingPreadv(descriptor, vector, count, offset)
}
@inline(never)
private func waitingPreadv(_ descriptor: Int32, _ vector: UnsafeRawPointer?, _ count: Int32, _ offset: Int64) -> Int {
    admit(descriptor, offset, total(vector, count)) ? next_preadv64(descriptor, vector, count, offset) : -1
}

@_cdecl("preadv2")
public func hook_preadv2(_ descriptor: Int32, _ vector: UnsafeRawPointer?, _ count: Int32, _ offset: Int64, _ flags: Int32) -> Int {
    ossc_may_be_managed(descriptor) == 0 ? next_preadv2(descriptor, vector, count, offset, flags)
        : waitingPreadv2(descriptor, vector, count, offset, flags)
}
@_cdecl("preadv64v2")
public func hook_preadv64v2(_ descriptor: Int32, _ vector: UnsafeRawPointer?, _ count: Int32, _ offset: Int64, _ flags: Int32) -> Int {
    ossc_may_be_managed(descriptor) == 0 ? next_preadv64v2(descriptor, vector, count, offset, flags)
        : waitingPreadv2(descriptor, vector, count, offset, flags)
}
@inline(never)
private func waitingPreadv2(_ descriptor: Int32, _ vector: UnsafeRawPointer?, _ count: Int32, _ offset: Int64, _ flags: Int32) -> Int {
    admit(descriptor, offset == -1 ? nil : offset, total(vector, count)) ? next_preadv64v2(descriptor, vector, count, offset, flags) : -1
}

@_cdecl("lseek")
public func hook_lseek(_ descriptor: Int32, _ offset: Int64, _ whence: Int32) -> Int64 {
    whence < 3 ? next_lseek(descriptor, offset, whence) : seekData(descriptor, offset, whence)
}
@_cdecl("lseek64")
public func hook_lseek64(_ descriptor: Int32, _ offset: Int64, _ whence: Int32) -> Int64 {
    whence < 3 ? next_lseek64(descriptor, offset, whence) : seekData(descriptor, offset, whence)
}
/// A managed file has no holes to skip: SEEK_DATA and SEEK_HOLE answer as for a full file.
@inline(never)
private func seekData(_ descriptor: Int32, _ offset: Int64, _ whence: Int32) -> Int64 {
    guard let file = incomplete(descriptor) else { return next_lseek64(descriptor, offset, whence) }
    guard offset >= 0, UInt64(offset) < file.pointee.bytes else {
        ossc_set_errno(6)  // ENXIO
        return -1
    }
    return next_lseek64(descriptor, whence == 3 ? offset : Int64(file.pointee.bytes), 0)
}
