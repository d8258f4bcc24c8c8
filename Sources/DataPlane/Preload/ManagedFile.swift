import AgentWire
import PreloadShim

typealias File = UnsafeMutablePointer<ossc_file>

/// Files this process has opened while incomplete. Entries are added at the head under OSSC_LOCK_FILES and
/// never changed or removed, so walking the list needs no lock.
nonisolated(unsafe) private(set) var files: File? = nil
/// When the model was last seen to grow. A guess for a deadline of minutes: a torn value of two racing threads
/// differs from the next look's and counts as progress.
nonisolated(unsafe) private var lastProgress: (stamp: UInt64, at: Int64) = (0, 0)

private let filesLock = Int32(OSSC_LOCK_FILES)

extension File {
    var isComplete: Bool {
        if ossc_file_is_complete(self) != 0 { return true }
        guard ossc_state(pointee.header) == UInt32(MC_FILE_COMPLETE.rawValue) else { return false }
        ossc_file_set_complete(self)
        return true
    }

    /// Bytes may be used from now on: they are of this epoch. Another one later ends the process.
    func useEpoch() {
        let now = ossc_epoch(pointee.header)
        if ossc_file_use_epoch(self, now) != now { stopForEpoch() }
    }

    var epochChanged: Bool {
        let used = ossc_file_epoch(self)
        return used != 0 && used != ossc_epoch(pointee.header)
    }

    func stopForEpoch() -> Never {
        report(pointee.key) {
            $0.append("bytes already read turned out wrong: ")
            $0.append(ossc_message(pointee.header))
            $0.append("; start the program again")
        }
        ossc_exit(ExitStatus.inputOutput)
    }

    func tellFailure() {
        guard ossc_file_tell_failure(self) != 0 else { return }
        report(pointee.key) { $0.append(ossc_message(pointee.header)) }
    }

    /// First byte at or after `offset` that is not visible, at most `end`.
    func visibleEnd(from offset: UInt64, to end: UInt64) -> UInt64 {
        if isComplete { return end }
        var chunk = offset / pointee.chunk_bytes
        while chunk * pointee.chunk_bytes < end {
            if ossc_visible(self, chunk) == 0 { return max(offset, chunk * pointee.chunk_bytes) }
            chunk += 1
        }
        return end
    }
}

var hasKnownFiles: Bool { files != nil }

/// The incomplete file behind a descriptor, by identity; nil when it is none this process has opened.
func knownFile(_ descriptor: Int32) -> File? {
    let identity = ossc_identify(descriptor)
    guard identity.error == 0 else { return nil }
    ossc_lock(filesLock)
    defer { ossc_unlock(filesLock) }
    var known = files
    while let file = known {
        if file.pointee.inode == identity.inode && file.pointee.device == identity.device { return file.isComplete ? nil : file }
        known = file.pointee.next
    }
    return nil
}

/// The record of an incomplete file under `<cache>/.partial/`; nil when it is complete or has no presence file.
func manage(_ descriptor: Int32, cache: UnsafePointer<CChar>, key: UnsafePointer<CChar>) -> (file: File?, error: Int32) {
    let identity = ossc_identify(descriptor)
    guard identity.error == 0, identity.mode & UInt32(OSSC_TYPE_MASK) == UInt32(OSSC_TYPE_FILE), identity.bytes > 0 else { return (nil, 0) }
    ossc_lock(filesLock)
    defer { ossc_unlock(filesLock) }
    var known = files
    while let file = known {
        if file.pointee.inode == identity.inode && file.pointee.device == identity.device {
            return (file.isComplete ? nil : file, 0)
        }
        known = file.pointee.next
    }
    return withPath { path in
        path.append(cache)
        path.append("/.presence/")
        path.append(key)
        let presence = ossc_open(-100, path.base, 0o2000000, 0)
        guard presence >= 0 else { return (nil, 5) }
        defer { _ = ossc_close(Int32(presence)) }
        let size = ossc_identify(Int32(presence)).bytes
        guard size >= UInt64(MC_PRESENCE_HEADER_BYTES) else { return (nil, 5) }
        let mapped = ossc_mmap(nil, Int(size), 1, 1, Int32(presence), 0)
        guard mapped > 0, let base = UnsafeRawPointer(bitPattern: mapped) else { return (nil, 12) }
        let header = base.assumingMemoryBound(to: mc_presence_header.self)
        let visible = header.pointee.visible_offset
        let chunks = header.pointee.chunk_count
        guard header.pointee.magic == MC_PRESENCE_MAGIC, header.pointee.version == MC_PRESENCE_VERSION,
            header.pointee.file_bytes == identity.bytes, header.pointee.chunk_bytes > 0, header.pointee.chunk_bytes % ossc_page_bytes() == 0,
            chunks == (identity.bytes + header.pointee.chunk_bytes - 1) / header.pointee.chunk_bytes,
            visible % 8 == 0, visible <= size, (chunks + 63) / 64 * 8 <= size - visible,
            let file = ossc_allocate(MemoryLayout<ossc_file>.size)?.assumingMemoryBound(to: ossc_file.self),
            let keptKey = keep(key), let keptCache = keep(cache)
        else {
            _ = ossc_munmap(UnsafeMutableRawPointer(mutating: base), Int(size))
            return (nil, 5)
        }
        file.pointee.next = files
        file.pointee.header = header
        file.pointee.visible = (base + Int(visible)).assumingMemoryBound(to: UInt64.self)
        file.pointee.cache = keptCache
        file.pointee.key = keptKey
        file.pointee.device = identity.device
        file.pointee.inode = identity.inode
        file.pointee.bytes = identity.bytes
        file.pointee.chunk_bytes = header.pointee.chunk_bytes
        file.pointee.chunk_count = chunks
        file.pointee.index = header.pointee.file_index
        files = file
        report(keptKey, .debug) { $0.append(file.isComplete ? "opened; complete" : "opened while it fills") }
        return (file.isComplete ? nil : file, 0)
    }
}

/// The managed file behind a descriptor about to wait; nil when the number was reused behind our back.
func verified(_ descriptor: Int32, _ file: File) -> File? {
    let identity = ossc_identify(descriptor)
    if identity.inode == file.pointee.inode && identity.device == file.pointee.device { return file }
    if ossc_is_own_process() != 0 { ossc_forget(descriptor, file) }
    return nil
}

/// The file behind `descriptor` if ranges of it may be missing. One load and a branch when not.
@inline(__always)
func incomplete(_ descriptor: Int32) -> File? {
    guard let file = ossc_managed(descriptor) else { return nil }
    if file.isComplete {
        ossc_forget(descriptor, file)
        return nil
    }
    return file
}

/// Waits until every chunk of [offset, offset + bytes) is visible, clamped to the file's size.
/// 0, or the errno for the reader after a message was printed. A signal does not end the wait.
func waitVisible(_ file: File, offset: UInt64, bytes: UInt64) -> Int32 {
    let size = file.pointee.bytes
    guard offset < size, bytes > 0 else { return 0 }
    let end = bytes > size - offset ? size : offset + bytes
    file.useEpoch()
    var at = file.visibleEnd(from: offset, to: end)
    let began = ossc_now_milliseconds()
    var asked: Int64 = 0
    while at < end {
        let sequence = ossc_sequence(file.pointee.header)
        at = file.visibleEnd(from: at, to: end)
        if at >= end { break }
        if file.epochChanged { file.stopForEpoch() }
        if ossc_state(file.pointee.header) == UInt32(MC_FILE_FAILED.rawValue) {
            file.tellFailure()
            return 5
        }
        let now = ossc_now_milliseconds()
        if now - asked >= 1000 {
            asked = now
            ensureSession()
            sendDemand(file, offset: at, bytes: end - at)
        }
        if ossc_futex_wait(ossc_sequence_word(file.pointee.header), sequence, 1000) == -110 || now - began > 1000 {
            if let error = checkDeadlines(file, since: began) { return error }
        }
    }
    if file.epochChanged { file.stopForEpoch() }
    return 0
}

/// What ends a wait: the agent gone too long, or nothing arriving in the whole model.
func checkDeadlines(_ file: File, since began: Int64) -> Int32? {
    switch keepSession() {
    case .stopped:
        return 5
    case .gone(let milliseconds):
        guard milliseconds >= agentDeadlineMilliseconds else { return nil }
        if ossc_file_tell_failure(file) != 0 {
            report(file.pointee.key) {
                $0.append("no agent answers at ")
                $0.append(socketPath)
                $0.append(" for ")
                $0.append(number: UInt64(milliseconds / 1000))
                $0.append(volumePath == nil
                    ? " s; start `modelcache agent`, then the program again"
                    : " s; see that the node's modelcache-agent pod runs, then start the program again")
            }
        }
        return 5
    case .alive:
        let now = ossc_now_milliseconds()
        // Any chunk of any file here, or any block used on the cache's file system, is progress of the model.
        var stamp = ossc_free_blocks(file.pointee.cache)
        var known = files
        while let one = known {
            stamp &+= UInt64(ossc_sequence(one.pointee.header)) &* 0x9E37_79B9
            known = one.pointee.next
        }
        if stamp != lastProgress.stamp { lastProgress = (stamp, now) }
        guard now - max(lastProgress.at, began) >= deadlineMilliseconds else { return nil }
        if ossc_file_tell_failure(file) != 0 {
            report(file.pointee.key) {
                $0.append("nothing arrived for ")
                $0.append(number: UInt64((now - max(lastProgress.at, began)) / 1000))
                $0.append(" s; look at `modelcache status` and the way to the store (MODELCACHE_DEADLINE_SECONDS)")
            }
        }
        return 5
    }
}
