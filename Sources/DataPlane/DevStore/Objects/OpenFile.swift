internal import Glibc
internal import NIOCore

/// A file open for reading, closed with its last reference. The NIO handle owns the descriptor, which never changes, so
/// any thread may read it.
package final class OpenFile: Sendable {
    let handle: NIOFileHandle
    let descriptor: CInt
    package let state: FileState

    /// Nil when there is no such regular file.
    package init?(path: String) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else { return nil }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            return nil
        }
        self.descriptor = descriptor
        self.state = FileState(status)
        self.handle = NIOFileHandle(_deprecatedTakingOwnershipOfDescriptor: descriptor)
    }

    /// A new file with these bytes, which has no name. Nil when the temporary folder takes none.
    package init?(holding bytes: [UInt8]) {
        let folder = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var path = Array("\(folder)/devstore-XXXXXX".utf8CString)
        let descriptor = mkstemp(&path)
        guard descriptor >= 0 else { return nil }
        unlink(path)
        var status = stat()
        guard write(descriptor, bytes, bytes.count) == bytes.count, fstat(descriptor, &status) == 0 else {
            close(descriptor)
            return nil
        }
        self.descriptor = descriptor
        self.state = FileState(status)
        self.handle = NIOFileHandle(_deprecatedTakingOwnershipOfDescriptor: descriptor)
    }

    deinit { try? handle.close() }

    /// Whether the file still reaches to `end`: a writer that replaces an object in place truncates it first.
    func reaches(_ end: Int64) -> Bool {
        var status = stat()
        return fstat(descriptor, &status) == 0 && Int64(status.st_size) >= end
    }

    /// Up to `count` bytes at the offset; fewer at the end of the file or on an error.
    func read(at offset: Int64, count: Int, into buffer: inout ByteBuffer) {
        var left = count
        var position = offset
        while left > 0 {
            let n = buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: left) { bytes in
                max(0, pread(descriptor, bytes.baseAddress, left, off_t(position)))
            }
            if n == 0 { return }
            left -= n
            position += Int64(n)
        }
    }
}
