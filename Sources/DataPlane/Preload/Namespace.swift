import PreloadShim

/// Where a path lies.
enum Place {
    case outside
    /// Under a model's directory or its cache directory; the offset of the key in the normalised text.
    case model(Cache, key: Int, throughCache: Bool)
    /// Already below `<cache>/.partial`.
    case partial(Cache, key: Int)
    /// Below the `.partial` of a cache whose mount is gone (its model was evicted): names there lead to sparse files
    /// that nobody fills.
    case gone
}

/// The folder of sparse files in a cache directory, as a step of a path.
let partialName: StaticString = "/.partial"

/// Whether a base directory's path is below `.partial` at the root of a mount that is in no namespace any more.
/// getcwd(2) says `(unreachable)` before such a path, a link in /proc says nothing.
private func isDetached(_ text: Text, _ descriptor: Int32) -> Bool {
    let unreachable: StaticString = "(unreachable)"
    let marked = hasPrefix(text.base, unreachable)
    let path = text.base + (marked ? unreachable.utf8CodeUnitCount : 0)
    let end = partialName.utf8CodeUnitCount
    guard hasPrefix(path, partialName), path[end] == 0 || path[end] == slash else { return false }
    if marked { return true }
    let named = ossc_identify_path(text.base, 1), own = ossc_identify(descriptor)
    return named.error != 0 || named.inode != own.inode || named.device != own.device
}

/// The model's directory may be a link that an earlier process made: a working directory may be its target.
func rememberLink(_ cache: Cache) {
    withPath { target in
        let n = ossc_readlink(cache.pointee.model_directory, target.base, target.capacity - 1)
        guard n > 0, target.base[0] == slash else { return }
        target.truncate(to: n)
        cache.pointee.earlier = keep(target.base)
    }
}

private func below(_ root: UnsafePointer<CChar>, _ path: UnsafePointer<CChar>) -> Int? {
    var i = 0
    while root[i] != 0 {
        if root[i] != path[i] { return nil }
        i += 1
    }
    if path[i] == 0 { return i }
    return path[i] == slash ? i + 1 : nil
}

/// Normalises `path` (relative to `directory`) into `text` and tells where it lies.
func locate(_ directory: Int32, _ path: UnsafePointer<CChar>, _ text: inout Text) -> Place {
    // ENAMETOOLONG is the kernel's to say.
    if length(of: path) >= Int(OSSC_PATH_MAX) { return .outside }
    if path[0] != slash {
        if path[0] == 0 { return .outside }
        if directory == -100 {
            let n = ossc_getcwd(text.base, text.capacity)
            guard n > 1 else { return .outside }
            guard text.base[0] == slash else { return isDetached(text, -1) ? .gone : .outside }
            text.truncate(to: n - 1)
        } else {
            let n = withPath { link -> Int in
                link.append("/proc/self/fd/")
                link.append(number: UInt64(max(directory, 0)))
                return ossc_readlink(link.base, text.base, text.capacity - 1)
            }
            guard n > 0, text.base[0] == slash else { return .outside }
            text.truncate(to: n)
            if isDetached(text, directory) { return .gone }
        }
        if text.count == 1 { text.clear() }
    }
    appendNormalised(path, to: &text)
    return place(of: text)
}

/// Where an absolute, normal path lies.
private func place(of text: Text) -> Place {
    for index in 0..<cacheCount {
        let cache = cache(at: index)
        if let key = below(cache.pointee.model_directory, text.base) {
            return .model(cache, key: key, throughCache: cache.isModelDirectory)
        }
    }
    for index in 0..<cacheCount {
        let cache = cache(at: index)
        guard let directory = cache.directory ?? cache.pointee.earlier, let key = below(directory, text.base) else {
            continue
        }
        if hasPrefix(text.base + key, ".partial") && (text.base[key + 8] == 0 || text.base[key + 8] == slash) {
            return .partial(cache, key: text.base[key + 8] == 0 ? key + 8 : key + 9)
        }
        return .model(cache, key: key, throughCache: true)
    }
    return .outside
}

/// `locate`, with the model of that place opened. `.outside` where it cannot be.
func located(_ directory: Int32, _ path: UnsafePointer<CChar>, _ text: inout Text) -> Place {
    switch locate(directory, path, &text) {
    case .outside:
        return .outside
    case .gone:
        return .gone
    case .partial(let cache, let key):
        ensureSession(cache)
        return cache.isOpen ? .partial(cache, key: key) : .outside
    case .model(let cache, _, _):
        ensureSession(cache)
        guard cache.isOpen else { return .outside }
        // Where the model's directory leads may have changed by that.
        text.clear()
        return locate(directory, path, &text)
    }
}

private let maximumLinks = 16

/// The place in a model to which links on the way of a path lead that names nothing by itself; `text` gets the path
/// there. `.outside` where they lead elsewhere.
@inline(never)
func behindLinks(
    _ directory: Int32, _ path: UnsafePointer<CChar>, follow: Bool, _ text: inout Text
) -> Place {
    text.clear()
    guard case .outside = locate(directory, path, &text), text.base[0] == slash else { return .outside }
    var links = 0
    var start = 0
    while text.base[start] != 0 {
        var end = start + 1
        while text.base[end] != 0 && text.base[end] != slash { end += 1 }
        if text.base[end] == 0 && !follow { return .outside }
        let found = withPath { whole -> Place? in
            let isLink = linkTarget(of: text, start, end, &whole)
            guard isLink, links < maximumLinks else { return isLink ? .outside : nil }
            links += 1
            text.clear()
            appendNormalised(whole.base, to: &text)
            end = 0
            if case .outside = place(of: text) { return nil }
            whole.clear()
            whole.append(c: text.base)
            text.clear()
            return located(-100, whole.base, &text)
        }
        if let found { return found }
        start = end
    }
    return .outside
}

/// Whether the step of `text` that ends at `end` is a link; `whole` gets the path with its target in its place.
private func linkTarget(of text: Text, _ start: Int, _ end: Int, _ whole: inout Text) -> Bool {
    withPath { target in
        let after = text.base[end]
        text.base[end] = 0
        let n = ossc_readlink(text.base, target.base, target.capacity - 1)
        text.base[end] = after
        guard n > 0 else { return false }
        target.truncate(to: n)
        if target.base[0] != slash { whole.append(text.base, count: start) }
        whole.append(slash)
        whole.append(c: target.base)
        whole.append(c: text.base + end)
        return true
    }
}

/// Whether a file of a model has no plain name yet. Asks no agent: a program that writes beside a model needs none.
@inline(never)
func isArriving(_ directory: Int32, _ path: UnsafePointer<CChar>, follow: Bool) -> Bool {
    withPath { text in
        var place = locate(directory, path, &text)
        // A link that leads to no file would have the kernel make one there.
        if follow, case .outside = place, ossc_identify_path(text.base, 0).mode & UInt32(OSSC_TYPE_MASK) == 0o120000 {
            place = behindLinks(directory, path, follow: true, &text)
        }
        switch place {
        case .model(let cache, let key, _):
            return ossc_identify_path(text.base, 1).error == 2 && isPartial(text.base + key, of: cache, path)  // ENOENT
        case .partial(let cache, let key):
            // Of a descriptor of the model's folder.
            return isPartial(text.base + key, of: cache, path)
        case .outside, .gone:
            return false
        }
    }
}

/// Whether the cache has a file of that key, which is not published.
private func isPartial(_ key: UnsafePointer<CChar>, of cache: Cache, _ asked: UnsafePointer<CChar>) -> Bool {
    guard key[0] != 0, let folder = cache.directory ?? cache.volume ?? cache.pointee.earlier else { return false }
    return withPath { twin in
        name(&twin, folder, key, isPartial: false, asked)
        guard ossc_identify_path(twin.base, 1).error == 2 else { return false }  // ENOENT
        name(&twin, folder, key, isPartial: true, asked)
        return ossc_identify_path(twin.base, 1).mode & UInt32(OSSC_TYPE_MASK) == UInt32(OSSC_TYPE_FILE)
    }
}

/// Whether the path ends in `/` or `/.`: a file under it is ENOTDIR (POSIX, pathname resolution).
private func namesDirectory(_ path: UnsafePointer<CChar>) -> Bool {
    var end = 0
    while path[end] != 0 { end += 1 }
    if end > 1, path[end - 1] == dot, path[end - 2] == slash { return true }
    return end > 0 && path[end - 1] == slash
}

/// The name of `key` in a cache directory; `asked` is the program's own word for it.
@inline(never)
private func name(
    _ twin: inout Text, _ cacheDirectory: UnsafePointer<CChar>, _ key: UnsafePointer<CChar>, isPartial: Bool,
    _ asked: UnsafePointer<CChar>
) {
    twin.clear()
    twin.append(c: cacheDirectory)
    if isPartial { twin.append(partialName) }
    if key[0] != 0 {
        twin.append(slash)
        twin.append(c: key)
    }
    if namesDirectory(asked) { twin.append(slash) }
}

/// Does `call` on the real path, and where that does not exist on the model's twin of it. `failed` tells
/// whether a value is an error (errno set). When MODEL_DIR leads into the cache the twin goes first: it
/// holds every name, and the same inodes.
@inline(never)
func onModelPath<R>(
    _ directory: Int32, _ path: UnsafePointer<CChar>?, follow: Bool = true,
    failed: (R) -> Bool, call: (Int32, UnsafePointer<CChar>?) -> R,
    then: (R, Cache, UnsafePointer<CChar>) -> R = { value, _, _ in value }
) -> R {
    guard let path else { return call(directory, nil) }
    return withPath { text -> R in
        var place = located(directory, path, &text)
        if case .outside = place {
            let value = call(directory, path)
            guard failed(value), ossc_errno() == 2 else { return value }
            place = behindLinks(directory, path, follow: follow, &text)
            if case .outside = place { return value }
        }
        switch place {
        case .outside:
            return call(directory, path)  // None: it has returned.
        case .gone:
            // ENOENT, as for any name that was removed.
            text.clear()
            return call(-100, text.base)
        case .partial(let cache, let key):
            let value = call(directory, path)
            return failed(value) ? value : then(value, cache, text.base + key)
        case .model(let cache, let key, let throughCache):
            guard let cacheDirectory = cache.directory else { return call(directory, path) }
            // lstat and readlink of MODEL_DIR itself show the link.
            if !follow && text.base[key] == 0 { return call(directory, path) }
            if !throughCache {
                let value = call(directory, path)
                if !failed(value) || ossc_errno() != 2 { return value }
            }
            return withPath { twin -> R in
                name(&twin, cacheDirectory, text.base + key, isPartial: true, path)
                let value = call(-100, twin.base)
                if !failed(value) { return then(value, cache, text.base + key) }
                if ossc_errno() != 2 { return value }
                if throughCache { return call(directory, path) }
                name(&twin, cacheDirectory, text.base + key, isPartial: false, path)
                return call(-100, twin.base)
            }
        }
    }
}
