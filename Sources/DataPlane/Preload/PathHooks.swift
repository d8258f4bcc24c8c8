import PreloadShim

// Calls that name a file: the real path first, then the model's twin of it (see onModelPath).

private let oAccessMode: Int32 = 3, oCreate: Int32 = 0o100, oExclusive: Int32 = 0o200, oTruncate: Int32 = 0o1000
private let oPath: Int32 = 0o10000000, oNoFollow: Int32 = 0o400000, closeOnExec: Int32 = 0o2000000
private let follow: Int32 = 0x400  // AT_SYMLINK_FOLLOW

@inline(__always)
func negative(_ value: Int32) -> Bool { value < 0 }
@inline(__always)
private func negativeSize(_ value: Int) -> Bool { value < 0 }

/// On, starting the library if a hook runs before its constructor.
@inline(__always)
func isOn() -> Bool {
    let state = ossc_switch_state()
    if state == UInt32(OSSC_OFF) { return false }
    if state == UInt32(OSSC_UNKNOWN), ossc_environment_all() != nil { start() }
    return ossc_is_on() != 0
}

/// An update gives a name to another file in a few steps. A file that still has no presence file after a second is none
/// that the agent made.
private let updateTries = 50, updatePause: Int32 = 20

/// The number gets the file that has the name now. 0, or the errno.
private func openAnew(
    _ descriptor: Int32, _ directory: UnsafePointer<CChar>, _ key: UnsafePointer<CChar>
) -> Int32 {
    withPath { path in
        path.append(c: directory)
        path.append("/.partial/")
        path.append(c: key)
        // F_GETFL, F_GETFD
        let flags = Int32(truncatingIfNeeded: ossc_control(descriptor, 3, 0))
        let isClosedOnExec = ossc_control(descriptor, 1, 0) & 1 != 0
        let opened = ossc_open(-100, path.base, flags | closeOnExec, 0)
        guard opened >= 0 else { return Int32(-opened) }
        _ = ossc_replace(Int32(opened), descriptor, isClosedOnExec ? closeOnExec : 0)
        _ = ossc_close(Int32(opened))
        return 0
    }
}

/// Enters a fresh descriptor of `<cache>/.partial/<key>` in the table. The descriptor, or -1 with errno.
private func enter(_ descriptor: Int32, _ cache: Cache, _ key: UnsafePointer<CChar>) -> Int32 {
    guard let directory = cache.directory, descriptor >= 0 else { return descriptor }
    var found = record(descriptor, of: cache, directory: directory, key: key)
    var tries = 0
    while found.error != 0, tries < updateTries {
        tries += 1
        ossc_sleep_milliseconds(updatePause)
        let error = openAnew(descriptor, directory, key)
        guard error == 0 else {
            _ = ossc_close(descriptor)
            ossc_set_errno(error)
            return -1
        }
        found = record(descriptor, of: cache, directory: directory, key: key)
    }
    guard found.error == 0 else {
        report(key) { $0.append("has no usable presence file in the cache directory; restart the agent") }
        _ = ossc_close(descriptor)
        ossc_set_errno(found.error)
        return -1
    }
    guard let file = found.file else { return descriptor }
    // Another version than this process may have read the rest of the model with.
    let firstSet = ossc_cache_first_set(cache)
    if firstSet != 0, file.pointee.header.pointee.replaced_in_set > firstSet {
        _ = ossc_close(descriptor)
        if ossc_file_tell_failure(file) != 0 {
            report(key) {
                $0.append("was replaced at the source after this program began to read the model; start it again")
            }
        }
        ossc_set_errno(5)
        return -1
    }
    if file.isComplete { return descriptor }
    if ensureThread() { signalThread() }
    return place(descriptor, file)
}

/// An arriving file is there to be read: EROFS, or EEXIST where it must be new. nil: no change of one is asked for.
func errorOfChange(_ directory: Int32, _ path: UnsafePointer<CChar>, _ flags: Int32) -> Int32? {
    guard isArriving(directory, path, follow: true) else { return nil }
    if flags & (oCreate | oExclusive) == oCreate | oExclusive { return 17 }
    return flags & (oAccessMode | oTruncate) != 0 ? 30 : nil
}

@inline(__always)
private func openHook(
    _ directory: Int32, _ path: UnsafePointer<CChar>?, _ flags: Int32,
    _ call: (Int32, UnsafePointer<CChar>?, Int32) -> Int32
) -> Int32 {
    guard isOn(), let path else { return call(directory, path, flags) }
    return flags & oPath == 0 && flags & (oAccessMode | oCreate | oTruncate) != 0
        ? openToChange(directory, path, flags, call) : openToRead(directory, path, flags, call)
}

/// A file that a program made where one is to have its name would keep the agent from giving it that name.
@inline(never)
private func openToChange(
    _ directory: Int32, _ path: UnsafePointer<CChar>, _ flags: Int32,
    _ call: (Int32, UnsafePointer<CChar>?, Int32) -> Int32
) -> Int32 {
    if let error = errorOfChange(directory, path, flags) {
        ossc_set_errno(error)
        return -1
    }
    // O_RDONLY with O_CREAT, as for a lock: it is there.
    return flags & (oAccessMode | oTruncate) == 0 && isArriving(directory, path, follow: true)
        ? openToRead(directory, path, flags & ~oCreate, call) : call(directory, path, flags)
}

@inline(never)
private func openToRead(
    _ directory: Int32, _ path: UnsafePointer<CChar>, _ flags: Int32,
    _ call: (Int32, UnsafePointer<CChar>?, Int32) -> Int32
) -> Int32 {
    let descriptor = onModelPath(
        directory, path, follow: flags & (oPath | oNoFollow) != oPath | oNoFollow, failed: negative,
        call: { call($0, $1, flags) },
        then: { flags & oPath == 0 ? enter($0, $1, $2) : known($0, $1, $2) })
    return descriptor >= 0 && flags & oPath == 0 && mayNameDescriptor(path) ? adoptKnown(descriptor) : descriptor
}

/// A descriptor with O_PATH shows no bytes, but another may be opened through it (see adoptKnown).
private func known(_ descriptor: Int32, _ cache: Cache, _ key: UnsafePointer<CChar>) -> Int32 {
    if let directory = cache.directory { _ = record(descriptor, of: cache, directory: directory, key: key) }
    return descriptor
}

/// `/dev/stdin`, `/dev/fd/7` and `/proc/self/fd/7` open again what a descriptor already has open.
func mayNameDescriptor(_ path: UnsafePointer<CChar>) -> Bool {
    hasKnownFiles && (hasPrefix(path, "/proc/") || hasPrefix(path, "/dev/"))
}

/// Enters the descriptor in the table when its file is one this process knows to be incomplete.
private func adoptKnown(_ descriptor: Int32) -> Int32 {
    if isManaged(descriptor) { return descriptor }
    // The name first: a file that was never opened here may have the number of one that is gone.
    guard let file = namedFile(descriptor) ?? known(ossc_identify(descriptor)), !file.isComplete else {
        return descriptor
    }
    return place(descriptor, file)
}

@_cdecl("open")
public func hook_open(_ path: UnsafePointer<CChar>?, _ flags: Int32, _ mode: UInt32) -> Int32 {
    openHook(-100, path, flags) { $0 == -100 ? next_open($1, $2, mode) : next_openat($0, $1, $2, mode) }
}

@_cdecl("open64")
public func hook_open64(_ path: UnsafePointer<CChar>?, _ flags: Int32, _ mode: UInt32) -> Int32 {
    openHook(-100, path, flags) { $0 == -100 ? next_open64($1, $2, mode) : next_openat($0, $1, $2, mode) }
}

@_cdecl("__open_2")
public func hook___open_2(_ path: UnsafePointer<CChar>?, _ flags: Int32) -> Int32 { hook_open(path, flags, 0) }

@_cdecl("__open64_2")
public func hook___open64_2(_ path: UnsafePointer<CChar>?, _ flags: Int32) -> Int32 { hook_open64(path, flags, 0) }

@_cdecl("creat")
public func hook_creat(_ path: UnsafePointer<CChar>?, _ mode: UInt32) -> Int32 {
    hook_open(path, oCreate | oTruncate | 1, mode)
}

@_cdecl("creat64")
public func hook_creat64(_ path: UnsafePointer<CChar>?, _ mode: UInt32) -> Int32 {
    hook_open64(path, oCreate | oTruncate | 1, mode)
}

@_cdecl("openat")
public func hook_openat(_ directory: Int32, _ path: UnsafePointer<CChar>?, _ flags: Int32, _ mode: UInt32) -> Int32 {
    openHook(directory, path, flags) { next_openat($0, $1, $2, mode) }
}

@_cdecl("openat64")
public func hook_openat64(_ directory: Int32, _ path: UnsafePointer<CChar>?, _ flags: Int32, _ mode: UInt32) -> Int32 {
    openHook(directory, path, flags) { next_openat64($0, $1, $2, mode) }
}

@_cdecl("__openat_2")
public func hook___openat_2(_ directory: Int32, _ path: UnsafePointer<CChar>?, _ flags: Int32) -> Int32 {
    hook_openat(directory, path, flags, 0)
}

@_cdecl("__openat64_2")
public func hook___openat64_2(_ directory: Int32, _ path: UnsafePointer<CChar>?, _ flags: Int32) -> Int32 {
    hook_openat64(directory, path, flags, 0)
}

/// A handle leads to a file without its name.
@_cdecl("open_by_handle_at")
public func hook_open_by_handle_at(_ mount: Int32, _ handle: UnsafeMutableRawPointer?, _ flags: Int32) -> Int32 {
    let descriptor = next_open_by_handle_at(mount, handle, flags)
    return descriptor >= 0 && hasKnownFiles && flags & oPath == 0 ? adoptKnown(descriptor) : descriptor
}

@_cdecl("name_to_handle_at")
public func hook_name_to_handle_at(
    _ directory: Int32, _ path: UnsafePointer<CChar>?, _ handle: UnsafeMutableRawPointer?,
    _ mount: UnsafeMutablePointer<Int32>?, _ flags: Int32
) -> Int32 {
    if !isOn() { return next_name_to_handle_at(directory, path, handle, mount, flags) }
    return onModelPath(
        directory, path, follow: flags & follow != 0, failed: negative,
        call: { next_name_to_handle_at($0, $1, handle, mount, flags) })
}

@_cdecl("inotify_add_watch")
public func hook_inotify_add_watch(_ watches: Int32, _ path: UnsafePointer<CChar>?, _ events: UInt32) -> Int32 {
    if !isOn() { return next_inotify_add_watch(watches, path, events) }
    return onModelPath(-100, path, failed: negative, call: { _, p in next_inotify_add_watch(watches, p, events) })
}

@_cdecl("pathconf")
public func hook_pathconf(_ path: UnsafePointer<CChar>?, _ name: Int32) -> Int {
    if !isOn() { return next_pathconf(path, name) }
    // -1 without a change of errno: no limit.
    return onModelPath(-100, path, failed: { $0 < 0 }, call: { _, p in next_pathconf(p, name) })
}

@_cdecl("access")
public func hook_access(_ path: UnsafePointer<CChar>?, _ mode: Int32) -> Int32 {
    if !isOn() { return next_access(path, mode) }
    return onModelPath(-100, path, failed: negative, call: { _, p in next_access(p, mode) })
}

@_cdecl("euidaccess")
public func hook_euidaccess(_ path: UnsafePointer<CChar>?, _ mode: Int32) -> Int32 {
    if !isOn() { return next_euidaccess(path, mode) }
    return onModelPath(-100, path, failed: negative, call: { _, p in next_euidaccess(p, mode) })
}

@_cdecl("eaccess")
public func hook_eaccess(_ path: UnsafePointer<CChar>?, _ mode: Int32) -> Int32 {
    if !isOn() { return next_eaccess(path, mode) }
    return onModelPath(-100, path, failed: negative, call: { _, p in next_eaccess(p, mode) })
}

@_cdecl("faccessat")
public func hook_faccessat(_ directory: Int32, _ path: UnsafePointer<CChar>?, _ mode: Int32, _ flags: Int32) -> Int32 {
    if !isOn() { return next_faccessat(directory, path, mode, flags) }
    return onModelPath(directory, path, failed: negative, call: { d, p in next_faccessat(d, p, mode, flags) })
}

@_cdecl("readlink")
public func hook_readlink(_ path: UnsafePointer<CChar>?, _ to: UnsafeMutablePointer<CChar>?, _ bytes: Int) -> Int {
    if !isOn() { return next_readlink(path, to, bytes) }
    return onModelPath(-100, path, follow: false, failed: negativeSize, call: { _, p in next_readlink(p, to, bytes) })
}

@_cdecl("readlinkat")
public func hook_readlinkat(
    _ directory: Int32, _ path: UnsafePointer<CChar>?, _ to: UnsafeMutablePointer<CChar>?, _ bytes: Int
) -> Int {
    if !isOn() { return next_readlinkat(directory, path, to, bytes) }
    return onModelPath(
        directory, path, follow: false, failed: negativeSize,
        call: { d, p in next_readlinkat(d, p, to, bytes) })
}

@_cdecl("__readlink_chk")
public func hook___readlink_chk(
    _ path: UnsafePointer<CChar>?, _ to: UnsafeMutablePointer<CChar>?, _ bytes: Int, _ space: Int
) -> Int {
    if !isOn() { return next___readlink_chk(path, to, bytes, space) }
    return onModelPath(
        -100, path, follow: false, failed: negativeSize, call: { _, p in next___readlink_chk(p, to, bytes, space) })
}

@_cdecl("__readlinkat_chk")
public func hook___readlinkat_chk(
    _ directory: Int32, _ path: UnsafePointer<CChar>?, _ to: UnsafeMutablePointer<CChar>?, _ bytes: Int, _ space: Int
) -> Int {
    if !isOn() { return next___readlinkat_chk(directory, path, to, bytes, space) }
    return onModelPath(
        directory, path, follow: false, failed: negativeSize,
        call: { d, p in next___readlinkat_chk(d, p, to, bytes, space) })
}

@_cdecl("statfs")
public func hook_statfs(_ path: UnsafePointer<CChar>?, _ out: UnsafeMutableRawPointer?) -> Int32 {
    if !isOn() { return next_statfs(path, out) }
    return onModelPath(-100, path, failed: negative, call: { _, p in next_statfs(p, out) })
}

@_cdecl("statfs64")
public func hook_statfs64(_ path: UnsafePointer<CChar>?, _ out: UnsafeMutableRawPointer?) -> Int32 {
    if !isOn() { return next_statfs64(path, out) }
    return onModelPath(-100, path, failed: negative, call: { _, p in next_statfs64(p, out) })
}

@_cdecl("statvfs")
public func hook_statvfs(_ path: UnsafePointer<CChar>?, _ out: UnsafeMutableRawPointer?) -> Int32 {
    if !isOn() { return next_statvfs(path, out) }
    return onModelPath(-100, path, failed: negative, call: { _, p in next_statvfs(p, out) })
}

@_cdecl("statvfs64")
public func hook_statvfs64(_ path: UnsafePointer<CChar>?, _ out: UnsafeMutableRawPointer?) -> Int32 {
    if !isOn() { return next_statvfs64(path, out) }
    return onModelPath(-100, path, failed: negative, call: { _, p in next_statvfs64(p, out) })
}

@_cdecl("getxattr")
public func hook_getxattr(
    _ path: UnsafePointer<CChar>?, _ name: UnsafePointer<CChar>?, _ to: UnsafeMutableRawPointer?, _ bytes: Int
) -> Int {
    if !isOn() { return next_getxattr(path, name, to, bytes) }
    return onModelPath(
        -100, path, follow: true, failed: negativeSize,
        call: { _, p in next_getxattr(p, name, to, bytes) })
}

@_cdecl("lgetxattr")
public func hook_lgetxattr(
    _ path: UnsafePointer<CChar>?, _ name: UnsafePointer<CChar>?, _ to: UnsafeMutableRawPointer?, _ bytes: Int
) -> Int {
    if !isOn() { return next_lgetxattr(path, name, to, bytes) }
    return onModelPath(
        -100, path, follow: false, failed: negativeSize,
        call: { _, p in next_lgetxattr(p, name, to, bytes) })
}

@_cdecl("listxattr")
public func hook_listxattr(_ path: UnsafePointer<CChar>?, _ to: UnsafeMutablePointer<CChar>?, _ bytes: Int) -> Int {
    if !isOn() { return next_listxattr(path, to, bytes) }
    return onModelPath(-100, path, follow: true, failed: negativeSize, call: { _, p in next_listxattr(p, to, bytes) })
}

@_cdecl("llistxattr")
public func hook_llistxattr(_ path: UnsafePointer<CChar>?, _ to: UnsafeMutablePointer<CChar>?, _ bytes: Int) -> Int {
    if !isOn() { return next_llistxattr(path, to, bytes) }
    return onModelPath(-100, path, follow: false, failed: negativeSize, call: { _, p in next_llistxattr(p, to, bytes) })
}
