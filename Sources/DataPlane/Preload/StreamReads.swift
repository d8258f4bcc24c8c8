import PreloadShim

// fread of much from a cookie stream. The C library would take it through the stream's buffer, a second copy
// of every byte: what is not buffered yet is read straight to where the program wants it. The stream stays
// consistent, since a cookie stream asks for its position and never remembers it.

private let muchBytes = 32768, leastBytes = 4096

/// Bytes read, or nil when the C library is to do it.
@inline(never)
private func readMuch(
    _ to: UnsafeMutableRawPointer?, _ size: Int, _ count: Int, _ stream: UnsafeMutableRawPointer?
) -> Int? {
    let (total, overflow) = size.multipliedReportingOverflow(by: count)
    guard let to, let stream, !overflow, total >= muchBytes, let descriptor = descriptor(under: stream) else {
        return nil
    }
    var buffered = ossc_stream_buffered(stream)
    guard buffered >= 0 else { return nil }
    var got = 0
    if buffered > 0 { got = next_fread_unlocked(to, 1, min(buffered, total), stream) }
    buffered = ossc_stream_buffered(stream)
    while buffered == 0 && total - got >= leastBytes {
        let n = hook_read(descriptor, to + got, total - got)
        if n <= 0 { break }
        got += n
    }
    // The end and errors are the C library's to note in the stream.
    if got < total { got += next_fread_unlocked(to + got, 1, total - got, stream) }
    return got / size
}

@inline(never)
private func readMuchLocked(
    _ to: UnsafeMutableRawPointer?, _ size: Int, _ count: Int, _ stream: UnsafeMutableRawPointer?
) -> Int {
    guard let under = stream, descriptor(under: under) != nil else { return next_fread(to, size, count, stream) }
    ossc_lock_stream(under)
    defer { ossc_unlock_stream(under) }
    return readMuch(to, size, count, under) ?? next_fread_unlocked(to, size, count, under)
}

@_cdecl("fread")
public func hook_fread(
    _ to: UnsafeMutableRawPointer?, _ size: Int, _ count: Int, _ stream: UnsafeMutableRawPointer?
) -> Int {
    hasStreams ? readMuchLocked(to, size, count, stream) : next_fread(to, size, count, stream)
}

@_cdecl("fread_unlocked")
public func hook_fread_unlocked(
    _ to: UnsafeMutableRawPointer?, _ size: Int, _ count: Int, _ stream: UnsafeMutableRawPointer?
) -> Int {
    if hasStreams, let read = readMuch(to, size, count, stream) { return read }
    return next_fread_unlocked(to, size, count, stream)
}

/// A request that does not fit `space` is left to the C library, which ends the program.
@_cdecl("__fread_chk")
public func hook___fread_chk(
    _ to: UnsafeMutableRawPointer?, _ space: Int, _ size: Int, _ count: Int, _ stream: UnsafeMutableRawPointer?
) -> Int {
    let (total, overflow) = size.multipliedReportingOverflow(by: count)
    guard hasStreams, !overflow, UInt(bitPattern: total) <= UInt(bitPattern: space) else {
        return next___fread_chk(to, space, size, count, stream)
    }
    return readMuchLocked(to, size, count, stream)
}
