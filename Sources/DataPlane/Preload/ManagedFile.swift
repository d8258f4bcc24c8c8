import AgentWire
import PreloadShim

typealias File = UnsafeMutablePointer<ossc_file>

/// Files this process has opened while incomplete. Entries are added at the head under OSSC_LOCK_FILES and
/// never changed or removed, so walking the list needs no lock.
var files: File? { ossc_files() }

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
            $0.append(messageOf: pointee.header)
            $0.append("; start the program again")
        }
        ossc_exit(ExitStatus.inputOutput)
    }

    func tellFailure() {
        guard ossc_file_tell_failure(self) != 0 else { return }
        report(pointee.key) { $0.append(messageOf: pointee.header) }
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

extension Text {
    /// At most the field: a pod that writes to its volume may have left no NUL in it.
    fileprivate mutating func append(messageOf header: UnsafePointer<mc_presence_header>) {
        let message = ossc_message(header).unsafelyUnwrapped
        for place in 0..<Int(MC_PRESENCE_MESSAGE_BYTES) {
            let byte = message[place]
            if byte == 0 { return }
            append(byte)
        }
    }
}

var hasKnownFiles: Bool { files != nil }

extension ossc_identity {
    func isOf(_ file: File) -> Bool { error == 0 && inode == file.pointee.inode && device == file.pointee.device }
}

/// The record of an open file. The newest comes first: when the kernel gave an inode's number again, the file that had
/// it before is open no more.
func known(_ identity: ossc_identity) -> File? {
    var next = files
    while let file = next {
        if identity.isOf(file) { return file }
        next = file.pointee.next
    }
    return nil
}

/// The same, of the file that this presence file describes. A file that was opened by its name may have the number of
/// another that is gone, complete or failed: the presence file tells the two apart.
private func known(_ identity: ossc_identity, describedBy presence: ossc_identity) -> File? {
    guard let file = known(identity), presence.error == 0, presence.inode == file.pointee.presence_inode,
        presence.device == file.pointee.presence_device
    else { return nil }
    return file
}

/// The cache of an inherited descriptor's file is found out when it is first waited for: MODEL_DIR may be a directory
/// of the user's own, which tells nothing. nil: it belongs to none. Waits for agents; no lock is held.
func cacheOf(_ file: File) -> Cache? {
    if let cache = ossc_file_cache(file) { return cache }
    for index in 0..<cacheCount {
        let cache = cache(at: index)
        if cache.volume != nil { continue }
        ensureSession(cache)
        guard let directory = cache.directory, same(directory, file.pointee.directory) else { continue }
        ossc_file_set_cache(file, cache)
        return cache
    }
    return nil
}

/// The cache whose directory this is, as far as that is known without asking an agent.
private func knownCache(_ directory: UnsafePointer<CChar>) -> Cache? {
    if cacheCount == 1 { return cache(at: 0) }
    return firstCache {
        for known in [$0.volume, $0.directory, $0.pointee.earlier] {
            if let known, same(known, directory) { return true }
        }
        return false
    }
}

/// The record of a file under `<directory>/.partial/`, complete or not; nil for what is no file of a model's. An error
/// where no presence file describes it: an update or an eviction may be taking its names.
func record(
    _ descriptor: Int32, of cache: Cache?, directory: UnsafePointer<CChar>, key: UnsafePointer<CChar>
) -> (
    file: File?, error: Int32
) {
    let identity = ossc_identify(descriptor)
    guard identity.error == 0, identity.mode & UInt32(OSSC_TYPE_MASK) == UInt32(OSSC_TYPE_FILE), identity.bytes > 0
    else { return (nil, 0) }
    if known(identity) != nil {
        let presence = withPresencePath(directory, key) { ossc_identify_path($0, 1) }
        if let file = known(identity, describedBy: presence) { return (file, 0) }
    }
    guard let made = readPresence(identity, directory, key) else { return (nil, 5) }
    ossc_file_set_cache(made, cache ?? knownCache(directory))
    ossc_lock(filesLock)
    // Another thread may have been faster: its record is the one, and this one's memory is given up.
    var described = ossc_identity()
    described.device = made.pointee.presence_device
    described.inode = made.pointee.presence_inode
    let winner = known(identity, describedBy: described) ?? made
    if winner == made {
        made.pointee.next = files
        ossc_set_files(made)
    }
    ossc_unlock(filesLock)
    if winner == made {
        report(made.pointee.key, .debug) { $0.append(made.isComplete ? "opened; complete" : "opened while it fills") }
    }
    return (winner, 0)
}

private func withPresencePath<R>(
    _ directory: UnsafePointer<CChar>, _ key: UnsafePointer<CChar>, _ body: (UnsafePointer<CChar>) -> R
) -> R {
    withPath { path in
        path.append(c: directory)
        path.append("/.presence/")
        path.append(c: key)
        return body(path.base)
    }
}

/// Maps the presence file and checks it; nil when it cannot be used.
private func readPresence(
    _ identity: ossc_identity, _ directory: UnsafePointer<CChar>, _ key: UnsafePointer<CChar>
) -> File? {
    withPresencePath(directory, key) { path in
        let presence = ossc_open(-100, path, 0o2000000, 0)
        guard presence >= 0 else { return nil }
        defer { _ = ossc_close(Int32(presence)) }
        let described = ossc_identify(Int32(presence))
        let size = described.bytes
        guard size >= UInt64(MC_PRESENCE_HEADER_BYTES) else { return nil }
        let mapped = ossc_mmap(nil, Int(size), 1, 1, Int32(presence), 0)
        guard mapped > 0 || mapped < -4095, let base = UnsafeRawPointer(bitPattern: mapped) else { return nil }
        let header = base.assumingMemoryBound(to: mc_presence_header.self)
        guard
            let facts = PresenceFacts(
                header, size: size, fileBytes: identity.bytes, inode: identity.inode, pageBytes: ossc_page_bytes()),
            let file = ossc_allocate(MemoryLayout<ossc_file>.size)?.assumingMemoryBound(to: ossc_file.self),
            let keptKey = keep(key), let keptDirectory = keep(directory)
        else {
            _ = ossc_munmap(UnsafeMutableRawPointer(mutating: base), Int(size))
            return nil
        }
        file.pointee.header = header
        file.pointee.visible = (base + Int(facts.visibleOffset)).assumingMemoryBound(to: UInt64.self)
        file.pointee.directory = keptDirectory
        file.pointee.key = keptKey
        file.pointee.device = identity.device
        file.pointee.inode = identity.inode
        file.pointee.presence_device = described.device
        file.pointee.presence_inode = described.inode
        file.pointee.bytes = identity.bytes
        file.pointee.chunk_bytes = facts.chunkBytes
        file.pointee.chunk_count = facts.chunkCount
        file.pointee.index = facts.fileIndex
        return file
    }
}

/// Waits until every chunk of [offset, offset + bytes) is visible, clamped to the file's size.
/// 0, or the errno for the reader after a message was printed. A signal does not end the wait.
func waitVisible(_ file: File, offset: UInt64, bytes: UInt64) -> Int32 {
    let size = file.pointee.bytes
    guard offset < size, bytes > 0 else { return 0 }
    let end = bytes > size - offset ? size : offset + bytes
    file.useEpoch()
    var at = file.visibleEnd(from: offset, to: end)
    if at >= end {
        if file.epochChanged { file.stopForEpoch() }
        return 0
    }
    guard let cache = cacheOf(file) else {
        report(file.pointee.key) { $0.append("is of no model that this program reads; start it again") }
        return 5
    }
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
        var patience: Int32 = 1000
        if now - asked >= 1000 {
            // A forked child's thread starts here, and has no connection at first.
            _ = ensureThread()
            if sendDemand(file, offset: at, bytes: end - at) { asked = now } else { patience = 20 }
        }
        if ossc_futex_wait(ossc_sequence_word(file.pointee.header), sequence, patience) == -110 || now - began > 1000 {
            if let error = checkDeadlines(file, of: cache, since: began) { return error }
        }
    }
    if file.epochChanged { file.stopForEpoch() }
    return 0
}

/// Two deadlines end a wait: the agent is gone too long, or nothing arrives in the whole model.
func checkDeadlines(_ file: File, of cache: Cache, since began: Int64) -> Int32? {
    let now = ossc_now_milliseconds()
    switch agentHealth(cache) {
    case .stopped:
        return 5
    case .gone(let since):
        let waited = now - max(since, began)
        guard waited >= cache.pointee.agent_deadline else { return nil }
        if ossc_file_tell_failure(file) != 0 {
            report(file.pointee.key) {
                $0.append("no agent answers at ")
                $0.append(c: cache.socket)
                $0.append(" for ")
                $0.append(number: UInt64(waited / 1000))
                $0.append(
                    cache.volume == nil
                        ? " s; start `modelcache agent`, then the program again"
                        : " s; see that the node's modelcache-agent pod runs, then start the program again")
            }
        }
        return 5
    case .alive:
        let waited = now - max(ossc_cache_progress_at(cache), began)
        guard waited >= deadlineMilliseconds else { return nil }
        if ossc_file_tell_failure(file) != 0 {
            report(file.pointee.key) {
                $0.append("nothing arrived for ")
                $0.append(number: UInt64(waited / 1000))
                $0.append(" s; look at `modelcache status` and the way to the store (MODELCACHE_DEADLINE_SECONDS)")
            }
        }
        return 5
    }
}

/// Looks whether bytes of each model arrived since the last look: a chunk, or blocks of a file in between. Of the
/// library's thread alone.
func watchProgress() {
    let now = ossc_now_milliseconds()
    var next = files
    while let file = next {
        next = file.pointee.next
        guard !file.isComplete, let cache = ossc_file_cache(file) else { continue }
        let sequence = UInt64(ossc_sequence(file.pointee.header))
        let blocks = withPath { path -> UInt64 in
            path.append(c: file.pointee.directory)
            path.append("/.partial/")
            path.append(c: file.pointee.key)
            return ossc_identify_path(path.base, 0).blocks
        }
        if sequence != file.pointee.seen_sequence || blocks != file.pointee.seen_blocks {
            ossc_cache_set_progress_at(cache, now)
        }
        file.pointee.seen_sequence = sequence
        file.pointee.seen_blocks = blocks
    }
}
