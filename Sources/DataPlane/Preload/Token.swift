import PreloadShim

private let maximumTokenBytes = 16384

/// Appends the ServiceAccount token by which a ModelCache's socket knows this pod, as the setting MODELCACHE_TOKEN.
/// Read at every connection, since the kubelet renews it in its file. Without one the agent says what it misses.
func appendToken(_ cache: Cache, _ body: inout Text) {
    guard cache.volume != nil, let path = environment("MODELCACHE_TOKEN_FILE") else { return }
    _ = withMappedBytes(maximumTokenBytes + 1) { buffer in
        let base = buffer.assumingMemoryBound(to: CChar.self)
        var count = readToken(path, base)
        guard count >= 0 else {
            report(nil, .warn) {
                $0.append("MODELCACHE_TOKEN_FILE: cannot be read (errno ")
                $0.append(number: UInt64(-count))
                $0.append("); mount the projected token there, readable to this user")
            }
            return
        }
        while count > 0, base[count - 1] == 10 || base[count - 1] == 13 || base[count - 1] == 32 { count -= 1 }
        guard count <= maximumTokenBytes else {
            report(nil, .warn) {
                $0.append(
                    "MODELCACHE_TOKEN_FILE: holds more than 16 KiB, which is no ServiceAccount token; name the token's file"
                )
            }
            return
        }
        body.append("MODELCACHE_TOKEN=")
        for i in 0..<count {
            // The agent would take what follows for another setting.
            if base[i] == 0 { break }
            body.append(base[i])
        }
        body.append(0)
    }
}

/// At most one byte more than a token may have; -errno.
private func readToken(_ path: UnsafePointer<CChar>, _ base: UnsafeMutablePointer<CChar>) -> Int {
    let descriptor = ossc_open(-100, path, 0o2000000, 0)
    guard descriptor >= 0 else { return descriptor }
    defer { _ = ossc_close(Int32(descriptor)) }
    var count = 0
    while count <= maximumTokenBytes {
        let n = ossc_read(Int32(descriptor), base + count, maximumTokenBytes + 1 - count)
        if n == -4 { continue }  // EINTR
        if n < 0 { return n }
        if n == 0 { break }
        count += n
    }
    return count
}
