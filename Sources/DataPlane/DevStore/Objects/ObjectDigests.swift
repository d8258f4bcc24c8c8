internal import Checksum
internal import Crypto
internal import Glibc
internal import Synchronization
internal import TextCoding

/// The digests of an object's content.
package struct Digest: Sendable, Equatable {
    /// CRC-64/ECMA, OSS's `x-oss-hash-crc64ecma`.
    package var crc64: UInt64
    /// CRC-64/NVME, S3's `x-amz-checksum-crc64nvme`.
    package var crc64nvme: UInt64
    /// Present for objects up to `ObjectDigests.md5Limit`.
    package var md5: [UInt8]?
}

/// Digests by inode, size and modification time, so that each file is read once. With a side file they survive a
/// restart. Safe from any thread; `digest` blocks while it reads.
package final class ObjectDigests: Sendable {
    /// Objects up to this size have their MD5 as ETag, as after one simple upload. Larger ones look like multipart
    /// uploads, whose ETag is no MD5. 16 MiB are hashed in some 30 ms.
    package static let md5Limit: Int64 = 16 << 20
    /// The part size behind the number in a large object's ETag.
    static let partSize: Int64 = 16 << 20

    private struct State {
        var known: [FileState: Digest] = [:]
        var working: Set<FileState> = []
    }
    private let state = Mutex(State())
    private let sideFile: String?

    /// `sideFile`: lines of `inode size mtimeNs crc64 crc64nvme md5|-`, appended as digests are computed. Malformed
    /// lines are skipped.
    package init(sideFile: String? = nil) {
        self.sideFile = sideFile
        guard let sideFile, let file = fopen(sideFile, "r") else { return }
        defer { fclose(file) }
        var line: UnsafeMutablePointer<CChar>?
        var capacity = 0
        defer { free(line) }
        while getline(&line, &capacity, file) > 0, let text = line {
            let parts = String(cString: text).split { $0 == " " || $0 == "\n" }
            guard parts.count == 6, let inode = UInt64(parts[0]), let size = Int64(parts[1]),
                let modified = Int64(parts[2]), let crc = UInt64(parts[3]), let nvme = UInt64(parts[4])
            else { continue }
            let md5 = parts[5] == "-" ? nil : Base64.decode(String(parts[5]))
            state.withLock {
                $0.known[FileState(inode: inode, size: size, modifiedNanoseconds: modified)] =
                    Digest(crc64: crc, crc64nvme: nvme, md5: md5)
            }
        }
    }

    /// The digest, if it is already known.
    package func cached(_ file: FileState) -> Digest? { state.withLock { $0.known[file] } }

    /// True for the one caller that should compute a missing digest.
    package func claim(_ file: FileState) -> Bool {
        state.withLock { $0.known[file] == nil && $0.working.insert(file).inserted }
    }

    /// The digest, read from the file unless known. Nil when the file cannot be read or changed meanwhile.
    package func digest(descriptor: CInt, _ file: FileState) -> Digest? {
        if let known = cached(file) { return known }
        defer { state.withLock { _ = $0.working.remove(file) } }
        guard let digest = Self.read(descriptor, size: file.size) else { return nil }
        state.withLock { $0.known[file] = digest }
        if let sideFile, let out = fopen(sideFile, "a") {
            let md5 = digest.md5.map { Base64.encode($0) } ?? "-"
            let line =
                "\(file.inode) \(file.size) \(file.modifiedNanoseconds) \(digest.crc64) \(digest.crc64nvme) \(md5)\n"
            fputs(line, out)
            fclose(out)
        }
        return digest
    }

    /// The ETag without quotes, in lower case. A large object's ETag names the file's state, so the file is not read.
    package func entityTag(descriptor: CInt, _ file: FileState) -> String? {
        if file.size <= Self.md5Limit {
            return digest(descriptor: descriptor, file)?.md5.map { Hex.encode($0) }
        }
        let text = "\(file.inode) \(file.size) \(file.modifiedNanoseconds)"
        let parts = (file.size + Self.partSize - 1) / Self.partSize
        return Hex.encode(Insecure.MD5.hash(data: Array(text.utf8))) + "-\(parts)"
    }

    private static func read(_ descriptor: CInt, size: Int64) -> Digest? {
        let capacity = 1 << 20
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: capacity, alignment: 4096)
        defer { buffer.deallocate() }
        var crc: UInt64 = 0, nvme: UInt64 = 0
        var md5 = Insecure.MD5()
        var offset: Int64 = 0
        while offset < size {
            let n = pread(descriptor, buffer.baseAddress, min(capacity, Int(size - offset)), off_t(offset))
            if n < 0 && errno == EINTR { continue }
            guard n > 0 else { return nil }
            crc = mc_crc64(crc, buffer.baseAddress, n)
            nvme = mc_crc64nvme(nvme, buffer.baseAddress, n)
            if size <= md5Limit { md5.update(bufferPointer: UnsafeRawBufferPointer(rebasing: buffer[..<n])) }
            offset += Int64(n)
        }
        return Digest(crc64: crc, crc64nvme: nvme, md5: size <= md5Limit ? Array(md5.finalize()) : nil)
    }
}
