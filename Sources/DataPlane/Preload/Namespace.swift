import PreloadShim

/// Where a path lies.
enum Place {
    case outside
    /// Under MODEL_DIR or the cache directory; the offset of the key in the normalised text.
    case model(key: Int, throughCache: Bool)
    /// Already below `<cache>/.partial`.
    case partial(key: Int)
}

/// MODEL_DIR may be a link that an earlier process made: a working directory may be its target.
func rememberLink() {
    withPath { target in
        let n = ossc_readlink(modelDirectory, target.base, target.capacity - 1)
        guard n > 0, target.base[0] == slash else { return }
        target.truncate(to: n)
        earlierCacheDirectory = keep(target.base)
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
    if path[0] != slash {
        if path[0] == 0 { return .outside }
        if directory == -100 {
            let n = ossc_getcwd(text.base, text.capacity)
            guard n > 1, text.base[0] == slash else { return .outside }
            text.truncate(to: n - 1)
        } else {
            let n = withPath { link -> Int in
                link.append("/proc/self/fd/")
                link.append(number: UInt64(max(directory, 0)))
                return ossc_readlink(link.base, text.base, text.capacity - 1)
            }
            guard n > 0, text.base[0] == slash else { return .outside }
            text.truncate(to: n)
        }
        if text.count == 1 { text.clear() }
    }
    appendNormalised(path, to: &text)
    if let key = below(modelDirectory, text.base) { return .model(key: key, throughCache: modelDirectoryIsCache) }
    if let cache = cacheDirectory ?? earlierCacheDirectory, let key = below(cache, text.base) {
        if hasPrefix(text.base + key, ".partial") && (text.base[key + 8] == 0 || text.base[key + 8] == slash) {
            return .partial(key: text.base[key + 8] == 0 ? key + 8 : key + 9)
        }
        return .model(key: key, throughCache: true)
    }
    return .outside
}

/// What a path call did: the value, and the key when it was done below `.partial`.
struct Resolved<R> {
    var value: R
    /// The call went to `<cache>/.partial/<key>`; `key` is in `text`.
    var partialKey: UnsafePointer<CChar>?
}

/// Does `call` on the real path, and where that does not exist on the model's twin of it. `failed` tells
/// whether a value is an error (errno set). When MODEL_DIR leads into the cache the twin goes first: it
/// holds every name, and the same inodes.
@inline(__always)
func onModelPath<R>(
    _ directory: Int32, _ path: UnsafePointer<CChar>?, follow: Bool = true,
    failed: (R) -> Bool, call: (Int32, UnsafePointer<CChar>?) -> R, then: (R, UnsafePointer<CChar>?) -> R = { value, _ in value }
) -> R {
    guard let path else { return call(directory, nil) }
    return withPath { text -> R in
        var place = locate(directory, path, &text)
        if case .outside = place { return call(directory, path) }
        ensureSession()
        if case .model = place { text.clear(); place = locate(directory, path, &text) }
        guard let cache = cacheDirectory else { return call(directory, path) }
        switch place {
        case .outside:
            return call(directory, path)
        case .partial(let key):
            let value = call(directory, path)
            return failed(value) ? value : then(value, text.base + key)
        case .model(let key, let throughCache):
            // lstat and readlink of MODEL_DIR itself show the link.
            if !follow && text.base[key] == 0 { return call(directory, path) }
            if !throughCache {
                let value = call(directory, path)
                if !failed(value) || ossc_errno() != 2 { return value }
            }
            return withPath { twin -> R in
                twin.append(cache)
                twin.append("/.partial")
                if text.base[key] != 0 {
                    twin.append(slash)
                    twin.append(text.base + key)
                }
                let value = call(-100, twin.base)
                if !failed(value) { return then(value, text.base + key) }
                if ossc_errno() != 2 { return value }
                if throughCache { return call(directory, path) }
                twin.truncate(to: cacheDirectoryLength)
                if text.base[key] != 0 {
                    twin.append(slash)
                    twin.append(text.base + key)
                }
                return call(-100, twin.base)
            }
        }
    }
}

/// Descriptors of incomplete files that exec handed over are managed from the start.
func adoptInheritedDescriptors() {
    let list = ossc_open(-100, "/proc/self/fd", 0o2200000, 0)
    guard list >= 0 else { return }
    defer { _ = ossc_close(Int32(list)) }
    withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 16) { buffer in
        guard let base = buffer.baseAddress else { return }
        while true {
            let n = ossc_getdents(Int32(list), base, 4096)
            guard n > 0 else { return }
            var at = 0
            while at < n {
                let record = Int(base.load(fromByteOffset: at + 16, as: UInt16.self))
                adopt((base + at + 19).assumingMemoryBound(to: CChar.self))
                at += record
            }
        }
    }
}

private func adopt(_ name: UnsafePointer<CChar>) {
    var number: Int32 = 0
    var i = 0
    while name[i] != 0 {
        guard name[i] >= 48, name[i] <= 57 else { return }
        number = number * 10 + Int32(name[i] - 48)
        i += 1
    }
    withPath { link in
        link.append("/proc/self/fd/")
        link.append(number: UInt64(number))
        withPath { target in
            let n = ossc_readlink(link.base, target.base, target.capacity - 1)
            guard n > 0 else { return }
            target.truncate(to: n)
            guard let cut = find("/.partial/", in: target.base) else { return }
            target.base[cut] = 0
            let found = manage(number, cache: target.base, key: target.base + cut + 10)
            guard let file = found.file else { return }
            // A number beyond the table is waited for here; where that fails it is closed.
            guard place(number, file) >= 0 else { return }
            if number == 0 { replaceStandardInput() }
        }
    }
}
