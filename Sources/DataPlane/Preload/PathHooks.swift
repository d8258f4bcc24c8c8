import PreloadShim

// Calls that name a file: the real path first, then the model's twin of it (see onModelPath).

private let oAccessMode: Int32 = 3, oPath: Int32 = 0o10000000, oCloseOnExec: Int32 = 0o2000000

@inline(__always)
private func negative(_ value: Int32) -> Bool { value < 0 }
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

/// Enters a fresh descriptor of `<cache>/.partial/<key>` in the table. The descriptor, or -1 with errno.
func enter(_ descriptor: Int32, _ key: UnsafePointer<CChar>?) -> Int32 {
    guard let key, let cache = cacheDirectory, descriptor >= 0 else { return descriptor }
    let found = manage(descriptor, cache: cache, key: key)
    guard found.error == 0 else {
        report(key) { $0.append("has no usable presence file in the cache directory; restart the agent") }
        _ = ossc_close(descriptor)
        ossc_set_errno(found.error)
        return -1
    }
    guard let file = found.file else { return descriptor }
    ensureThread()
    return place(descriptor, file)
}

@inline(__always)
private func openHook(_ directory: Int32, _ path: UnsafePointer<CChar>?, _ flags: Int32, _ call: (Int32, UnsafePointer<CChar>?) -> Int32) -> Int32 {
    if !isOn() || flags & oAccessMode != 0 || flags & oPath != 0 { return call(directory, path) }
    let descriptor = onModelPath(directory, path, failed: negative, call: call, then: { enter($0, $1) })
    if descriptor >= 0, let path, mayNameDescriptor(path) { return adoptKnown(descriptor) }
    return descriptor
}

/// `/dev/stdin`, `/dev/fd/7` and `/proc/self/fd/7` open again what a descriptor already has open.
func mayNameDescriptor(_ path: UnsafePointer<CChar>) -> Bool {
    hasKnownFiles && (hasPrefix(path, "/proc/") || hasPrefix(path, "/dev/"))
}

/// Enters the descriptor in the table when its file is one this process knows to be incomplete.
private func adoptKnown(_ descriptor: Int32) -> Int32 {
    guard let file = knownFile(descriptor) else { return descriptor }
    return place(descriptor, file)
}

@_cdecl("open")
public func hook_open(_ path: UnsafePointer<CChar>?, _ flags: Int32, _ mode: UInt32) -> Int32 {
    openHook(-100, path, flags) { $0 == -100 ? next_open($1, flags, mode) : next_openat($0, $1, flags, mode) }
}

@_cdecl("open64")
public func hook_open64(_ path: UnsafePointer<CChar>?, _ flags: Int32, _ mode: UInt32) -> Int32 {
    openHook(-100, path, flags) { $0 == -100 ? next_open64($1, flags, mode) : next_openat($0, $1, flags, mode) }
}

@_cdecl("__open_2")
public func hook___open_2(_ path: UnsafePointer<CChar>?, _ flags: Int32) -> Int32 {
    openHook(-100, path, flags) { $0 == -100 ? next_open($1, flags, 0) : next_openat($0, $1, flags, 0) }
}

@_cdecl("__open64_2")
public func hook___open64_2(_ path: UnsafePointer<CChar>?, _ flags: Int32) -> Int32 {
    openHook(-100, path, flags) { $0 == -100 ? next_open64($1, flags, 0) : next_openat($0, $1, flags, 0) }
}

@_cdecl("openat")
public func hook_openat(_ directory: Int32, _ path: UnsafePointer<CChar>?, _ flags: Int32, _ mode: UInt32) -> Int32 {
    openHook(directory, path, flags) { next_openat($0, $1, flags, mode) }
}

@_cdecl("openat64")
public func hook_openat64(_ directory: Int32, _ path: UnsafePointer<CChar>?, _ flags: Int32, _ mode: UInt32) -> Int32 {
    openHook(directory, path, flags) { next_openat64($0, $1, flags, mode) }
}

@_cdecl("__openat_2")
public func hook___openat_2(_ directory: Int32, _ path: UnsafePointer<CChar>?, _ flags: Int32) -> Int32 {
    openHook(directory, path, flags) { next_openat($0, $1, flags, 0) }
}

@_cdecl("__openat64_2")
public func hook___openat64_2(_ directory: Int32, _ path: UnsafePointer<CChar>?, _ flags: Int32) -> Int32 {
    openHook(directory, path, flags) { next_openat64($0, $1, flags, 0) }
}

@_cdecl("stat")
public func hook_stat(_ path: UnsafePointer<CChar>?, _ to: UnsafeMutableRawPointer?) -> Int32 {
    if !isOn() { return next_stat(path, to) }
    return onModelPath(-100, path, failed: negative, call: { _, p in next_stat(p, to) })
}

@_cdecl("lstat")
public func hook_lstat(_ path: UnsafePointer<CChar>?, _ to: UnsafeMutableRawPointer?) -> Int32 {
    if !isOn() { return next_lstat(path, to) }
    return onModelPath(-100, path, follow: false, failed: negative, call: { _, p in next_lstat(p, to) })
}

@_cdecl("fstatat")
public func hook_fstatat(_ directory: Int32, _ path: UnsafePointer<CChar>?, _ to: UnsafeMutableRawPointer?, _ flags: Int32) -> Int32 {
    if !isOn() { return next_fstatat(directory, path, to, flags) }
    return onModelPath(directory, path, follow: flags & 0x100 == 0, failed: negative, call: { d, p in next_fstatat(d, p, to, flags) })
}

@_cdecl("__xstat")
public func hook___xstat(_ version: Int32, _ path: UnsafePointer<CChar>?, _ to: UnsafeMutableRawPointer?) -> Int32 {
    if !isOn() { return next___xstat(version, path, to) }
    return onModelPath(-100, path, failed: negative, call: { _, p in next___xstat(version, p, to) })
}

@_cdecl("__lxstat")
public func hook___lxstat(_ version: Int32, _ path: UnsafePointer<CChar>?, _ to: UnsafeMutableRawPointer?) -> Int32 {
    if !isOn() { return next___lxstat(version, path, to) }
    return onModelPath(-100, path, follow: false, failed: negative, call: { _, p in next___lxstat(version, p, to) })
}

@_cdecl("__fxstatat")
public func hook___fxstatat(_ version: Int32, _ directory: Int32, _ path: UnsafePointer<CChar>?, _ to: UnsafeMutableRawPointer?, _ flags: Int32) -> Int32 {
    if !isOn() { return next___fxstatat(version, directory, path, to, flags) }
    return onModelPath(directory, path, follow: flags & 0x100 == 0, failed: negative, call: { d, p in next___fxstatat(version, d, p, to, flags) })
}

@_cdecl("stat64")
public func hook_stat64(_ path: UnsafePointer<CChar>?, _ to: UnsafeMutableRawPointer?) -> Int32 {
    if !isOn() { return next_stat64(path, to) }
    return onModelPath(-100, path, failed: negative, call: { _, p in next_stat64(p, to) })
}

@_cdecl("lstat64")
public func hook_lstat64(_ path: UnsafePointer<CChar>?, _ to: UnsafeMutableRawPointer?) -> Int32 {
    if !isOn() { return next_lstat64(path, to) }
    return onModelPath(-100, path, follow: false, failed: negative, call: { _, p in next_lstat64(p, to) })
}

@_cdecl("fstatat64")
public func hook_fstatat64(_ directory: Int32, _ path: UnsafePointer<CChar>?, _ to: UnsafeMutableRawPointer?, _ flags: Int32) -> Int32 {
    if !isOn() { return next_fstatat64(directory, path, to, flags) }
    return onModelPath(directory, path, follow: flags & 0x100 == 0, failed: negative, call: { d, p in next_fstatat64(d, p, to, flags) })
}

@_cdecl("__xstat64")
public func hook___xstat64(_ version: Int32, _ path: UnsafePointer<CChar>?, _ to: UnsafeMutableRawPointer?) -> Int32 {
    if !isOn() { return next___xstat64(version, path, to) }
    return onModelPath(-100, path, failed: negative, call: { _, p in next___xstat64(version, p, to) })
}

@_cdecl("__lxstat64")
public func hook___lxstat64(_ version: Int32, _ path: UnsafePointer<CChar>?, _ to: UnsafeMutableRawPointer?) -> Int32 {
    if !isOn() { return next___lxstat64(version, path, to) }
    return onModelPath(-100, path, follow: false, failed: negative, call: { _, p in next___lxstat64(version, p, to) })
}

@_cdecl("__fxstatat64")
public func hook___fxstatat64(_ version: Int32, _ directory: Int32, _ path: UnsafePointer<CChar>?, _ to: UnsafeMutableRawPointer?, _ flags: Int32) -> Int32 {
    if !isOn() { return next___fxstatat64(version, directory, path, to, flags) }
    return onModelPath(directory, path, follow: flags & 0x100 == 0, failed: negative, call: { d, p in next___fxstatat64(version, d, p, to, flags) })
}

@_cdecl("statx")
public func hook_statx(_ directory: Int32, _ path: UnsafePointer<CChar>?, _ flags: Int32, _ mask: UInt32, _ to: UnsafeMutableRawPointer?) -> Int32 {
    if !isOn() { return next_statx(directory, path, flags, mask, to) }
    return onModelPath(directory, path, follow: flags & 0x100 == 0, failed: negative, call: { d, p in next_statx(d, p, flags, mask, to) })
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

@_cdecl("chdir")
public func hook_chdir(_ path: UnsafePointer<CChar>?) -> Int32 {
    if !isOn() { return next_chdir(path) }
    return onModelPath(-100, path, failed: negative, call: { _, p in next_chdir(p) })
}

@_cdecl("readlink")
public func hook_readlink(_ path: UnsafePointer<CChar>?, _ to: UnsafeMutablePointer<CChar>?, _ bytes: Int) -> Int {
    if !isOn() { return next_readlink(path, to, bytes) }
    return onModelPath(-100, path, follow: false, failed: negativeSize, call: { _, p in next_readlink(p, to, bytes) })
}

@_cdecl("readlinkat")
public func hook_readlinkat(_ directory: Int32, _ path: UnsafePointer<CChar>?, _ to: UnsafeMutablePointer<CChar>?, _ bytes: Int) -> Int {
    if !isOn() { return next_readlinkat(directory, path, to, bytes) }
    return onModelPath(directory, path, follow: false, failed: negativeSize, call: { d, p in next_readlinkat(d, p, to, bytes) })
}

@_cdecl("getxattr")
public func hook_getxattr(_ path: UnsafePointer<CChar>?, _ name: UnsafePointer<CChar>?, _ to: UnsafeMutableRawPointer?, _ bytes: Int) -> Int {
    if !isOn() { return next_getxattr(path, name, to, bytes) }
    return onModelPath(-100, path, follow: true, failed: negativeSize, call: { _, p in next_getxattr(p, name, to, bytes) })
}

@_cdecl("lgetxattr")
public func hook_lgetxattr(_ path: UnsafePointer<CChar>?, _ name: UnsafePointer<CChar>?, _ to: UnsafeMutableRawPointer?, _ bytes: Int) -> Int {
    if !isOn() { return next_lgetxattr(path, name, to, bytes) }
    return onModelPath(-100, path, follow: false, failed: negativeSize, call: { _, p in next_lgetxattr(p, name, to, bytes) })
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

@_cdecl("realpath")
public func hook_realpath(_ path: UnsafePointer<CChar>?, _ to: UnsafeMutablePointer<CChar>?) -> UnsafeMutablePointer<CChar>? {
    if !isOn() { return next_realpath(path, to) }
    return onModelPath(-100, path, failed: { $0 == nil }, call: { _, p in next_realpath(p, to) })
}

@_cdecl("canonicalize_file_name")
public func hook_canonicalize_file_name(_ path: UnsafePointer<CChar>?) -> UnsafeMutablePointer<CChar>? {
    if !isOn() { return next_canonicalize_file_name(path) }
    return onModelPath(-100, path, failed: { $0 == nil }, call: { _, p in next_canonicalize_file_name(p) })
}
