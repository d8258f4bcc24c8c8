internal import Glibc
internal import LinuxShim

/// A chunk's part of the data file, mapped for writing: bytes go into the page cache without a system call.
///
/// For tmpfs with huge pages alone. pwrite(2) holds the inode's lock, so the writers of one file wait for each other,
/// and it costs a staging copy; measured over loopback on two cores, a plain receive loop into such a mapping is about
/// a third faster than receive and pwrite of the same sizes. On small pages and disks the faults eat the gain.
///
/// The gate for readers is the presence map, as for written bytes: mappings of theirs see a page only after
/// UFFDIO_CONTINUE.
struct MappedRange {
    private let base: UnsafeMutableRawPointer
    private let count: Int
    private var populated = 0

    /// One huge page at a time: it is cleared, then filled while the processor's cache holds it.
    private static let step = Int(Manifest.hugePageBytes)

    /// Nil when the kernel refuses the mapping or cannot promise that a touch will not fault (before Linux 5.14).
    init?(descriptor: Int32, range: Range<UInt64>) {
        let count = Int(range.upperBound - range.lowerBound)
        guard Self.isSupported, let base = mc_map_range(descriptor, range.lowerBound, count) else { return nil }
        self.base = base
        self.count = count
    }

    /// Whether the kernel can make pages ahead of a touch: Linux 5.14.
    private static let isSupported: Bool = {
        guard let probe = mc_map_huge_anonymous(step) else { return false }
        defer { mc_unmap(probe, step) }
        return mc_populate_write(probe, 4096) == 0
    }()

    /// The `length` bytes from `offset` on, safe to write.
    ///
    /// - Throws: a negative errno, -ENOSPC when the medium has no space for them.
    mutating func writable(from offset: Int, length: Int) throws(Refused) -> UnsafeMutableRawBufferPointer {
        precondition(offset >= 0 && length >= 0 && offset + length <= count, "bytes beyond the mapping")
        while populated < offset + length {
            let step = min(Self.step, count - populated)
            let result = mc_populate_write(base + populated, step)
            guard result == 0 else { throw Refused(code: result) }
            populated += step
        }
        return UnsafeMutableRawBufferPointer(start: base + offset, count: length)
    }

    struct Refused: Error {
        /// Negative errno.
        let code: Int32
    }

    func unmap() { mc_unmap(base, count) }
}
