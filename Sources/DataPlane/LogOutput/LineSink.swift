internal import Glibc
internal import Synchronization

/// A file of lines that several threads write: two lines never mix.
public final class LineSink: Sendable {
    private let descriptor: Mutex<Int32>

    /// - Parameter descriptor: of a file that was opened to append, or standard error. It stays open.
    public init(_ descriptor: Int32) { self.descriptor = Mutex(descriptor) }

    /// Writes `line` and its end. One that cannot be written is lost: a process does not end for its log.
    public func write(_ line: String) {
        descriptor.withLock { descriptor in
            var rest = Array((line + "\n").utf8)[...]
            while !rest.isEmpty {
                let written = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
                if written < 0, errno == EINTR { continue }
                guard written > 0 else { return }
                rest = rest.dropFirst(written)
            }
        }
    }
}
