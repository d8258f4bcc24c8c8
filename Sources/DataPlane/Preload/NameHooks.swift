import PreloadShim

// Calls that make and remove names. Where an arriving file is to have its own, another file would keep the agent from
// giving it that name: EEXIST, as when the file is complete. To replace or remove one is EROFS.

private let exists: Int32 = 17, readOnly: Int32 = 30  // EEXIST, EROFS
private let here: Int32 = -100  // AT_FDCWD

@inline(never)
private func changing(
    _ directory: Int32, _ path: UnsafePointer<CChar>?, error: Int32 = exists, _ call: () -> Int32
) -> Int32 {
    guard isOn(), let path, isArriving(directory, path, follow: false) else { return call() }
    ossc_set_errno(error)
    return -1
}

@_cdecl("mkdir")
public func hook_mkdir(_ path: UnsafePointer<CChar>?, _ mode: UInt32) -> Int32 {
    changing(here, path) { next_mkdir(path, mode) }
}

@_cdecl("mkdirat")
public func hook_mkdirat(_ directory: Int32, _ path: UnsafePointer<CChar>?, _ mode: UInt32) -> Int32 {
    changing(directory, path) { next_mkdirat(directory, path, mode) }
}

@_cdecl("symlink")
public func hook_symlink(_ target: UnsafePointer<CChar>?, _ path: UnsafePointer<CChar>?) -> Int32 {
    changing(here, path) { next_symlink(target, path) }
}

@_cdecl("symlinkat")
public func hook_symlinkat(
    _ target: UnsafePointer<CChar>?, _ directory: Int32, _ path: UnsafePointer<CChar>?
) -> Int32 {
    changing(directory, path) { next_symlinkat(target, directory, path) }
}

@_cdecl("link")
public func hook_link(_ from: UnsafePointer<CChar>?, _ to: UnsafePointer<CChar>?) -> Int32 {
    changing(here, to) { next_link(from, to) }
}

@_cdecl("linkat")
public func hook_linkat(
    _ fromDirectory: Int32, _ from: UnsafePointer<CChar>?, _ toDirectory: Int32, _ to: UnsafePointer<CChar>?,
    _ flags: Int32
) -> Int32 {
    changing(toDirectory, to) { next_linkat(fromDirectory, from, toDirectory, to, flags) }
}

@_cdecl("rename")
public func hook_rename(_ from: UnsafePointer<CChar>?, _ to: UnsafePointer<CChar>?) -> Int32 {
    hook_renameat(here, from, here, to)
}

@_cdecl("renameat")
public func hook_renameat(
    _ fromDirectory: Int32, _ from: UnsafePointer<CChar>?, _ toDirectory: Int32, _ to: UnsafePointer<CChar>?
) -> Int32 {
    changing(fromDirectory, from, error: readOnly) {
        changing(toDirectory, to, error: readOnly) { next_renameat(fromDirectory, from, toDirectory, to) }
    }
}

@_cdecl("renameat2")
public func hook_renameat2(
    _ fromDirectory: Int32, _ from: UnsafePointer<CChar>?, _ toDirectory: Int32, _ to: UnsafePointer<CChar>?,
    _ flags: UInt32
) -> Int32 {
    changing(fromDirectory, from, error: readOnly) {
        changing(toDirectory, to, error: readOnly) { next_renameat2(fromDirectory, from, toDirectory, to, flags) }
    }
}

@_cdecl("unlink")
public func hook_unlink(_ path: UnsafePointer<CChar>?) -> Int32 {
    changing(here, path, error: readOnly) { next_unlink(path) }
}

@_cdecl("unlinkat")
public func hook_unlinkat(_ directory: Int32, _ path: UnsafePointer<CChar>?, _ flags: Int32) -> Int32 {
    changing(directory, path, error: readOnly) { next_unlinkat(directory, path, flags) }
}
