internal import Glibc

/// Memory for the bytes that a thread reads and looks at: each thread that ever does so has its own, made once.
///
/// New memory for each range would be mapped, touched and unmapped again. Each of these steps holds a lock of the whole
/// process' address space, and the threads of ``BlockingWork`` that nobody waits for have low priority: while one of
/// them waits for a processor with that lock, no other thread can have memory, and `/healthz` is late.
///
/// Bound: `bytes` for each thread of ``BlockingWork``.
package enum ThreadBuffer {
    /// The largest step in which files are read.
    package static let bytes = Int(Manifest.hugePageBytes)

    /// `body` must not keep the memory, which is aligned to pages and holds whatever was there before.
    package static func withBytes<Result, Failure: Error>(
        _ body: (UnsafeMutableRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        // Taken out while it is used: a second use on the same thread, inside the first, has memory of its own.
        let kept = pthread_getspecific(key)
        pthread_setspecific(key, nil)
        let memory = kept ?? map()
        defer {
            if let other = pthread_getspecific(key) { munmap(other, bytes) }
            pthread_setspecific(key, memory)
        }
        return try body(UnsafeMutableRawBufferPointer(start: memory, count: bytes))
    }

    /// Touched at once: later reads into it change nothing of the address space.
    private static func map() -> UnsafeMutableRawPointer {
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE
        let memory = mmap(nil, bytes, PROT_READ | PROT_WRITE, flags, -1, 0)
        precondition(memory != MAP_FAILED, "there is memory for a thread's \(bytes) bytes")
        return memory!
    }

    private static let key: pthread_key_t = {
        var key = pthread_key_t()
        let result = pthread_key_create(&key) { memory in munmap(memory, ThreadBuffer.bytes) }
        precondition(result == 0, "there is a key for a thread's own memory")
        return key
    }()
}
