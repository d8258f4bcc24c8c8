import PreloadShim

// Reading from a descriptor. One that is not managed costs a load, a branch and a jump: everything else is
// in functions of their own, so that the fast way saves no register. A managed one waits for its range first.
//
// A position may belong to several readers: threads, forked children and programs that exec makes share it. The bytes
// that are looked at must be the bytes that are read, and nobody else's. So no read of an arriving file is left to the
// kernel's position. It takes its range by one `lseek` relative to the position, which the kernel makes as one step
// whoever shares it, and reads the range where it looked.

/// The end of what a read of `bytes` at `offset` can give: the offset itself for none.
private func wanted(_ file: File, _ offset: Int64, _ bytes: Int) -> UInt64 {
    guard offset >= 0, bytes != 0, UInt64(offset) < file.pointee.bytes else { return UInt64(max(offset, 0)) }
    let left = file.pointee.bytes - UInt64(offset)
    // A size that is negative as a ssize_t is more than any file has.
    return UInt64(offset) + (bytes < 0 ? left : min(left, UInt64(bytes)))
}

/// Calls `read` with the readable descriptor once [offset, offset + bytes) is there, or with the number itself when it
/// is not managed. -1 with errno when the range will not come.
@inline(__always)
func admitted(_ descriptor: Int32, _ offset: Int64, _ bytes: Int, _ read: (Int32) -> Int) -> Int {
    while true {
        switch reading(descriptor) {
        case .plain:
            return read(descriptor)
        case .lost:
            return failing(9)  // EBADF
        case .managed(let file, let readable):
            if available(file, offset, bytes) != nil {
                let result = read(readable)
                ossc_file_leave(file)
                return result
            }
            // Not held while it waits: others may close what they have open of this file.
            ossc_file_leave(file)
            let error = wait(file, offset, bytes)
            if error != 0 { return failing(error) }
        }
    }
}

func failing(_ error: Int32) -> Int {
    ossc_set_errno(error)
    return -1
}

/// How much of the range may be read now; nil when `least` of it is not there.
@inline(never)
func available(_ file: File, _ offset: Int64, _ bytes: Int, least: Int = Int.max) -> Int? {
    let end = wanted(file, offset, bytes)
    guard offset >= 0, end > UInt64(offset) else { return bytes }
    file.useEpoch()
    let there = file.visibleEnd(from: UInt64(offset), to: end)
    if file.epochChanged { file.stopForEpoch() }
    if there == end { return bytes }
    let enough = wanted(file, offset, bytes < 0 ? least : min(bytes, least))
    return there >= enough ? Int(there - UInt64(offset)) : nil
}

/// Waits for the first `bytes` from `offset`. 0, or the errno for the reader.
func wait(_ file: File, _ offset: Int64, _ bytes: Int) -> Int32 {
    waitVisible(file, offset: UInt64(offset), bytes: wanted(file, offset, bytes) - UInt64(offset))
}

func position(_ descriptor: Int32) -> Int64 { Int64(ossc_seek(descriptor, 0, 1)) }

/// Moves the position by `bytes`, in one step for all who share it. Where it was, or -errno.
private func advance(_ descriptor: Int32, by bytes: Int) -> Int64 {
    let moved = Int64(ossc_seek(descriptor, Int64(bytes), 1))
    return moved < 0 ? moved : moved - Int64(bytes)
}

/// The kernel reads no more at once (MAX_RW_COUNT).
private var maximumRead: Int { Int(Int32.max) & ~Int(ossc_page_bytes() - 1) }

/// Reads at the descriptor's own position. `plain` is the call as it was made, for a number that is not managed; `read`
/// gets a descriptor, an offset and how much to read there. `least`: how much is waited for.
@inline(never)
func readInTurn(
    _ descriptor: Int32, _ bytes: Int, least: Int = Int.max, plain: (Int32) -> Int, at read: (Int32, Int64, Int) -> Int
) -> Int {
    while true {
        switch reading(descriptor) {
        case .plain:
            return plain(descriptor)
        case .lost:
            return failing(9)  // EBADF
        case .managed(let file, let readable):
            let start = position(readable)
            guard start >= 0 else {
                ossc_file_leave(file)
                return failing(Int32(-start))
            }
            let most = min(bytes, maximumRead)
            guard most > 0, UInt64(start) < file.pointee.bytes else {
                // Nothing, at the end, or the kernel's to refuse.
                let result = read(readable, start, bytes)
                ossc_file_leave(file)
                return result
            }
            guard let share = available(file, start, most, least: least) else {
                ossc_file_leave(file)
                let error = wait(file, start, min(most, least))
                if error != 0 { return failing(error) }
                continue
            }
            let taken = Int(wanted(file, start, share) - UInt64(start))
            let from = advance(readable, by: taken)
            guard from == start else {
                let kept = from < 0 ? 0 : Int(wanted(file, from, taken) - UInt64(from))
                // Before the wait, after which another may have put the position elsewhere.
                if from >= 0 { giveBack(readable, taken, kept) }
                ossc_file_leave(file)
                return from < 0 ? failing(Int32(-from)) : readTaken(file, descriptor, from, kept, share, read)
            }
            // The share, not what the file's end leaves of it: direct reads ask for whole blocks there too.
            let result = read(readable, start, share)
            giveBack(readable, taken, result)
            ossc_file_leave(file)
            return result
        }
    }
}

private func giveBack(_ descriptor: Int32, _ taken: Int, _ result: Int) {
    let read = max(result, 0)
    if read < taken { _ = advance(descriptor, by: read - taken) }
}

/// The same after a wait: where another has put the position elsewhere, there it stays.
private func giveBack(_ descriptor: Int32, _ from: Int64, _ taken: Int, _ result: Int) {
    if position(descriptor) == from + Int64(taken) { giveBack(descriptor, taken, result) }
}

/// Others who share the position moved it between the look and the taking: the range is the reader's own all the same,
/// and may have to be waited for. `taken` goes no further than the file.
@inline(never)
private func readTaken(
    _ file: File, _ descriptor: Int32, _ from: Int64, _ taken: Int, _ share: Int, _ read: (Int32, Int64, Int) -> Int
) -> Int {
    let bytes = UInt64(from) + UInt64(taken) == file.pointee.bytes ? share : taken
    let error = wait(file, from, taken)
    // Nobody was inside meanwhile: the number may have been closed, or be the complete file's own now.
    let again = reading(descriptor)
    if case .managed(let now, let readable) = again {
        defer { ossc_file_leave(now) }
        if now == file {
            let result = error == 0 ? read(readable, from, bytes) : failing(error)
            giveBack(readable, from, taken, result)
            return result
        }
    } else if case .plain = again, ossc_identify(descriptor).isOf(file) {
        let result = error == 0 ? read(descriptor, from, bytes) : failing(error)
        giveBack(descriptor, from, taken, result)
        return result
    }
    guard error == 0 else { return failing(error) }
    let opened = openAgain(file)
    guard opened.descriptor >= 0 else { return failing(9) }  // EBADF
    let result = read(opened.descriptor, from, bytes)
    _ = ossc_close(opened.descriptor)
    return result
}

/// Bytes of an iovec array: pairs of an address and a length. 0 for one that the kernel refuses.
func total(_ vector: UnsafeRawPointer?, _ count: Int32) -> Int {
    guard let vector, count > 0, count <= 1024 else { return 0 }
    var sum = 0
    for i in 0..<Int(count) {
        let bytes = vector.load(fromByteOffset: i * 16 + 8, as: Int.self)
        if bytes < 0 { return 0 }
        // The kernel reads no more than it can, whatever the sum.
        sum = sum > Int.max - bytes ? Int.max : sum + bytes
    }
    return sum
}

/// Calls `read` with an array for no more than `bytes`; -1 with errno without memory for one.
private func within(
    _ bytes: Int, _ vector: UnsafeRawPointer?, _ count: Int32, _ read: (UnsafeRawPointer?, Int32) -> Int
) -> Int {
    guard let vector, total(vector, count) > bytes else { return read(vector, count) }
    let result = withMappedBytes(Int(count) * 16) { copy -> Int in
        var left = bytes
        var used: Int32 = 0
        while used < count, left > 0 {
            let at = Int(used) * 16
            let share = min(left, vector.load(fromByteOffset: at + 8, as: Int.self))
            copy.storeBytes(of: vector.load(fromByteOffset: at, as: UInt.self), toByteOffset: at, as: UInt.self)
            copy.storeBytes(of: share, toByteOffset: at + 8, as: Int.self)
            left -= share
            used += 1
        }
        return read(UnsafeRawPointer(copy), used)
    }
    return result ?? failing(12)  // ENOMEM
}

@_cdecl("read")
public func hook_read(_ descriptor: Int32, _ to: UnsafeMutableRawPointer?, _ bytes: Int) -> Int {
    ossc_may_be_managed(descriptor) == 0 ? next_read(descriptor, to, bytes) : waitingRead(descriptor, to, bytes)
}
@inline(never)
private func waitingRead(_ descriptor: Int32, _ to: UnsafeMutableRawPointer?, _ bytes: Int) -> Int {
    readInTurn(descriptor, bytes, plain: { next_read($0, to, bytes) }, at: { next_pread64($0, to, $2, $1) })
}

@_cdecl("__read_chk")
public func hook___read_chk(_ descriptor: Int32, _ to: UnsafeMutableRawPointer?, _ bytes: Int, _ space: Int) -> Int {
    ossc_may_be_managed(descriptor) == 0
        ? next___read_chk(descriptor, to, bytes, space)
        : waitingReadChk(descriptor, to, bytes, space)
}
@inline(never)
private func waitingReadChk(_ descriptor: Int32, _ to: UnsafeMutableRawPointer?, _ bytes: Int, _ space: Int) -> Int {
    // More than the space has is the C library's to end the program for.
    UInt(bitPattern: bytes) > UInt(bitPattern: space)
        ? next___read_chk(descriptor, to, bytes, space) : waitingRead(descriptor, to, bytes)
}

@_cdecl("pread")
public func hook_pread(_ descriptor: Int32, _ to: UnsafeMutableRawPointer?, _ bytes: Int, _ offset: Int64) -> Int {
    ossc_may_be_managed(descriptor) == 0
        ? next_pread(descriptor, to, bytes, offset)
        : waitingPread(descriptor, to, bytes, offset)
}
@inline(never)
private func waitingPread(_ descriptor: Int32, _ to: UnsafeMutableRawPointer?, _ bytes: Int, _ offset: Int64) -> Int {
    admitted(descriptor, offset, bytes) { next_pread($0, to, bytes, offset) }
}

@_cdecl("pread64")
public func hook_pread64(_ descriptor: Int32, _ to: UnsafeMutableRawPointer?, _ bytes: Int, _ offset: Int64) -> Int {
    ossc_may_be_managed(descriptor) == 0
        ? next_pread64(descriptor, to, bytes, offset)
        : waitingPread64(descriptor, to, bytes, offset)
}
@inline(never)
private func waitingPread64(_ descriptor: Int32, _ to: UnsafeMutableRawPointer?, _ bytes: Int, _ offset: Int64) -> Int {
    admitted(descriptor, offset, bytes) { next_pread64($0, to, bytes, offset) }
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
    admitted(descriptor, offset, bytes) { next___pread_chk($0, to, bytes, offset, space) }
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
    admitted(descriptor, offset, bytes) { next___pread64_chk($0, to, bytes, offset, space) }
}

@_cdecl("readv")
public func hook_readv(_ descriptor: Int32, _ vector: UnsafeRawPointer?, _ count: Int32) -> Int {
    ossc_may_be_managed(descriptor) == 0
        ? next_readv(descriptor, vector, count)
        : waitingReadv(descriptor, vector, count)
}
@inline(never)
private func waitingReadv(_ descriptor: Int32, _ vector: UnsafeRawPointer?, _ count: Int32) -> Int {
    readInTurn(
        descriptor, total(vector, count), plain: { next_readv($0, vector, count) },
        at: { from, offset, bytes in within(bytes, vector, count) { next_preadv64(from, $0, $1, offset) } })
}

@_cdecl("preadv")
public func hook_preadv(_ descriptor: Int32, _ vector: UnsafeRawPointer?, _ count: Int32, _ offset: Int64) -> Int {
    ossc_may_be_managed(descriptor) == 0
        ? next_preadv(descriptor, vector, count, offset)
        : waitingPreadv(descriptor, vector, count, offset)
}
@inline(never)
private func waitingPreadv(_ descriptor: Int32, _ vector: UnsafeRawPointer?, _ count: Int32, _ offset: Int64) -> Int {
    admitted(descriptor, offset, total(vector, count)) { next_preadv($0, vector, count, offset) }
}

@_cdecl("preadv64")
public func hook_preadv64(_ descriptor: Int32, _ vector: UnsafeRawPointer?, _ count: Int32, _ offset: Int64) -> Int {
    ossc_may_be_managed(descriptor) == 0
        ? next_preadv64(descriptor, vector, count, offset)
        : waitingPreadv64(descriptor, vector, count, offset)
}
@inline(never)
private func waitingPreadv64(_ descriptor: Int32, _ vector: UnsafeRawPointer?, _ count: Int32, _ offset: Int64) -> Int {
    admitted(descriptor, offset, total(vector, count)) { next_preadv64($0, vector, count, offset) }
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
    if offset != -1 {
        return admitted(descriptor, offset, total(vector, count)) { next_preadv2($0, vector, count, offset, flags) }
    }
    // The descriptor's own position.
    return readInTurn(
        descriptor, total(vector, count), plain: { next_preadv2($0, vector, count, offset, flags) },
        at: { from, at, bytes in within(bytes, vector, count) { next_preadv2(from, $0, $1, at, flags) } })
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
    if offset != -1 {
        return admitted(descriptor, offset, total(vector, count)) { next_preadv64v2($0, vector, count, offset, flags) }
    }
    // The descriptor's own position.
    return readInTurn(
        descriptor, total(vector, count), plain: { next_preadv64v2($0, vector, count, offset, flags) },
        at: { from, at, bytes in within(bytes, vector, count) { next_preadv64v2(from, $0, $1, at, flags) } })
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
