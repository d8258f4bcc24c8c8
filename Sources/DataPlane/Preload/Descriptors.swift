import PreloadShim

// The table of descriptors. The program's number of an incomplete file is an O_PATH descriptor; beside it lies a
// readable one at `hiddenBase` + number where that is free, so that a program that exec makes of this one finds them as
// a pair, with the position that all copies share. When the file is complete the readable one takes the program's
// number.

let descriptorsLock = Int32(OSSC_LOCK_DESCRIPTORS)

/// Written once by `start`.
nonisolated(unsafe) var hiddenBase: Int32 = 512

private let getFlags = Int32(1), setFlags = Int32(2), duplicate = Int32(0), duplicateCloseOnExec = Int32(1030)
private let closeOnExec: Int32 = 0o2000000, pathOnly: Int32 = 0o10000000

/// Moves a descriptor of the library's to a high number, so that a program's own first ones stay those it expects, and
/// marks it.
func takeOwn(_ descriptor: Int32) -> Int32 {
    let moved = Int32(ossc_duplicate_above(descriptor, hiddenBase + hiddenBase / 4 * 3))
    if moved >= 0 { _ = ossc_close(descriptor) }
    let own = moved >= 0 ? moved : descriptor
    ossc_set_own(own, 1)
    return own
}

func releaseOwn(_ descriptor: Int32) {
    ossc_set_own(descriptor, 0)
    _ = ossc_close(descriptor)
}

/// The way in which a call that reads treats a descriptor.
enum Reading {
    /// The kernel's business: the call goes to the number itself.
    case plain
    /// An incomplete file: the call goes to the readable descriptor, when the range is there. It stays open until
    /// `ossc_file_leave`.
    case managed(File, Int32)
    /// An incomplete file whose readable descriptor somebody closed: EBADF.
    case lost
}

/// The record of a managed descriptor if ranges may be missing. Complete files get their own number back here.
@inline(__always)
func incomplete(_ descriptor: Int32) -> File? {
    guard let file = ossc_managed(descriptor) else { return nil }
    if file.isComplete {
        settle(descriptor, file)
        return nil
    }
    return file
}

/// By identity, since a number may have been closed and used again behind the library's back.
@inline(never)
func reading(_ descriptor: Int32) -> Reading {
    while let file = incomplete(descriptor) {
        ossc_file_enter(file)
        guard ossc_managed(descriptor) == file else {
            ossc_file_leave(file)
            continue
        }
        let hidden = ossc_hidden(descriptor)
        let isThere = ossc_identify(hidden).isOf(file), isSame = isStill(descriptor, file)
        if isThere && isSame { return .managed(file, hidden) }
        ossc_file_leave(file)
        // A thread that found the file complete gave the number its own bytes just now.
        if ossc_managed(descriptor) != file { continue }
        if isSame { return .lost }
        drop(descriptor, file)
        return .plain
    }
    return .plain
}

/// Calls with the readable descriptor of a managed number, or with the number itself. For calls that wait for nothing.
@inline(__always)
func onReadable<R>(_ descriptor: Int32, failed: R, _ call: (Int32) -> R) -> R {
    if ossc_may_be_managed(descriptor) == 0 { return call(descriptor) }
    switch reading(descriptor) {
    case .plain: return call(descriptor)
    case .managed(let file, let readable):
        defer { ossc_file_leave(file) }
        return call(readable)
    case .lost:
        ossc_set_errno(9)  // EBADF
        return failed
    }
}

func isManaged(_ descriptor: Int32) -> Bool {
    if ossc_may_be_managed(descriptor) == 0 { return false }
    guard case .managed(let file, _) = reading(descriptor) else { return false }
    ossc_file_leave(file)
    return true
}

private func isStill(_ descriptor: Int32, _ file: File) -> Bool {
    ossc_identify(descriptor).isOf(file) && ossc_is_path_only(descriptor) != 0
}

private func drop(_ descriptor: Int32, _ file: File) {
    guard ossc_is_own_process() != 0 else { return }
    ossc_lock(descriptorsLock)
    if ossc_managed(descriptor) == file { release(descriptor) }
    ossc_unlock(descriptorsLock)
}

/// Forgets a managed number and closes what lay beside it, now or when the last thread that uses it is through. The
/// lock is held.
func release(_ descriptor: Int32) {
    guard let file = ossc_managed(descriptor) else { return }
    let hidden = ossc_hidden(descriptor)
    ossc_set_managed(descriptor, nil, -1)
    guard hidden >= 0 else { return }
    guard ossc_identify(hidden).isOf(file) else { return ossc_set_own(hidden, 0) }
    if ossc_file_is_used(file) != 0 {
        ossc_mark_retired(hidden)
        ossc_set_retired(ossc_retired() + 1)
        signalThread()
    } else {
        ossc_set_own(hidden, 0)
        _ = ossc_close(hidden)
    }
}

/// Closes what was still in use when it was released. Of the library's thread.
func closeRetired() {
    ossc_lock(descriptorsLock)
    var left: UInt32 = 0
    for number in 0..<Int32(OSSC_DESCRIPTORS) where ossc_is_retired(number) != 0 {
        if isUsed(ossc_identify(number)) {
            left += 1
        } else {
            releaseOwn(number)
        }
    }
    ossc_set_retired(left)
    ossc_unlock(descriptorsLock)
}

private func isUsed(_ identity: ossc_identity) -> Bool {
    var next = files
    while let file = next {
        if identity.isOf(file) { return ossc_file_is_used(file) != 0 }
        next = file.pointee.next
    }
    return false
}

/// The file is complete: the readable descriptor takes the program's number.
@inline(never)
func settle(_ descriptor: Int32, _ file: File) {
    ossc_lock(descriptorsLock)
    if ossc_managed(descriptor) == file {
        let hidden = ossc_hidden(descriptor)
        if isStill(descriptor, file), ossc_identify(hidden).isOf(file) {
            let isClosedOnExec = ossc_control(descriptor, getFlags, 0) & 1 != 0
            _ = ossc_replace(hidden, descriptor, isClosedOnExec ? closeOnExec : 0)
        }
        if ossc_is_own_process() != 0 { release(descriptor) }
    }
    ossc_unlock(descriptorsLock)
}

/// Every number of a file that has become complete: readers around the library need no call of a hook. Of the library's
/// thread.
func settleAll(_ file: File) {
    for number in 0..<Int32(OSSC_DESCRIPTORS) where ossc_managed(number) == file { settle(number, file) }
}

/// An O_PATH descriptor of the file behind `descriptor`; negative without one.
private func openPathOnly(_ file: File, _ descriptor: Int32) -> Int32 {
    let opened = withPath { path -> Int in
        path.append(c: file.pointee.directory)
        path.append("/.partial/")
        path.append(c: file.pointee.key)
        return ossc_open(-100, path.base, pathOnly | closeOnExec, 0)
    }
    if opened >= 0 {
        if ossc_identify(Int32(opened)).isOf(file) { return Int32(opened) }
        _ = ossc_close(Int32(opened))
    }
    return withDescriptorPath(descriptor) { Int32(ossc_open(-100, $0, pathOnly | closeOnExec, 0)) }
}

func withDescriptorPath<R>(_ descriptor: Int32, _ body: (UnsafePointer<CChar>) -> R) -> R {
    withPath { path in
        path.append("/proc/self/fd/")
        path.append(number: UInt64(max(descriptor, 0)))
        return body(path.base)
    }
}

/// Enters `descriptor`, an O_PATH one, with a copy of `readable` beside it. false: there is no number for it. The lock
/// is held.
private func enter(_ descriptor: Int32, _ file: File, copying readable: Int32) -> Bool {
    let isClosedOnExec = ossc_control(descriptor, getFlags, 0) & 1 != 0
    let hidden = Int32(
        ossc_control(readable, isClosedOnExec ? duplicateCloseOnExec : duplicate, UInt(hiddenBase + descriptor)))
    guard hidden >= 0 else { return false }
    guard hidden < Int32(OSSC_DESCRIPTORS) else {
        _ = ossc_close(hidden)
        return false
    }
    ossc_set_own(hidden, 1)
    ossc_set_managed(descriptor, file, hidden)
    return true
}

/// Makes a readable descriptor of an incomplete file a managed one. Where that cannot be, the file is waited for as a
/// whole. The descriptor, or -1 with errno and the descriptor closed.
func place(_ descriptor: Int32, _ file: File) -> Int32 {
    if ossc_is_own_process() != 0, descriptor < Int32(OSSC_DESCRIPTORS), hide(descriptor, file) {
        // It may have become complete since it was looked at.
        _ = incomplete(descriptor)
        return descriptor
    }
    let error = waitVisible(file, offset: 0, bytes: file.pointee.bytes)
    if error == 0 { return descriptor }
    _ = ossc_close(descriptor)
    ossc_set_errno(error)
    return -1
}

private func hide(_ descriptor: Int32, _ file: File) -> Bool {
    let blind = openPathOnly(file, descriptor)
    guard blind >= 0 else { return false }
    defer { _ = ossc_close(blind) }
    ossc_lock(descriptorsLock)
    defer { ossc_unlock(descriptorsLock) }
    // The number is fresh: an entry is of one that was closed behind the library's back.
    release(descriptor)
    guard ossc_identify(descriptor).isOf(file), enter(descriptor, file, copying: descriptor) else { return false }
    let isClosedOnExec = ossc_control(descriptor, getFlags, 0) & 1 != 0
    if ossc_replace(blind, descriptor, isClosedOnExec ? closeOnExec : 0) >= 0 { return true }
    release(descriptor)
    return false
}

/// Copies a descriptor by `call`. Asked for before the copy is made: a file that becomes complete between the two gives
/// a copy of what its number has become, and never one of the O_PATH descriptor it was. The copy, or -1 with errno.
func copied(_ from: Int32, _ call: () -> Int32) -> Int32 {
    guard case .managed(let file, let readable) = reading(from) else { return call() }
    defer { ossc_file_leave(file) }
    let to = call()
    return to >= 0 ? share(file, readable, to) : to
}

func share(_ file: File, _ readable: Int32, _ to: Int32) -> Int32 {
    if ossc_is_own_process() == 0 {
        // In a child of vfork the numbers are its own and the table is its parent's: the pair is for the program it
        // becomes.
        _ = ossc_replace(readable, hiddenBase + to, ossc_control(to, getFlags, 0) & 1 != 0 ? closeOnExec : 0)
        return to
    }
    if to < Int32(OSSC_DESCRIPTORS) {
        ossc_lock(descriptorsLock)
        release(to)
        let isEntered = enter(to, file, copying: readable)
        ossc_unlock(descriptorsLock)
        if isEntered {
            // It may have become complete since it was looked at.
            _ = incomplete(to)
            return to
        }
    }
    let error = waitVisible(file, offset: 0, bytes: file.pointee.bytes)
    if error == 0 {
        _ = ossc_replace(readable, to, ossc_control(to, getFlags, 0) & 1 != 0 ? closeOnExec : 0)
        return to
    }
    _ = ossc_close(to)
    ossc_set_errno(error)
    return -1
}

/// Whether `descriptor` is of a file this process has opened, complete or not.
func isOfKnownFile(_ descriptor: Int32) -> Bool { known(ossc_identify(descriptor)) != nil }

/// In a child of vfork: whether the number is the readable one beside one that is open.
func isPairInChild(_ readable: Int32) -> Bool {
    let number = readable - hiddenBase
    guard number >= 0, ossc_is_path_only(number) != 0, ossc_is_path_only(readable) == 0,
        let file = known(ossc_identify(number))
    else { return false }
    return ossc_identify(readable).isOf(file)
}

/// In a child of vfork, whose numbers are its own: the pair of `from` is there under the usual number, even when its
/// parent has given the number its own bytes meanwhile and forgotten the pair.
func sharePairInChild(_ from: Int32, _ to: Int32) {
    guard ossc_is_path_only(to) != 0, isOfKnownFile(to) else { return }
    let readable = hiddenBase + from
    let isSame = ossc_identify(readable).inode == ossc_identify(to).inode && ossc_is_path_only(readable) == 0
    guard isSame else { return }
    if from == to {
        _ = ossc_control(readable, setFlags, ossc_control(to, getFlags, 0) & 1 != 0 ? 1 : 0)
    } else {
        _ = ossc_replace(readable, hiddenBase + to, ossc_control(to, getFlags, 0) & 1 != 0 ? closeOnExec : 0)
    }
}

/// The close-on-exec bit of `descriptor` has changed: what lies beside it goes the same way.
func followCloseOnExec(_ descriptor: Int32) {
    let hidden = ossc_hidden(descriptor)
    guard let file = ossc_managed(descriptor), ossc_identify(hidden).isOf(file) else { return }
    _ = ossc_control(hidden, setFlags, ossc_control(descriptor, getFlags, 0) & 1 != 0 ? 1 : 0)
}

/// Takes one of the library's own descriptors out of the way of a dup2 onto its number.
func moveOwn(_ descriptor: Int32) {
    ossc_lock(descriptorsLock)
    ossc_lock(regionsLock)
    let isClosedOnExec = ossc_control(descriptor, getFlags, 0) & 1 != 0
    let moved = Int32(ossc_control(descriptor, isClosedOnExec ? duplicateCloseOnExec : duplicate, UInt(hiddenBase)))
    if moved >= 0 {
        ossc_set_own(moved, 1)
        for index in 0..<cacheCount {
            let cache = cache(at: index)
            if descriptor == ossc_cache_link(cache) { ossc_cache_set_link(cache, moved) }
            if descriptor == ossc_cache_session(cache) { ossc_cache_set_session(cache, moved) }
            if descriptor == ossc_cache_start_lock(cache) { ossc_cache_set_start_lock(cache, moved) }
        }
        if descriptor == ossc_device() { ossc_set_device(moved) }
        if descriptor == ossc_userfault() { ossc_set_userfault(moved) }
        if descriptor == ossc_wake() { ossc_set_wake(moved) }
        for number in 0..<Int32(OSSC_DESCRIPTORS) where ossc_hidden(number) == descriptor {
            if let file = ossc_managed(number) { ossc_set_managed(number, file, moved) }
        }
        var next = files
        while let file = next {
            if ossc_file_shared(file) == descriptor { ossc_file_set_shared(file, moved) }
            next = file.pointee.next
        }
        ossc_set_own(descriptor, 0)
    }
    ossc_unlock(regionsLock)
    ossc_unlock(descriptorsLock)
    // The thread may be in poll with the old number: it looks again.
    signalThread()
}

// MARK: exec

/// Descriptors of incomplete files that exec handed over are managed from the start.
func adoptInheritedDescriptors() {
    // In order: a number comes before the readable one beside it, which its adoption marks.
    eachDescriptor { if ossc_may_be_managed($0) == 0 { adopt($0) } }
}

private func eachDescriptor(_ body: (Int32) -> Void) {
    let list = ossc_open(-100, "/proc/self/fd", 0o2000000, 0)
    guard list >= 0 else { return }
    defer { _ = ossc_close(Int32(list)) }
    withBuffer { base in
        while true {
            let n = ossc_getdents(Int32(list), base, bufferBytes)
            guard n > 0 else { return }
            var at = 0
            while at < n {
                let name = (base + at + 19).assumingMemoryBound(to: CChar.self)
                at += Int(base.load(fromByteOffset: at + 16, as: UInt16.self))
                if let number = decimal(name), number != Int32(list) { body(number) }
            }
        }
    }
}

private func decimal(_ name: UnsafePointer<CChar>) -> Int32? {
    var number: Int32 = 0
    var i = 0
    while name[i] != 0 {
        guard name[i] >= 48, name[i] <= 57 else { return nil }
        number = number * 10 + Int32(name[i] - 48)
        i += 1
    }
    return number
}

/// The file that the descriptor was opened as, by its name in a cache; nil for another name.
func namedFile(_ number: Int32) -> File? {
    withDescriptorPath(number) { link in
        withPath { target -> File? in
            let n = ossc_readlink(link, target.base, target.capacity - 1)
            guard n > 0 else { return nil }
            target.truncate(to: n)
            guard let cut = find("/.partial/", in: target.base) else { return nil }
            target.base[cut] = 0
            return record(number, of: nil, directory: target.base, key: target.base + cut + 10).file
        }
    }
}

private func adopt(_ number: Int32) {
    guard let file = namedFile(number) else { return }
    if ossc_is_path_only(number) != 0 {
        adoptPair(number, file)
    } else if !file.isComplete {
        // A number beyond the table is waited for here; where that fails it is closed.
        guard place(number, file) >= 0 else { return }
    }
    if number == 0, ossc_managed(0) != nil { replaceStandardInput() }
}

private func isReadableBeside(_ number: Int32, _ file: File) -> Bool {
    ossc_identify(number).isOf(file) && ossc_is_path_only(number) == 0 && ossc_may_be_managed(number) == 0
}

/// The number that a program had under the library, with the readable one beside it.
private func adoptPair(_ number: Int32, _ file: File) {
    guard number < Int32(OSSC_DESCRIPTORS) else { return }
    // A parent with a greater limit of descriptors has its readable ones from 512 on.
    let beside = isReadableBeside(hiddenBase + number, file) ? hiddenBase + number : 512 + number
    if isReadableBeside(beside, file) {
        ossc_set_own(beside, 1)
        ossc_set_managed(number, file, beside)
    } else {
        // Its own position was not handed over (posix_spawn's file actions, say): it begins anew.
        let opened = withDescriptorPath(number) { Int32(ossc_open(-100, $0, closeOnExec, 0)) }
        guard opened >= 0 else { return }
        ossc_lock(descriptorsLock)
        _ = enter(number, file, copying: opened)
        ossc_unlock(descriptorsLock)
        _ = ossc_close(opened)
    }
    if file.isComplete { settle(number, file) }
}
