import PreloadShim

// Waiting for a descriptor. A regular file is always ready; the kernel says of an O_PATH descriptor that it is none.
// Managed numbers are answered here, and the call is made for the others, without waiting where one of them is ready
// already.

/// As struct pollfd.
private struct PollEntry {
    var descriptor: Int32
    var events: Int16
    var revents: Int16
}

/// POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM: all that a regular file reports.
private let fileEvents: Int16 = 0x0145

/// `call` gets the entries for the kernel, and true when it must not wait.
@inline(__always)
private func polling(
    _ entries: UnsafeMutableRawPointer?, _ count: UInt, _ call: (UnsafeMutableRawPointer?, Bool) -> Int32
) -> Int32 {
    // The kernel takes no more entries than a process may have descriptors.
    guard hasKnownFiles, let entries, count <= 1 << 20 else { return call(entries, false) }
    return pollingSome(entries.assumingMemoryBound(to: PollEntry.self), Int(count), call)
}

/// The kernel gets a copy in which managed numbers are passed over: of the program's own entries only what was found is
/// written, as poll(2) promises.
@inline(never)
private func pollingSome(
    _ entries: UnsafeMutablePointer<PollEntry>, _ count: Int, _ call: (UnsafeMutableRawPointer?, Bool) -> Int32
) -> Int32 {
    var first = 0
    while first < count, !isManaged(entries[first].descriptor) { first += 1 }
    guard first < count else { return call(UnsafeMutableRawPointer(entries), false) }
    let result = withMappedBytes(count * MemoryLayout<PollEntry>.stride) { memory -> Int32 in
        let copy = memory.assumingMemoryBound(to: PollEntry.self)
        var ready: Int32 = 0
        for i in 0..<count {
            copy[i] = entries[i]
            guard i >= first, isManaged(entries[i].descriptor) else { continue }
            copy[i].descriptor = -1
            if entries[i].events & fileEvents != 0 { ready += 1 }
        }
        let others = call(memory, ready > 0)
        if others < 0 { return others }
        for i in 0..<count {
            let isManaged = copy[i].descriptor != entries[i].descriptor
            entries[i].revents = isManaged ? entries[i].events & fileEvents : copy[i].revents
        }
        return others + ready
    }
    if let result { return result }
    ossc_set_errno(12)  // ENOMEM
    return -1
}

@_cdecl("poll")
public func hook_poll(_ entries: UnsafeMutableRawPointer?, _ count: UInt, _ milliseconds: Int32) -> Int32 {
    polling(entries, count) { next_poll($0, count, $1 ? 0 : milliseconds) }
}

@_cdecl("__poll_chk")
public func hook___poll_chk(
    _ entries: UnsafeMutableRawPointer?, _ count: UInt, _ milliseconds: Int32, _ space: Int
) -> Int32 {
    polling(entries, count) { next___poll_chk($0, count, $1 ? 0 : milliseconds, space) }
}

/// A struct timespec or timeval of zero.
private func atOnce<R>(_ body: (UnsafeMutableRawPointer) -> R) -> R {
    var zero: (Int, Int) = (0, 0)
    return withUnsafeMutablePointer(to: &zero) { body(UnsafeMutableRawPointer($0)) }
}

@_cdecl("ppoll")
public func hook_ppoll(
    _ entries: UnsafeMutableRawPointer?, _ count: UInt, _ time: UnsafeRawPointer?, _ mask: UnsafeRawPointer?
) -> Int32 {
    polling(entries, count) { entries, isReady in
        isReady
            ? atOnce { next_ppoll(entries, count, UnsafeRawPointer($0), mask) } : next_ppoll(entries, count, time, mask)
    }
}

@_cdecl("__ppoll_chk")
public func hook___ppoll_chk(
    _ entries: UnsafeMutableRawPointer?, _ count: UInt, _ time: UnsafeRawPointer?, _ mask: UnsafeRawPointer?,
    _ space: Int
) -> Int32 {
    polling(entries, count) { entries, isReady in
        isReady
            ? atOnce { next___ppoll_chk(entries, count, UnsafeRawPointer($0), mask, space) }
            : next___ppoll_chk(entries, count, time, mask, space)
    }
}

/// Bits of an fd_set: 1024, sixteen words.
private typealias Bits = InlineArray<16, UInt64>

/// Takes the managed numbers' bits out of `set`.
private func takeManaged(_ set: UnsafeMutableRawPointer?, _ count: Int32) -> Bits {
    var taken = Bits(repeating: 0)
    guard let words = set?.assumingMemoryBound(to: UInt64.self) else { return taken }
    for number in 0..<min(max(count, 0), 1024) {
        let word = Int(number) / 64, bit = UInt64(1) << UInt64(number % 64)
        guard words[word] & bit != 0, isManaged(number) else { continue }
        words[word] &= ~bit
        taken[word] |= bit
    }
    return taken
}

/// Puts them back: ready for `ready` sets, else as they were. How many.
private func putBack(_ set: UnsafeMutableRawPointer?, _ taken: Bits) -> Int32 {
    guard let words = set?.assumingMemoryBound(to: UInt64.self) else { return 0 }
    var count: Int32 = 0
    for word in 0..<16 where taken[word] != 0 {
        words[word] |= taken[word]
        count += Int32(taken[word].nonzeroBitCount)
    }
    return count
}

@inline(never)
private func selecting(
    _ count: Int32, _ toRead: UnsafeMutableRawPointer?, _ toWrite: UnsafeMutableRawPointer?,
    _ exceptional: UnsafeMutableRawPointer?,
    _ call: (Bool) -> Int32
) -> Int32 {
    let reads = takeManaged(toRead, count), writes = takeManaged(toWrite, count),
        others = takeManaged(exceptional, count)
    var isReady = false
    for word in 0..<16 where reads[word] | writes[word] != 0 { isReady = true }
    let result = call(isReady)
    if result < 0 { _ = putBack(exceptional, others) }
    let more = putBack(toRead, reads) + putBack(toWrite, writes)
    return result < 0 ? result : result + more
}

@_cdecl("select")
public func hook_select(
    _ count: Int32, _ toRead: UnsafeMutableRawPointer?, _ toWrite: UnsafeMutableRawPointer?,
    _ exceptional: UnsafeMutableRawPointer?,
    _ time: UnsafeMutableRawPointer?
) -> Int32 {
    if !hasKnownFiles { return next_select(count, toRead, toWrite, exceptional, time) }
    return selecting(count, toRead, toWrite, exceptional) { isReady in
        isReady
            ? atOnce { next_select(count, toRead, toWrite, exceptional, $0) }
            : next_select(count, toRead, toWrite, exceptional, time)
    }
}

@_cdecl("pselect")
public func hook_pselect(
    _ count: Int32, _ toRead: UnsafeMutableRawPointer?, _ toWrite: UnsafeMutableRawPointer?,
    _ exceptional: UnsafeMutableRawPointer?,
    _ time: UnsafeRawPointer?, _ mask: UnsafeRawPointer?
) -> Int32 {
    if !hasKnownFiles { return next_pselect(count, toRead, toWrite, exceptional, time, mask) }
    return selecting(count, toRead, toWrite, exceptional) { isReady in
        isReady
            ? atOnce { next_pselect(count, toRead, toWrite, exceptional, UnsafeRawPointer($0), mask) }
            : next_pselect(count, toRead, toWrite, exceptional, time, mask)
    }
}

/// EPERM, as for every regular file.
@_cdecl("epoll_ctl")
public func hook_epoll_ctl(
    _ poll: Int32, _ operation: Int32, _ descriptor: Int32, _ event: UnsafeMutableRawPointer?
) -> Int32 {
    onReadable(descriptor, failed: -1) { next_epoll_ctl(poll, operation, $0, event) }
}
