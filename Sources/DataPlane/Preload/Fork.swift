import PreloadShim

// fork. The parent's incomplete mappings are MADV_DONTFORK: a child would see holes as zeros, since the
// userfaultfd does not follow it. The child has no thread and no connection either; it makes all of them anew.
// The session's lock is not taken: it may be held for as long as an agent takes to start, and the child
// forgets all that it guards.

@_cdecl("ossc_fork_prepare")
public func forkPrepare() {
    ossc_lock(regionsLock)
    ossc_lock(Int32(OSSC_LOCK_FILES))
    ossc_lock(Int32(OSSC_LOCK_STREAMS))
}

@_cdecl("ossc_fork_parent")
public func forkParent() {
    ossc_unlock(Int32(OSSC_LOCK_STREAMS))
    ossc_unlock(Int32(OSSC_LOCK_FILES))
    ossc_unlock(regionsLock)
}

@_cdecl("ossc_fork_child")
public func forkChild() {
    ossc_reset_locks()
    ossc_claim_process()
    dropSessionAfterFork()
    forgetThread()
    var list = takeAllRegions()
    guard list != nil else { return }
    connectAfterFork()
    ensureThread()
    while let region = list {
        list = region.pointee.next
        mapAgain(region.pointee)
    }
}

/// Maps one of the parent's regions in the child. Where that fails a touch of it ends in SIGBUS.
private func mapAgain(_ region: ossc_region) {
    guard let file = region.file else { return }
    let address = UnsafeMutableRawPointer(bitPattern: UInt(region.start))
    let bytes = Int(region.end - region.start)
    let flags = mapPrivate | mapFixed | (region.locked != 0 ? mapLocked : 0)
    var error = 0
    withPath { path in
        path.append(file.pointee.cache)
        path.append("/.partial/")
        path.append(file.pointee.key)
        let descriptor = ossc_open(-100, path.base, 0o2000000, 0)
        guard descriptor >= 0 else {
            error = -descriptor
            return
        }
        defer { _ = ossc_close(Int32(descriptor)) }
        let identity = ossc_identify(Int32(descriptor))
        guard identity.inode == file.pointee.inode, identity.device == file.pointee.device else {
            error = 116  // ESTALE: another file has its name now
            return
        }
        let mapped = mapManaged(file, address, bytes, Int32(region.protection), flags, Int32(descriptor), Int64(region.offset))
            ?? ossc_mmap(address, bytes, Int32(region.protection), flags, Int32(descriptor), Int64(region.offset))
        if mapped < 0 && mapped > -4096 { error = -mapped }
    }
    guard error != 0 else { return }
    report(file.pointee.key) {
        $0.append("cannot be mapped again in a forked process (errno ")
        $0.append(number: UInt64(error))
        $0.append("): touching it there ends that process; fork once the model is complete, or open the file after the fork")
    }
    let empty = ossc_memory_file()
    guard empty >= 0 else { return }
    _ = ossc_mmap(address, bytes, Int32(region.protection), mapPrivate | mapFixed, Int32(empty), 0)
    _ = ossc_close(Int32(empty))
}
