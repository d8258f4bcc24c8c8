import PreloadShim

// A working directory outlives the program that chose it, and a path is handed on: children that the library is not in
// would find sparse files below `.partial`. Both are given beside it, where a file has its name when it is complete.

/// The offset of the last `/.partial` that is a whole step of `path`.
private func partialStep(in path: UnsafePointer<CChar>) -> Int? {
    let count = partialName.utf8CodeUnitCount
    var found: Int?, i = 0
    while path[i] != 0 {
        if hasPrefix(path + i, partialName), path[i + count] == 0 || path[i + count] == slash { found = i }
        i += 1
    }
    return found
}

/// Calls `body` with `twin` beside `.partial`; nil where it is not below it.
private func withPlain<R>(_ twin: UnsafePointer<CChar>, _ body: (UnsafePointer<CChar>) -> R) -> R? {
    guard let step = partialStep(in: twin) else { return nil }
    return withPath { plain in
        plain.append(twin, count: step)
        plain.append(c: twin + step + partialName.utf8CodeUnitCount)
        return body(plain.base)
    }
}

/// A folder has no plain name before the first of its files is complete.
private func changed(to twin: UnsafePointer<CChar>) -> Int32? {
    guard let result = withPlain(twin, { next_chdir($0) }) else { return nil }
    return result < 0 && ossc_errno() == 2 ? nil : result
}

@_cdecl("chdir")
public func hook_chdir(_ path: UnsafePointer<CChar>?) -> Int32 {
    guard isOn(), let path else { return next_chdir(path) }
    return onModelPath(
        -100, path, failed: negative,
        call: { _, p in
            guard let p, p != path else { return next_chdir(path) }
            return changed(to: p) ?? next_chdir(p)
        })
}

@_cdecl("fchdir")
public func hook_fchdir(_ directory: Int32) -> Int32 {
    guard isOn(), directory >= 0 else { return next_fchdir(directory) }
    let result = withPath { text -> Int32? in
        // The folder is open already: no agent is asked, and a forked child waits for none.
        guard case .partial = literal(".", { locate(directory, $0, &text) }) else { return nil }
        return changed(to: text.base)
    }
    return result ?? next_fchdir(directory)
}

/// Takes `.partial` out of a path that was found for `twin`.
private func plain(
    _ found: UnsafeMutablePointer<CChar>?, of twin: UnsafePointer<CChar>
) -> UnsafeMutablePointer<CChar>? {
    guard let found, let step = partialStep(in: found), let own = partialStep(in: twin) else { return found }
    // The name of a file in the model is its own.
    var i = 0
    while found[step + i] != 0, found[step + i] == twin[own + i] { i += 1 }
    guard found[step + i] == 0, twin[own + i] == 0 || twin[own + i] == slash else { return found }
    let rest = found + step + partialName.utf8CodeUnitCount
    for place in 0...length(of: rest) { found[step + place] = rest[place] }
    return found
}

/// `call` finds a path's whole form; that of a twin is given beside `.partial`.
private func resolved(
    _ path: UnsafePointer<CChar>?, _ call: (UnsafePointer<CChar>?) -> UnsafeMutablePointer<CChar>?
) -> UnsafeMutablePointer<CChar>? {
    guard isOn(), let path else { return call(path) }
    return onModelPath(
        -100, path, failed: { $0 == nil },
        call: { _, p in
            guard let p, p != path else { return call(path) }
            return plain(call(p), of: p)
        })
}

@_cdecl("realpath")
public func hook_realpath(
    _ path: UnsafePointer<CChar>?, _ to: UnsafeMutablePointer<CChar>?
) -> UnsafeMutablePointer<CChar>? {
    resolved(path) { next_realpath($0, to) }
}

@_cdecl("__realpath_chk")
public func hook___realpath_chk(
    _ path: UnsafePointer<CChar>?, _ to: UnsafeMutablePointer<CChar>?, _ space: Int
) -> UnsafeMutablePointer<CChar>? {
    resolved(path) { next___realpath_chk($0, to, space) }
}

@_cdecl("canonicalize_file_name")
public func hook_canonicalize_file_name(_ path: UnsafePointer<CChar>?) -> UnsafeMutablePointer<CChar>? {
    resolved(path) { next_canonicalize_file_name($0) }
}
