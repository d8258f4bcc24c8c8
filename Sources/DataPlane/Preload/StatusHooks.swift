import PreloadShim

// The stat family. Of a file that arrives the kernel counts the blocks that are there: tar and others take a file with
// fewer blocks than bytes for one with holes, and never read it. Here it has all its blocks from the start.

private let noFollow: Int32 = 0x100, emptyPath: Int32 = 0x1000

@inline(__always)
private func status(
    _ directory: Int32, _ path: UnsafePointer<CChar>?, _ flags: Int32, _ fill: () -> Void,
    _ call: (Int32, UnsafePointer<CChar>?) -> Int32
) -> Int32 {
    if !isOn() { return call(directory, path) }
    if flags & emptyPath != 0, path.map({ $0[0] == 0 }) ?? true {
        return ofDescriptor(directory, fill) { call(directory, path) }
    }
    return onModelPath(
        directory, path, follow: flags & noFollow == 0, failed: { $0 < 0 }, call: call,
        then: { value, _, _ in
            fill()
            return value
        })
}

@inline(__always)
private func ofDescriptor(_ descriptor: Int32, _ fill: () -> Void, _ call: () -> Int32) -> Int32 {
    if ossc_may_be_managed(descriptor) == 0 { return call() }
    let arrives = isManaged(descriptor)
    let result = call()
    if arrives && result == 0 { fill() }
    return result
}

@_cdecl("stat")
public func hook_stat(_ path: UnsafePointer<CChar>?, _ to: UnsafeMutableRawPointer?) -> Int32 {
    status(-100, path, 0, { ossc_fill_blocks(to) }) { next_stat($1, to) }
}

@_cdecl("__xstat")
public func hook___xstat(_ version: Int32, _ path: UnsafePointer<CChar>?, _ to: UnsafeMutableRawPointer?) -> Int32 {
    status(-100, path, 0, { ossc_fill_blocks(to) }) { next___xstat(version, $1, to) }
}

@_cdecl("stat64")
public func hook_stat64(_ path: UnsafePointer<CChar>?, _ to: UnsafeMutableRawPointer?) -> Int32 {
    status(-100, path, 0, { ossc_fill_blocks(to) }) { next_stat64($1, to) }
}

@_cdecl("__xstat64")
public func hook___xstat64(_ version: Int32, _ path: UnsafePointer<CChar>?, _ to: UnsafeMutableRawPointer?) -> Int32 {
    status(-100, path, 0, { ossc_fill_blocks(to) }) { next___xstat64(version, $1, to) }
}

@_cdecl("lstat")
public func hook_lstat(_ path: UnsafePointer<CChar>?, _ to: UnsafeMutableRawPointer?) -> Int32 {
    status(-100, path, noFollow, { ossc_fill_blocks(to) }) { next_lstat($1, to) }
}

@_cdecl("__lxstat")
public func hook___lxstat(_ version: Int32, _ path: UnsafePointer<CChar>?, _ to: UnsafeMutableRawPointer?) -> Int32 {
    status(-100, path, noFollow, { ossc_fill_blocks(to) }) { next___lxstat(version, $1, to) }
}

@_cdecl("lstat64")
public func hook_lstat64(_ path: UnsafePointer<CChar>?, _ to: UnsafeMutableRawPointer?) -> Int32 {
    status(-100, path, noFollow, { ossc_fill_blocks(to) }) { next_lstat64($1, to) }
}

@_cdecl("__lxstat64")
public func hook___lxstat64(_ version: Int32, _ path: UnsafePointer<CChar>?, _ to: UnsafeMutableRawPointer?) -> Int32 {
    status(-100, path, noFollow, { ossc_fill_blocks(to) }) { next___lxstat64(version, $1, to) }
}

@_cdecl("fstat")
public func hook_fstat(_ descriptor: Int32, _ to: UnsafeMutableRawPointer?) -> Int32 {
    ofDescriptor(descriptor, { ossc_fill_blocks(to) }) { next_fstat(descriptor, to) }
}

@_cdecl("__fxstat")
public func hook___fxstat(_ version: Int32, _ descriptor: Int32, _ to: UnsafeMutableRawPointer?) -> Int32 {
    ofDescriptor(descriptor, { ossc_fill_blocks(to) }) { next___fxstat(version, descriptor, to) }
}

@_cdecl("fstatat")
public func hook_fstatat(
    _ directory: Int32, _ path: UnsafePointer<CChar>?, _ to: UnsafeMutableRawPointer?, _ flags: Int32
) -> Int32 {
    status(directory, path, flags, { ossc_fill_blocks(to) }) { next_fstatat($0, $1, to, flags) }
}

@_cdecl("__fxstatat")
public func hook___fxstatat(
    _ version: Int32, _ directory: Int32, _ path: UnsafePointer<CChar>?, _ to: UnsafeMutableRawPointer?, _ flags: Int32
) -> Int32 {
    status(directory, path, flags, { ossc_fill_blocks(to) }) { next___fxstatat(version, $0, $1, to, flags) }
}

@_cdecl("fstat64")
public func hook_fstat64(_ descriptor: Int32, _ to: UnsafeMutableRawPointer?) -> Int32 {
    ofDescriptor(descriptor, { ossc_fill_blocks(to) }) { next_fstat64(descriptor, to) }
}

@_cdecl("__fxstat64")
public func hook___fxstat64(_ version: Int32, _ descriptor: Int32, _ to: UnsafeMutableRawPointer?) -> Int32 {
    ofDescriptor(descriptor, { ossc_fill_blocks(to) }) { next___fxstat64(version, descriptor, to) }
}

@_cdecl("fstatat64")
public func hook_fstatat64(
    _ directory: Int32, _ path: UnsafePointer<CChar>?, _ to: UnsafeMutableRawPointer?, _ flags: Int32
) -> Int32 {
    status(directory, path, flags, { ossc_fill_blocks(to) }) { next_fstatat64($0, $1, to, flags) }
}

@_cdecl("__fxstatat64")
public func hook___fxstatat64(
    _ version: Int32, _ directory: Int32, _ path: UnsafePointer<CChar>?, _ to: UnsafeMutableRawPointer?, _ flags: Int32
) -> Int32 {
    status(directory, path, flags, { ossc_fill_blocks(to) }) { next___fxstatat64(version, $0, $1, to, flags) }
}

@_cdecl("statx")
public func hook_statx(
    _ directory: Int32, _ path: UnsafePointer<CChar>?, _ flags: Int32, _ mask: UInt32, _ to: UnsafeMutableRawPointer?
) -> Int32 {
    status(directory, path, flags, { ossc_fill_extended_blocks(to) }) { next_statx($0, $1, flags, mask, to) }
}
