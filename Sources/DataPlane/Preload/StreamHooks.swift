import PreloadShim

// stdio. The C library's own reads bypass every hook, so a stream over an incomplete file is a cookie
// stream whose callbacks wait. The descriptor's own offset is the only one (libstdc++ reads past stdio).

typealias Stream = UnsafeMutablePointer<ossc_stream>
/// Changed under OSSC_LOCK_STREAMS; elsewhere only compared with nil, which a stream's own thread sees right.
nonisolated(unsafe) private var streams: Stream? = nil
/// Guarded by OSSC_LOCK_STREAMS.
nonisolated(unsafe) private var spareStreams: Stream? = nil
private let streamsLock = Int32(OSSC_LOCK_STREAMS)

private func openStream(_ descriptor: Int32, _ mode: UnsafePointer<CChar>?) -> UnsafeMutableRawPointer? {
    ossc_lock(streamsLock)
    var record = spareStreams
    if let spare = record { spareStreams = spare.pointee.next }
    ossc_unlock(streamsLock)
    if record == nil { record = ossc_allocate(MemoryLayout<ossc_stream>.size)?.assumingMemoryBound(to: ossc_stream.self) }
    guard let record else { return nil }
    record.pointee.descriptor = descriptor
    record.pointee.stream = nil
    if record.pointee.buffer == nil { record.pointee.buffer = ossc_allocate(Int(OSSC_STREAM_BUFFER)) }
    let stream = ossc_open_stream(record, mode, record.pointee.buffer, Int(OSSC_STREAM_BUFFER))
    ossc_lock(streamsLock)
    record.pointee.stream = stream
    if stream != nil {
        record.pointee.next = streams
        streams = record
    } else {
        record.pointee.next = spareStreams
        spareStreams = record
    }
    ossc_unlock(streamsLock)
    return stream
}

/// Standard input inherited over exec: `sha256sum < file` reads it through stdio.
func replaceStandardInput() {
    var mode: (CChar, CChar) = (0x72, 0)
    let stream = withUnsafePointer(to: &mode) {
        $0.withMemoryRebound(to: CChar.self, capacity: 2) { openStream(0, $0) }
    }
    if let stream { ossc_replace_standard_input(stream) }
}

@_cdecl("ossc_stream_read")
public func streamRead(_ cookie: UnsafeMutableRawPointer?, _ to: UnsafeMutableRawPointer?, _ bytes: Int) -> Int64 {
    guard let stream = cookie?.assumingMemoryBound(to: ossc_stream.self) else { return -9 }
    let descriptor = stream.pointee.descriptor
    var share = bytes
    if let file = incomplete(descriptor) {
        // A stream reads ahead: what it needs at least is waited for, the rest is taken where it is there.
        guard let there = clamp(descriptor, file, position(descriptor), bytes) else { return -Int64(ossc_errno()) }
        share = there
    }
    let r = hook_read(descriptor, to, share)
    return r < 0 ? -Int64(ossc_errno()) : Int64(r)
}

@_cdecl("ossc_stream_seek")
public func streamSeek(_ cookie: UnsafeMutableRawPointer?, _ offset: Int64, _ whence: Int32) -> Int64 {
    guard let stream = cookie?.assumingMemoryBound(to: ossc_stream.self) else { return -9 }
    return Int64(ossc_seek(stream.pointee.descriptor, offset, whence))
}

@_cdecl("ossc_stream_close")
public func streamClose(_ cookie: UnsafeMutableRawPointer?) -> Int32 {
    guard let closing = cookie?.assumingMemoryBound(to: ossc_stream.self) else { return -1 }
    ossc_lock(streamsLock)
    if streams == closing {
        streams = closing.pointee.next
    } else {
        var link = streams
        while let one = link {
            if one.pointee.next == closing { one.pointee.next = closing.pointee.next; break }
            link = one.pointee.next
        }
    }
    let descriptor = closing.pointee.descriptor
    closing.pointee.next = spareStreams
    spareStreams = closing
    ossc_unlock(streamsLock)
    return hook_close(descriptor)
}

private func isReading(_ mode: UnsafePointer<CChar>) -> Bool {
    var i = 1
    while mode[i] != 0 && mode[i] != 0x2C {
        if mode[i] == 0x2B { return false }
        i += 1
    }
    return mode[0] == 0x72
}

@inline(__always)
private func openFileHook(
    _ path: UnsafePointer<CChar>?, _ mode: UnsafePointer<CChar>?, _ call: (UnsafePointer<CChar>?) -> UnsafeMutableRawPointer?
) -> UnsafeMutableRawPointer? {
    guard isOn(), let mode, isReading(mode) else { return call(path) }
    if let path, mayNameDescriptor(path), let plain = call(path) {
        guard let file = knownFile(next_fileno(plain)) else { return plain }
        return overStream(plain, mode) { place($0, file) }
    }
    return onModelPath(-100, path, failed: { $0 == nil }, call: { _, p in call(p) }, then: { plain, key in
        guard let plain, let key, let cache = cacheDirectory else { return plain }
        // A stream of the C library's own; where the file is incomplete it gives way to a cookie stream.
        let found = manage(next_fileno(plain), cache: cache, key: key)
        if found.error == 0 && found.file == nil { return plain }
        guard found.error == 0 else {
            _ = next_fclose(plain)
            ossc_set_errno(found.error)
            return nil
        }
        return overStream(plain, mode) { enter($0, key) }
    })
}

/// A cookie stream over the descriptor of `plain`, which is closed. `enter` puts the new descriptor in the table.
private func overStream(_ plain: UnsafeMutableRawPointer, _ mode: UnsafePointer<CChar>, _ enter: (Int32) -> Int32) -> UnsafeMutableRawPointer? {
    let descriptor = Int32(ossc_duplicate_above(next_fileno(plain), 3))
    _ = next_fclose(plain)
    guard descriptor >= 0 else {
        ossc_set_errno(24)  // EMFILE
        return nil
    }
    if !hasFlag(mode, 0x65) { _ = next_fcntl(descriptor, 2, 0) }  // no "e": F_SETFD without FD_CLOEXEC
    guard enter(descriptor) >= 0 else { return nil }
    let stream = openStream(descriptor, mode)
    if stream == nil { _ = hook_close(descriptor) }
    return stream
}

private func hasFlag(_ mode: UnsafePointer<CChar>, _ flag: CChar) -> Bool {
    var i = 0
    while mode[i] != 0 { if mode[i] == flag { return true }; i += 1 }
    return false
}

@_cdecl("fopen")
public func hook_fopen(_ path: UnsafePointer<CChar>?, _ mode: UnsafePointer<CChar>?) -> UnsafeMutableRawPointer? {
    openFileHook(path, mode) { next_fopen($0, mode) }
}

@_cdecl("fopen64")
public func hook_fopen64(_ path: UnsafePointer<CChar>?, _ mode: UnsafePointer<CChar>?) -> UnsafeMutableRawPointer? {
    openFileHook(path, mode) { next_fopen64($0, mode) }
}

/// The stream keeps its address, so it cannot become a cookie stream: the file is waited for as a whole.
@inline(__always)
private func reopen(
    _ path: UnsafePointer<CChar>?, _ mode: UnsafePointer<CChar>?, _ call: (UnsafePointer<CChar>?) -> UnsafeMutableRawPointer?
) -> UnsafeMutableRawPointer? {
    guard isOn(), let path, let mode, isReading(mode), isOurs(path) else { return call(path) }
    let descriptor = hook_open(path, 0o2000000, 0)
    guard descriptor >= 0 else { return call(path) }
    defer { _ = hook_close(descriptor) }
    if let file = incomplete(descriptor) {
        let error = waitVisible(file, offset: 0, bytes: file.pointee.bytes)
        if error != 0 {
            ossc_set_errno(error)
            return nil
        }
    }
    return withPath { link in
        link.append("/proc/self/fd/")
        link.append(number: UInt64(descriptor))
        return call(link.base)
    }
}

/// Others are opened once, as asked: opening a FIFO twice would break it.
private func isOurs(_ path: UnsafePointer<CChar>) -> Bool {
    if mayNameDescriptor(path) { return true }
    return withPath { if case .outside = locate(-100, path, &$0) { false } else { true } }
}

@_cdecl("freopen")
public func hook_freopen(_ path: UnsafePointer<CChar>?, _ mode: UnsafePointer<CChar>?, _ stream: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    reopen(path, mode) { next_freopen($0, mode, stream) }
}

@_cdecl("freopen64")
public func hook_freopen64(_ path: UnsafePointer<CChar>?, _ mode: UnsafePointer<CChar>?, _ stream: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    reopen(path, mode) { next_freopen64($0, mode, stream) }
}

/// Whether there are cookie streams at all.
@inline(__always)
var hasStreams: Bool { streams != nil }

/// The descriptor under a cookie stream, for which the C library knows none.
func descriptor(under stream: UnsafeMutableRawPointer?) -> Int32? {
    if streams == nil { return nil }
    ossc_lock(streamsLock)
    defer { ossc_unlock(streamsLock) }
    var next = streams
    while let one = next {
        if one.pointee.stream == stream { return one.pointee.descriptor }
        next = one.pointee.next
    }
    return nil
}

@_cdecl("fileno")
public func hook_fileno(_ stream: UnsafeMutableRawPointer?) -> Int32 { descriptor(under: stream) ?? next_fileno(stream) }

@_cdecl("fileno_unlocked")
public func hook_fileno_unlocked(_ stream: UnsafeMutableRawPointer?) -> Int32 { descriptor(under: stream) ?? next_fileno_unlocked(stream) }

@_cdecl("fdopen")
public func hook_fdopen(_ descriptor: Int32, _ mode: UnsafePointer<CChar>?) -> UnsafeMutableRawPointer? {
    if incomplete(descriptor) != nil, let mode, isReading(mode) { return openStream(descriptor, mode) }
    return next_fdopen(descriptor, mode)
}
