import PreloadShim

// fork. The parent's incomplete mappings are MADV_DONTFORK: a child would see holes as zeros, since the
// userfaultfd does not follow it. The child has no thread and no connection either; it makes its own when it first
// needs them.
//
// The handlers ask nobody. They take the library's locks, which nobody holds for longer than a few system calls, so
// that the child finds every list complete; ForkHooks.swift calls them where a child is made by other calls than fork.
// A child that is made without them (by the instruction itself) is found out by a page that the kernel wipes in it, and
// taken up at its first call that needs a lock or the thread.

@_cdecl("ossc_fork_prepare")
public func forkPrepare() {
    ossc_lock(descriptorsLock)
    ossc_lock(regionsLock)
    ossc_lock(Int32(OSSC_LOCK_FILES))
    ossc_lock(Int32(OSSC_LOCK_STREAMS))
}

private func unlockAll() {
    ossc_unlock(Int32(OSSC_LOCK_STREAMS))
    ossc_unlock(Int32(OSSC_LOCK_FILES))
    ossc_unlock(regionsLock)
    ossc_unlock(descriptorsLock)
}

@_cdecl("ossc_fork_parent")
public func forkParent() { unlockAll() }

@_cdecl("ossc_fork_child")
public func forkChild() {
    ossc_claim_process()
    // The outermost lock keeps every signal blocked until the mappings are there again.
    ossc_unlock(Int32(OSSC_LOCK_STREAMS))
    ossc_unlock(Int32(OSSC_LOCK_FILES))
    ossc_unlock(regionsLock)
    let mask = ossc_unlock_blocked(descriptorsLock)
    becomeChild()
    ossc_restore_signals(mask)
}

@_cdecl("ossc_enter_child")
public func enterChild() {
    let mask = ossc_block_signals()
    ossc_claim_process()
    ossc_reset_locks()
    becomeChild()
    ossc_restore_signals(mask)
}

private func becomeChild() {
    // First of all, since the parent's mappings left their addresses free: this process's own memory would take them.
    let inherited = takeAllRegions()
    reserve(inherited)
    ossc_give_buffers_of_others()
    var known = files
    while let file = known {
        file.pointee.inside = 0
        known = file.pointee.next
    }
    ossc_forget_identity()
    forgetConnections()
    forgetThread()
    ossc_set_userfault_tried(0)
    let userfault = ossc_userfault()
    ossc_set_userfault(-1)
    if userfault >= 0 { releaseOwn(userfault) }
    var list = inherited
    while let region = list {
        list = region.pointee.next
        if region.pointee.file != nil { mapAgain(region.pointee) }
    }
}

/// Takes the addresses of the parent's mappings, but of those that the program wants in no child. Where something lies
/// there already (a handler that ran before this one took memory), that stays, and the region has no file.
private func reserve(_ inherited: Region?) {
    var list = inherited
    while let region = list {
        list = region.pointee.next
        if region.pointee.not_forked != 0 {
            region.pointee.file = nil
            continue
        }
        if take(region.pointee) { continue }
        if let file = region.pointee.file {
            // After a system call that no hook saw the child may have the mapping itself, which shows holes as zeros.
            ossc_unmap_file(region.pointee.start, region.pointee.end, file.pointee.device, file.pointee.inode)
            if take(region.pointee) { continue }
            tellLost(file, 17)  // EEXIST
        }
        region.pointee.file = nil
    }
}

/// false: something lies there.
private func take(_ region: ossc_region) -> Bool {
    let bytes = Int(region.end - region.start)
    let taken = ossc_mmap(
        UnsafeMutableRawPointer(bitPattern: UInt(region.start)), bytes, 0,
        mapPrivate | mapAnonymous | mapFixedNoReplace, -1, 0)
    if taken == Int(region.start) { return true }
    // A kernel before 4.17 takes the address as a hint.
    if taken >= 0 || taken < -4095 { _ = ossc_munmap(UnsafeMutableRawPointer(bitPattern: taken), bytes) }
    return false
}

private func tellLost(_ file: File, _ error: Int) {
    report(file.pointee.key) {
        $0.append("cannot be mapped again in a forked process (errno ")
        $0.append(number: UInt64(error))
        $0.append(
            "): touching it there ends that process; fork once the model is complete, or open the file after the fork")
    }
}

/// A readable descriptor of the file: by its name, or as one of this process's own.
func openAgain(_ file: File) -> (descriptor: Int32, error: Int) {
    let opened = withPath { path -> Int in
        path.append(c: file.pointee.directory)
        path.append("/.partial/")
        path.append(c: file.pointee.key)
        return ossc_open(-100, path.base, 0o2000000, 0)
    }
    if opened >= 0, ossc_identify(Int32(opened)).isOf(file) { return (Int32(opened), 0) }
    if opened >= 0 { _ = ossc_close(Int32(opened)) }
    for number in 0..<Int32(OSSC_DESCRIPTORS) where ossc_managed(number) == file {
        let copy = ossc_control(ossc_hidden(number), 1030, 3)  // F_DUPFD_CLOEXEC
        if copy >= 0 { return (Int32(copy), 0) }
    }
    return (-1, opened < 0 ? -opened : 116)  // ESTALE: another file has its name now
}

/// Maps one of the parent's regions in the child. Where that fails a touch of it ends in SIGBUS.
private func mapAgain(_ region: ossc_region) {
    guard let file = region.file else { return }
    let address = UnsafeMutableRawPointer(bitPattern: UInt(region.start))
    let bytes = Int(region.end - region.start)
    let flags = mapPrivate | mapFixed | (region.locked != 0 ? mapLocked : 0)
    let source = openAgain(file)
    var error = source.error
    if source.descriptor >= 0 {
        let mapped = mapWaiting(
            file, address, bytes, Int32(region.protection), flags, source.descriptor, Int64(region.offset))
        if mapped < 0 { error = mapped > -4096 ? -mapped : 38 }  // ENOSYS: no userfaultfd for this process
        _ = ossc_close(source.descriptor)
    }
    guard error != 0 else { return }
    tellLost(file, error)
    let empty = ossc_memory_file()
    guard empty >= 0 else { return }
    _ = ossc_mmap(address, bytes, Int32(region.protection), mapPrivate | mapFixed, Int32(empty), 0)
    _ = ossc_close(Int32(empty))
}
