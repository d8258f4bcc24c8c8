import Glibc

/// How glibc's allocator treats this process's memory (mallopt(3)).
///
/// The operator's tables are small and long-lived; the allocations that come and go beside them are large for a moment:
/// pages of a list, a table that a plan still holds while it changes. By default each thread may get a heap of its own,
/// none of which shrinks while one small object at its end lives, and a freed large block makes larger ones come from
/// those heaps from then on.
enum Allocation {
    // malloc.h, which Swift's module of glibc leaves out.
    private static let trimThreshold: Int32 = -1
    private static let mapThreshold: Int32 = -3
    private static let mostHeaps: Int32 = -8
    private typealias Setter = @convention(c) (Int32, Int32) -> Int32

    /// Before the first thread starts. Without effect under another C library.
    static func settle() {
        guard let symbol = dlsym(nil, "mallopt") else { return }
        let set = unsafeBitCast(symbol, to: Setter.self)
        // Two heaps for all threads, whatever the machine's cores.
        _ = set(mostHeaps, 2)
        // Larger blocks are the kernel's and go back to it when freed; setting it also ends its growth.
        _ = set(mapThreshold, 256 << 10)
        _ = set(trimThreshold, 1 << 20)
    }
}
