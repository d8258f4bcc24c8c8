internal import Glibc
internal import LinuxShim

/// Carries bytes from a socket into a file without this process reading them: the kernel hands the socket's pages over to the pipe
/// (splice(2)) and copies them once, into the page cache. Of one `ChunkWriter` at a time.
///
/// What it holds is received but not written: at most ``capacity`` bytes.
struct ReceivePipe {
    /// What a process without CAP_SYS_RESOURCE may ask for (pipe(7), /proc/sys/fs/pipe-max-size).
    static let capacity = 1 << 20
    /// A full pipe that holds less has pages that are mostly empty, a packet's worth each: a copy is cheaper than so many of them.
    static let worthwhile = capacity / 2

    private let reading: Int32
    private let writing: Int32
    private(set) var count = 0

    /// Nil when the kernel gives no such pipe.
    init?() {
        var ends: [Int32] = [-1, -1]
        guard mc_pipe(&ends, Self.capacity) == 0 else { return nil }
        (reading, writing) = (ends[0], ends[1])
    }

    enum Filled {
        case bytes(Int)
        /// The socket has nothing now.
        case nothing
        /// The pipe has no room.
        case full
        /// The sender has closed.
        case end
        /// errno.
        case failed(Int32)
    }

    /// Takes what the socket has, at most `limit` bytes.
    mutating func fill(from socket: Int32, atMost limit: Int) -> Filled {
        let result = mc_splice_in(socket, writing, limit)
        if result > 0 {
            count += result
            return .bytes(result)
        }
        if result == 0 { return .end }
        guard result == -Int(EAGAIN) else { return .failed(Int32(-result)) }
        return count > 0 && mc_pipe_is_full(writing) != 0 ? .full : .nothing
    }

    /// Puts bytes that were received elsewhere behind the others; false, and nothing done, when there is no room for them.
    mutating func add(_ bytes: UnsafeRawBufferPointer) -> Bool {
        // Small ones alone, so that the write is never cut short: PIPE_BUF (pipe(7)).
        guard bytes.count <= Int(PIPE_BUF), write(writing, bytes.baseAddress, bytes.count) == bytes.count else { return false }
        count += bytes.count
        return true
    }

    /// Writes all to the file. Returns 0 or a negative errno.
    mutating func empty(into descriptor: Int32, at offset: UInt64) -> Int {
        var offset = offset
        while count > 0 {
            let result = mc_splice_out(reading, descriptor, offset, count)
            guard result > 0 else { return result == 0 ? -Int(ENOSPC) : result }
            count -= result
            offset += UInt64(result)
        }
        return 0
    }

    func close() {
        Glibc.close(reading)
        Glibc.close(writing)
    }
}
