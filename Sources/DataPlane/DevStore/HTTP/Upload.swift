package import Foundation
internal import Crypto
internal import Glibc
internal import NIOCore
internal import TextCoding

/// The body of a PUT, kept in an unnamed file until the request is complete and allowed.
///
/// `@unchecked Sendable`: used on the event loop until the last byte, then on one pool thread.
package final class Upload: @unchecked Sendable {
    private let descriptor: Int32
    private var failed = false

    init() {
        let folder = NSTemporaryDirectory()
        var opened = open(folder, O_RDWR | O_CLOEXEC | Int32(bitPattern: 0o20200000), 0o600)  // O_TMPFILE, open(2)
        if opened < 0 {
            // Some file systems do not support unnamed files.
            var name = Array((folder + "/devstore-XXXXXX").utf8CString)
            opened = mkstemp(&name)
            if opened >= 0 { unlink(name) }
        }
        descriptor = opened
    }

    func append(_ bytes: ByteBuffer) {
        bytes.withUnsafeReadableBytes { pointer in
            var rest = pointer
            while !rest.isEmpty {
                let count = write(descriptor, rest.baseAddress, rest.count)
                guard count > 0 else {
                    failed = true
                    return
                }
                rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            }
        }
    }

    /// The bytes, decoded when they came as `aws-chunked` (SigV4 streaming: `size;chunk-signature=…`).
    func contents(isChunked: Bool) -> Data? {
        guard descriptor >= 0, !failed else { return nil }
        lseek(descriptor, 0, SEEK_SET)
        let handle = FileHandle(fileDescriptor: descriptor, closeOnDealloc: false)
        guard let raw = try? handle.readToEnd() ?? Data() else { return nil }
        return isChunked ? Self.unchunk(raw) : raw
    }

    /// The bytes inside `aws-chunked` framing, without trailers; chunk signatures are not checked. Nil when a size is
    /// malformed, a chunk is short or lacks its line end, or the last chunk is missing.
    package static func unchunk(_ raw: Data) -> Data? {
        var rest = raw[...]
        var result = Data()
        let newline = Data("\r\n".utf8)
        while let end = rest.firstRange(of: newline) {
            let line = String(decoding: rest[rest.startIndex..<end.lowerBound], as: UTF8.self)
            let digits = line.prefix { $0 != ";" }
            guard digits.utf8.allSatisfy({ Hex.value($0) != nil }), let size = Int(digits, radix: 16) else {
                return nil
            }
            rest = rest[end.upperBound...]
            if size == 0 { return result }
            guard rest.count - 2 >= size, rest.dropFirst(size).prefix(2) == newline else { return nil }
            result.append(rest.prefix(size))
            rest = rest.dropFirst(size + 2)
        }
        return nil
    }

    func discard() {
        if descriptor >= 0 { close(descriptor) }
    }
}

extension StoreService {
    /// PUT of an object: written under another name, then renamed, so that no reader sees half of it.
    func store(_ exchange: Exchange, _ upload: Upload) -> StoreResponse {
        defer { upload.discard() }
        do throws(StoreError) {
            try admit(exchange)
            let action = try fault(exchange, range: nil)
            let request = exchange.request
            guard let name = exchange.address.bucket, let tree = bucket(name), let key = exchange.address.key,
                !request.query.contains(where: { Self.unsupported.contains($0.name) }),
                request.header("x-oss-copy-source") == nil,
                request.header("x-amz-copy-source") == nil
            else { throw Self.notImplemented }
            guard let path = tree.path(key: key), !key.hasSuffix("/") else {
                throw StoreError("InvalidObjectName", 400, "The specified object is not valid.")
            }
            let isChunked = request.header("x-amz-content-sha256")?.hasPrefix("STREAMING-") == true
            guard let contents = upload.contents(isChunked: isChunked) else {
                throw StoreError("IncompleteBody", 400, "The request body could not be read.")
            }
            try Self.check(contents, request)
            let folder = (path as NSString).deletingLastPathComponent
            let aside = "\(tree.root)/\(BucketTree.reservedPrefix)\(exchange.requestID)"
            do {
                try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
                try contents.write(to: URL(fileURLWithPath: aside))
            } catch {
                throw StoreError("InternalError", 500, "The object could not be written.")
            }
            guard rename(aside, path) == 0, let file = OpenFile(path: path),
                let tag = digests.entityTag(descriptor: file.descriptor, file.state),
                let digest = digests.digest(descriptor: file.descriptor, file.state)
            else {
                unlink(aside)
                throw StoreError("InternalError", 500, "The object could not be stored.")
            }
            var response = StoreResponse(status: 200)
            response.headers.append(("ETag", "\"\(exchange.dialect == .oss ? tag.uppercased() : tag)\""))
            if exchange.dialect == .oss { response.headers.append(("x-oss-hash-crc64ecma", "\(digest.crc64)")) }
            response.fault = action
            return finish(response, exchange)
        } catch {
            return refuse(error, exchange)
        }
    }

    /// The digests of the body that the request has: Content-MD5, and for S3 the signed SHA-256.
    private static func check(_ contents: Data, _ request: StoreRequest) throws(StoreError) {
        if let given = request.header("content-md5"), Base64.encode(Array(Insecure.MD5.hash(data: contents))) != given {
            throw StoreError("BadDigest", 400, "The Content-MD5 you specified did not match what we received.")
        }
        if let given = request.header("x-amz-content-sha256"), given.utf8.count == 64,
            Hex.encode(SHA256.hash(data: contents)) != given.lowercased()
        {
            throw StoreError(
                "XAmzContentSHA256Mismatch", 400,
                "The provided 'x-amz-content-sha256' header does not match what was computed.")
        }
    }
}
