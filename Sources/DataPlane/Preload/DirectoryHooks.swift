import PreloadShim

// Listing a MODEL_DIR that is a directory of the user's own: its files first, then the names of the cache
// that it does not have. A MODEL_DIR that leads to the cache needs none of this: the cache's own directory
// is opened in its place (onModelPath), also for scandir. The C library's glob, ftw and fts list without these hooks.

typealias Listing = UnsafeMutablePointer<ossc_listing>

/// Changed under OSSC_LOCK_STREAMS; elsewhere only compared with nil, which a directory's own thread sees right.
private var listings: Listing? { ossc_listings() }
/// Guarded by OSSC_LOCK_STREAMS.
nonisolated(unsafe) private var spareListings: Listing? = nil
private let listingsLock = Int32(OSSC_LOCK_STREAMS)

/// `first` goes on with `second` where it ends.
private func join(_ first: UnsafeMutableRawPointer, _ second: UnsafeMutableRawPointer) {
    ossc_lock(listingsLock)
    defer { ossc_unlock(listingsLock) }
    var record = spareListings
    if let spare = record {
        spareListings = spare.pointee.next
    } else {
        record = ossc_allocate(MemoryLayout<ossc_listing>.size)?.assumingMemoryBound(to: ossc_listing.self)
    }
    // Without memory the first directory is listed alone, and the second stays open.
    guard let record else { return }
    record.pointee = ossc_listing(next: listings, first: first, second: second, on_second: 0)
    ossc_set_listings(record)
}

/// A record is used by the thread that has the directory stream and goes with closedir, so no lock is kept.
private func listing(_ directory: UnsafeMutableRawPointer?) -> Listing? {
    if listings == nil { return nil }
    ossc_lock(listingsLock)
    defer { ossc_unlock(listingsLock) }
    var next = listings
    while let one = next {
        if one.pointee.first == directory { return one }
        next = one.pointee.next
    }
    return nil
}

private func leave(_ directory: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    if listings == nil { return nil }
    ossc_lock(listingsLock)
    defer { ossc_unlock(listingsLock) }
    var link: Listing? = nil
    var next = listings
    while let one = next {
        if one.pointee.first == directory {
            if let link { link.pointee.next = one.pointee.next } else { ossc_set_listings(one.pointee.next) }
            one.pointee.next = spareListings
            spareListings = one
            return one.pointee.second
        }
        link = one
        next = one.pointee.next
    }
    return nil
}

/// Looks for the cache's directory of the same name and joins it. `path` is relative to the descriptor
/// `directory` and lies under a MODEL_DIR of the user's own.
private func joinTwin(of opened: UnsafeMutableRawPointer, _ directory: Int32, _ path: UnsafePointer<CChar>) {
    // Where each model's directory leads to its cache directory, the twin is the directory itself.
    if firstCache(where: { !$0.isModelDirectory }) == nil { return }
    let saved = ossc_errno()
    withPath { text in
        guard case .model(let cache, let key, false) = located(directory, path, &text),
            let cacheDirectory = cache.directory
        else { return }
        withPath { twin in
            twin.append(c: cacheDirectory)
            twin.append("/.partial")
            if text.base[key] != 0 {
                twin.append(slash)
                twin.append(c: text.base + key)
            }
            let found = ossc_identify_path(twin.base, 1)
            let own = ossc_identify(next_dirfd(opened))
            // When the directory was not there, `opened` is the cache's already.
            guard found.error == 0, found.inode != own.inode || found.device != own.device else { return }
            if let second = next_opendir(twin.base) { join(opened, second) }
        }
    }
    ossc_set_errno(saved)
}

@_cdecl("opendir")
public func hook_opendir(_ path: UnsafePointer<CChar>?) -> UnsafeMutableRawPointer? {
    if !isOn() { return next_opendir(path) }
    let opened: UnsafeMutableRawPointer? = onModelPath(
        -100, path, failed: { $0 == nil }, call: { _, p in next_opendir(p) })
    if let opened, let path { joinTwin(of: opened, -100, path) }
    return opened
}

/// Of a directory of the user's own these list what it has itself: the C library reads it without readEntry.
@_cdecl("scandir")
public func hook_scandir(
    _ path: UnsafePointer<CChar>?, _ list: UnsafeMutableRawPointer?, _ filter: UnsafeRawPointer?,
    _ order: UnsafeRawPointer?
) -> Int32 {
    if !isOn() { return next_scandir(path, list, filter, order) }
    return onModelPath(-100, path, failed: negative, call: { _, p in next_scandir(p, list, filter, order) })
}

@_cdecl("scandir64")
public func hook_scandir64(
    _ path: UnsafePointer<CChar>?, _ list: UnsafeMutableRawPointer?, _ filter: UnsafeRawPointer?,
    _ order: UnsafeRawPointer?
) -> Int32 {
    if !isOn() { return next_scandir64(path, list, filter, order) }
    return onModelPath(-100, path, failed: negative, call: { _, p in next_scandir64(p, list, filter, order) })
}

@_cdecl("fdopendir")
public func hook_fdopendir(_ descriptor: Int32) -> UnsafeMutableRawPointer? {
    let opened = next_fdopendir(descriptor)
    if let opened, isOn() {
        var here: (CChar, CChar) = (dot, 0)
        withUnsafePointer(to: &here) {
            $0.withMemoryRebound(to: CChar.self, capacity: 2) { joinTwin(of: opened, descriptor, $0) }
        }
    }
    return opened
}

/// The next entry of the second directory that the first does not have.
private func nextOfSecond(
    _ one: Listing, _ read: (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer?
) -> UnsafeMutableRawPointer? {
    one.pointee.on_second = 1
    while let entry = read(one.pointee.second) {
        guard let name = ossc_entry_name(entry) else { continue }
        if name[0] == dot && (name[1] == 0 || (name[1] == dot && name[2] == 0)) { continue }
        if ossc_is_present_at(next_dirfd(one.pointee.first), name) == 0 { return entry }
    }
    return nil
}

@inline(__always)
private func readEntry(
    _ directory: UnsafeMutableRawPointer?, _ read: (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer?
) -> UnsafeMutableRawPointer? {
    guard let one = listing(directory) else { return read(directory) }
    if one.pointee.on_second == 0 {
        // errno is how a caller tells an error from the end: an error is not the end.
        let saved = ossc_errno()
        ossc_set_errno(0)
        if let entry = read(directory) {
            ossc_set_errno(saved)
            return entry
        }
        if ossc_errno() != 0 { return nil }
        ossc_set_errno(saved)
    }
    return nextOfSecond(one, read)
}

@_cdecl("readdir")
public func hook_readdir(_ directory: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    readEntry(directory) { next_readdir($0) }
}

@_cdecl("readdir64")
public func hook_readdir64(_ directory: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    readEntry(directory) { next_readdir64($0) }
}

@_cdecl("rewinddir")
public func hook_rewinddir(_ directory: UnsafeMutableRawPointer?) {
    if let one = listing(directory) {
        one.pointee.on_second = 0
        next_rewinddir(one.pointee.second)
    }
    next_rewinddir(directory)
}

@_cdecl("closedir")
public func hook_closedir(_ directory: UnsafeMutableRawPointer?) -> Int32 {
    if let second = leave(directory) { _ = next_closedir(second) }
    return next_closedir(directory)
}
