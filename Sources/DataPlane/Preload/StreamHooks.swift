import PreloadShim

// stdio. The C library's own reads bypass every hook, so a stream over an incomplete file is a cookie
// stream whose callbacks wait. The descriptor's own offset is the only one (libstdc++ reads past stdio).

typealias Stream = UnsafeMutablePointer<ossc_stream>
/// Changed under OSSC_LOCK_STREAMS; elsewhere only compared with nil, which a stream's own thread sees right.
private var streams: Stream? { ossc_streams() }
/// Guarded by OSSC_LOCK_STREAMS.
nonisolated(unsafe) private var spareStreams: Stream? = nil
private let streamsLock = Int32(OSSC_LOCK_STREAMS)

private func openStream(_ descriptor: Int32, _ mode: UnsafePointer<CChar>?) -> UnsafeMutableRawPointer? {
    ossc_lock(streamsLock)
    var record = spareStreams
    if let spare = record { spareStreams = spare.pointee.next }
    ossc_unlock(streamsLock)
    if record == nil {
        record = ossc_allocate(MemoryLayout<ossc_stream>.size)?.assumingMemoryBound(to: ossc_stream.self)
    }
    guard let record else { return nil }
    record.pointee.descriptor = descriptor
    record.pointee.stream = nil
    if record.pointee.buffer == nil { record.pointee.buffer = ossc_allocate(Int(OSSC_STREAM_BUFFER)) }
    let stream = ossc_open_stream(record, mode, record.pointee.buffer, Int(OSSC_STREAM_BUFFER))
    ossc_lock(streamsLock)
    record.pointee.stream = stream
    if stream != nil {
        record.pointee.next = streams
        ossc_set_streams(record)
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
    // A stream reads ahead: what it needs at least is waited for, the rest is taken where it is there.
    let r = readInTurn(
        stream.pointee.descriptor, bytes, least: 1, plain: { next_read($0, to, bytes) },
        at: { next_pread64($0, to, $2, $1) })
    return r < 0 ? -Int64(ossc_errno()) : Int64(r)
}

@_cdecl("ossc_stream_seek")
public func streamSeek(_ cookie: UnsafeMutableRawPointer?, _ offset: Int64, _ whence: Int32) -> Int64 {
    guard let stream = cookie?.assumingMemoryBound(to: ossc_stream.self) else { return -9 }
    let position = hook_lseek64(stream.pointee.descriptor, offset, whence)
    return position < 0 ? -Int64(ossc_errno()) : position
}

/// The lock is held.
private func unlink(_ record: Stream) {
    if streams == record { return ossc_set_streams(record.pointee.next) }
    var link = streams
    while let one = link {
        if one.pointee.next == record {
            one.pointee.next = record.pointee.next
            return
        }
        link = one.pointee.next
    }
}

@_cdecl("ossc_stream_close")
public func streamClose(_ cookie: UnsafeMutableRawPointer?) -> Int32 {
    guard let closing = cookie?.assumingMemoryBound(to: ossc_stream.self) else { return -1 }
    ossc_lock(streamsLock)
    unlink(closing)
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
    _ path: UnsafePointer<CChar>?, _ mode: UnsafePointer<CChar>?,
    _ call: (UnsafePointer<CChar>?) -> UnsafeMutableRawPointer?
) -> UnsafeMutableRawPointer? {
    guard isOn(), let mode, let path else { return call(path) }
    guard isReading(mode) else { return mayChange(path, mode) ? call(path) : nil }
    guard isOurs(path) else { return call(path) }
    let descriptor = hook_open(path, hasFlag(mode, 0x65) ? 0o2000000 : 0, 0)  // "e": O_CLOEXEC
    guard descriptor >= 0 else { return nil }
    // A stream of the C library's own; where the file is incomplete a cookie stream.
    let stream = hook_fdopen(descriptor, mode)
    if let stream {
        // fdopen does not look at "e", which a later freopen of the stream keeps.
        if hasFlag(mode, 0x65) { ossc_keep_closed_on_exec(stream) }
    } else {
        let error = ossc_errno()
        _ = hook_close(descriptor)
        ossc_set_errno(error)
    }
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
    _ path: UnsafePointer<CChar>?, _ mode: UnsafePointer<CChar>?, _ stream: UnsafeMutableRawPointer?,
    _ call: (UnsafePointer<CChar>?) -> UnsafeMutableRawPointer?
) -> UnsafeMutableRawPointer? {
    guard let cookie = record(of: stream) else { return reopenFile(path, mode, call) }
    ossc_make_file_stream(cookie)
    ossc_lock(descriptorsLock)
    release(cookie.pointee.descriptor)
    ossc_unlock(descriptorsLock)
    let opened = reopenFile(path, mode, call)
    // The C library keeps the number. The record has what the stream points to, so it is not used again.
    ossc_lock(streamsLock)
    unlink(cookie)
    ossc_unlock(streamsLock)
    return opened
}

@inline(__always)
private func reopenFile(
    _ path: UnsafePointer<CChar>?, _ mode: UnsafePointer<CChar>?,
    _ call: (UnsafePointer<CChar>?) -> UnsafeMutableRawPointer?
) -> UnsafeMutableRawPointer? {
    guard isOn(), let path, let mode else { return call(path) }
    guard isReading(mode) else {
        if mayChange(path, mode) { return call(path) }
        let error = ossc_errno()
        _ = literal("") { call($0) }  // closes the stream
        ossc_set_errno(error)
        return nil
    }
    guard isOurs(path) else { return call(path) }
    let descriptor = hook_open(path, 0o2000000, 0)
    guard descriptor >= 0 else {
        // The stream is closed all the same; the reason is the one found here.
        let error = ossc_errno()
        let opened = call(path)
        if opened == nil { ossc_set_errno(error) }
        return opened
    }
    defer { _ = hook_close(descriptor) }
    if let file = incomplete(descriptor) {
        let error = waitVisible(file, offset: 0, bytes: file.pointee.bytes)
        if error != 0 {
            ossc_set_errno(error)
            return nil
        }
    }
    // The kernel opens the file anew, whatever kind of descriptor this is.
    return withDescriptorPath(descriptor) { call($0) }
}

/// Others are opened once, as asked: opening a FIFO twice would break it.
private func isOurs(_ path: UnsafePointer<CChar>) -> Bool {
    if mayNameDescriptor(path) { return true }
    return withPath { text in
        if case .outside = locate(-100, path, &text) {} else { return true }
        guard ossc_access(path, 0) == -2 else { return false }  // ENOENT
        if case .outside = behindLinks(-100, path, follow: true, &text) { return false }
        return true
    }
}

/// Whether a mode that writes may open the path; false with errno.
private func mayChange(_ path: UnsafePointer<CChar>, _ mode: UnsafePointer<CChar>) -> Bool {
    // O_CREAT | O_EXCL with "x"; O_RDWR.
    guard let error = errorOfChange(-100, path, hasFlag(mode, 0x78) ? 0o302 : 2) else { return true }
    ossc_set_errno(error)
    return false
}

@_cdecl("freopen")
public func hook_freopen(
    _ path: UnsafePointer<CChar>?, _ mode: UnsafePointer<CChar>?, _ stream: UnsafeMutableRawPointer?
) -> UnsafeMutableRawPointer? {
    reopen(path, mode, stream) { next_freopen($0, mode, stream) }
}

@_cdecl("freopen64")
public func hook_freopen64(
    _ path: UnsafePointer<CChar>?, _ mode: UnsafePointer<CChar>?, _ stream: UnsafeMutableRawPointer?
) -> UnsafeMutableRawPointer? {
    reopen(path, mode, stream) { next_freopen64($0, mode, stream) }
}

/// Whether there are cookie streams at all.
@inline(__always)
var hasStreams: Bool { streams != nil }

private func record(of stream: UnsafeMutableRawPointer?) -> Stream? {
    if streams == nil { return nil }
    ossc_lock(streamsLock)
    defer { ossc_unlock(streamsLock) }
    var next = streams
    while let one = next {
        if one.pointee.stream == stream { return one }
        next = one.pointee.next
    }
    return nil
}

/// The descriptor under a cookie stream, for which the C library knows none.
func descriptor(under stream: UnsafeMutableRawPointer?) -> Int32? { record(of: stream)?.pointee.descriptor }

@_cdecl("fileno")
public func hook_fileno(_ stream: UnsafeMutableRawPointer?) -> Int32 {
    descriptor(under: stream) ?? next_fileno(stream)
}

@_cdecl("fileno_unlocked")
public func hook_fileno_unlocked(_ stream: UnsafeMutableRawPointer?) -> Int32 {
    descriptor(under: stream) ?? next_fileno_unlocked(stream)
}

@_cdecl("fdopen")
public func hook_fdopen(_ descriptor: Int32, _ mode: UnsafePointer<CChar>?) -> UnsafeMutableRawPointer? {
    if ossc_may_be_managed(descriptor) != 0, incomplete(descriptor) != nil, let mode, isReading(mode) {
        return openStream(descriptor, mode)
    }
    return next_fdopen(descriptor, mode)
}
