import PreloadShim

// POSIX asynchronous reads. The C library's threads read the number in the control block by calls that pass no hook:
// the block gets the readable descriptor, once the range is there. Submitting waits for it, as POSIX allows.

// struct aiocb of glibc on 64-bit machines: aio_fildes, aio_lio_opcode, aio_reqprio, aio_buf, aio_nbytes, ...,
// the C library's link to the next block, what aio_error and aio_return give, aio_offset.
private let fildes = 0, opcode = 4, nbytes = 24, nextBlock = 96, errorCode = 112, returnValue = 120, offset = 128
/// The C library passes over LIO_NOP.
private let lioRead: Int32 = 0, lioNothing: Int32 = 2

/// A readable descriptor of the file that lasts as long as the process: the C library's threads use it when they come
/// to it.
private func lasting(_ file: File, _ readable: Int32) -> Int32 {
    ossc_lock(descriptorsLock)
    defer { ossc_unlock(descriptorsLock) }
    if ossc_file_shared(file) < 0 {
        let copy = Int32(ossc_control(readable, 1030, UInt(hiddenBase)))  // F_DUPFD_CLOEXEC
        guard copy >= 0 else { return -1 }
        ossc_set_own(copy, 1)
        ossc_file_set_shared(file, copy)
    }
    return ossc_file_shared(file)
}

/// The file whose lasting descriptor this is: a control block that is used again has it already.
private func fileOfLasting(_ descriptor: Int32) -> File? {
    var next = files
    while let file = next {
        if ossc_file_shared(file) == descriptor { return file }
        next = file.pointee.next
    }
    return nil
}

/// false with errno when the range will not come.
private func prepare(_ block: UnsafeMutableRawPointer?) -> Bool {
    guard let block else { return true }
    let descriptor = block.load(fromByteOffset: fildes, as: Int32.self)
    if ossc_may_be_managed(descriptor) == 0 { return true }
    let at = block.load(fromByteOffset: offset, as: Int64.self),
        bytes = block.load(fromByteOffset: nbytes, as: Int.self)
    if ossc_is_own(descriptor) != 0 {
        guard let file = fileOfLasting(descriptor), at >= 0, !file.isComplete else { return true }
        let error = waitVisible(file, offset: UInt64(at), bytes: bytes < 0 ? file.pointee.bytes : UInt64(bytes))
        if error != 0 { ossc_set_errno(error) }
        return error == 0
    }
    return admitted(descriptor, at, bytes) { from in
        guard from != descriptor, let file = ossc_managed(descriptor) else { return 0 }
        let copy = lasting(file, from)
        guard copy >= 0 else {
            ossc_set_errno(11)  // EAGAIN: no descriptor is left
            return -1
        }
        block.storeBytes(of: copy, toByteOffset: fildes, as: Int32.self)
        return 0
    } == 0
}

@_cdecl("aio_read")
public func hook_aio_read(_ block: UnsafeMutableRawPointer?) -> Int32 { prepare(block) ? next_aio_read(block) : -1 }

@_cdecl("aio_read64")
public func hook_aio_read64(_ block: UnsafeMutableRawPointer?) -> Int32 { prepare(block) ? next_aio_read64(block) : -1 }

/// Submits a list. A read whose range will not come is left out and has its error in its own block, where POSIX has the
/// caller look after EIO; the others are made.
private func submitting(
    _ list: UnsafePointer<UnsafeMutableRawPointer?>?, _ count: Int32, _ call: () -> Int32
) -> Int32 {
    guard let list else { return call() }
    var lost = false
    for i in 0..<max(Int(count), 0) {
        guard let block = list[i], block.load(fromByteOffset: opcode, as: Int32.self) == lioRead, !prepare(block) else {
            continue
        }
        block.storeBytes(of: lioNothing, toByteOffset: opcode, as: Int32.self)
        // Marks it until the call returns: a block that is not submitted has no next one.
        block.storeBytes(of: Int(bitPattern: list), toByteOffset: nextBlock, as: Int.self)
        block.storeBytes(of: ossc_errno(), toByteOffset: errorCode, as: Int32.self)
        block.storeBytes(of: -1, toByteOffset: returnValue, as: Int.self)
        lost = true
    }
    let result = call()
    guard lost else { return result }
    let error = result < 0 ? ossc_errno() : 5
    for i in 0..<max(Int(count), 0) {
        guard let block = list[i], block.load(fromByteOffset: opcode, as: Int32.self) == lioNothing,
            block.load(fromByteOffset: nextBlock, as: Int.self) == Int(bitPattern: list)
        else { continue }
        block.storeBytes(of: 0, toByteOffset: nextBlock, as: Int.self)
        block.storeBytes(of: lioRead, toByteOffset: opcode, as: Int32.self)
    }
    ossc_set_errno(error)
    return -1
}

@_cdecl("lio_listio")
public func hook_lio_listio(
    _ mode: Int32, _ list: UnsafePointer<UnsafeMutableRawPointer?>?, _ count: Int32, _ event: UnsafeMutableRawPointer?
) -> Int32 {
    submitting(list, count) { next_lio_listio(mode, list, count, event) }
}

@_cdecl("lio_listio64")
public func hook_lio_listio64(
    _ mode: Int32, _ list: UnsafePointer<UnsafeMutableRawPointer?>?, _ count: Int32, _ event: UnsafeMutableRawPointer?
) -> Int32 {
    submitting(list, count) { next_lio_listio64(mode, list, count, event) }
}

/// A block that was submitted has the lasting descriptor, whatever became of the program's number.
private func cancelling(
    _ descriptor: Int32, _ block: UnsafeMutableRawPointer?, _ call: (Int32) -> Int32
) -> Int32 {
    if let block {
        let submitted = block.load(fromByteOffset: fildes, as: Int32.self)
        if ossc_is_own(submitted) != 0, fileOfLasting(submitted) != nil { return call(submitted) }
    }
    if ossc_may_be_managed(descriptor) == 0 { return call(descriptor) }
    guard case .managed(let file, _) = reading(descriptor) else { return call(descriptor) }
    defer { ossc_file_leave(file) }
    let submitted = ossc_file_shared(file)
    return submitted < 0 ? 2 : call(submitted)  // AIO_ALLDONE: nothing of it was ever asked for.
}

@_cdecl("aio_cancel")
public func hook_aio_cancel(_ descriptor: Int32, _ block: UnsafeMutableRawPointer?) -> Int32 {
    cancelling(descriptor, block) { next_aio_cancel($0, block) }
}

@_cdecl("aio_cancel64")
public func hook_aio_cancel64(_ descriptor: Int32, _ block: UnsafeMutableRawPointer?) -> Int32 {
    cancelling(descriptor, block) { next_aio_cancel64($0, block) }
}
