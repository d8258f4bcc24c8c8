import FoundationEssentials
internal import RangeTransfer
internal import TextCoding

/// One page of a listing.
package struct ListPage: Sendable, Hashable {
    package var objects: [StoredObject] = []
    package var directories: [String] = []
    /// Keys that are no text, as they were written.
    package var unreadableKeys: [String] = []
    /// The continuation token, nil on the last page.
    package var next: String?

    var isEmpty: Bool { objects.isEmpty && directories.isEmpty && unreadableKeys.isEmpty }

    /// Why an answer is not a listing, as half a sentence.
    package struct Malformed: Error, Hashable {
        package let problem: String
    }

    /// Throws when the answer is not a listing; a key outside the prefix makes it malformed too, and so does an entity
    /// tag that could not be sent back. A key that is no text is noted in `unreadableKeys`.
    ///
    /// - Parameter scheme: OSS encodes the continuation token as it does the keys, and its SDKs undo that (oss2,
    ///   `parse_list_objects_v2`); S3 does not (botocore, `decode_list_object_v2`).
    package static func parse(_ body: [UInt8], prefix: String, scheme: StoreScheme) throws(Malformed) -> ListPage {
        // Not every store encodes keys when asked to: one that is no UTF-8 must not hide the others.
        let isText = String(validating: body, as: UTF8.self) != nil
        let text = isText ? body : Array(String(decoding: body, as: UTF8.self).utf8)
        guard let root = AnswerXML.parse(text), root.name == "ListBucketResult" else {
            throw Malformed(problem: "is not a ListBucketResult")
        }
        let encoded = root.child("EncodingType") == "url"
        var page = ListPage()
        for entry in root.children where entry.name == "Contents" {
            guard let raw = entry.child("Key"), let size = entry.child("Size").flatMap({ ResponseHead.number($0) })
            else {
                throw Malformed(problem: "has an entry without a readable key or size")
            }
            guard let key = encoded ? PercentCoding.decode(raw, plusIsSpace: true) : raw,
                isText || !key.contains("\u{fffd}")
            else {
                page.unreadableKeys.append(raw)
                continue
            }
            try page.add(entry, key: key, size: size, prefix: prefix)
        }
        if root.child("IsTruncated") == "true" {
            guard let token = root.child("NextContinuationToken"), !token.isEmpty else {
                throw Malformed(problem: "is cut short without a continuation token")
            }
            let isEncoded = encoded && scheme == .oss
            page.next = isEncoded ? PercentCoding.decode(token, plusIsSpace: false) ?? token : token
        }
        return page
    }

    private mutating func add(_ entry: AnswerXML, key: String, size: UInt64, prefix: String) throws(Malformed) {
        guard key.utf8.starts(with: prefix.utf8) else {
            throw Malformed(problem: "has a key outside the prefix: \(key)")
        }
        let etag = ResponseHead.unquoted(entry.child("ETag") ?? "")
        guard HeaderText.isEntityTag(etag) else {
            throw Malformed(problem: "gives \(key) an entity tag with a quote, blank or control character")
        }
        if key.hasSuffix("/") && size == 0 { return directories.append(key) }
        objects.append(
            StoredObject(
                key: key, size: size, etag: etag,
                lastModified: entry.child("LastModified").flatMap { UTCTime(iso8601: $0)?.seconds },
                storageClass: String((entry.child("StorageClass") ?? "").prefix(40)),
                isSymlink: entry.child("Type") == "Symlink"))
    }
}

extension ObjectHead {
    init(key: String, size: UInt64, head: ResponseHead, scheme: StoreScheme) {
        // A composite checksum (of the parts' checksums) says nothing of the bytes themselves. Where the type is
        // missing, a composite one ends in the number of its parts, or (moto) only the tag tells of parts; CRC64NVME is
        // never composite: https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
        let type = head["x-amz-checksum-type"]
        let mayBeComposite = type == nil ? (head.entityTag ?? "").contains("-") : type == "COMPOSITE"
        func bytes(_ name: String, _ count: Int) -> [UInt8]? {
            guard !mayBeComposite || name == "x-amz-checksum-crc64nvme", let text = head[name],
                let data = Data(base64Encoded: text), data.count == count
            else { return nil }
            return Array(data)
        }
        func number(_ name: String, _ count: Int) -> UInt64? { bytes(name, count)?.reduce(0) { $0 << 8 | UInt64($1) } }
        let etag = head.entityTag ?? ""
        self.init(
            key: key, size: size, etag: etag,
            lastModified: head["last-modified"].flatMap { UTCTime(httpDate: $0)?.seconds },
            crc64ECMA: head["x-oss-hash-crc64ecma"].flatMap { ResponseHead.number($0) },
            crc64NVME: number("x-amz-checksum-crc64nvme", 8),
            sha256: bytes("x-amz-checksum-sha256", 32), sha1: bytes("x-amz-checksum-sha1", 20),
            crc32C: number("x-amz-checksum-crc32c", 4).map { UInt32($0) },
            crc32: number("x-amz-checksum-crc32", 4).map { UInt32($0) },
            md5: Self.md5(of: etag, head, scheme), composite: CompositeChecksum(head),
            storageClass: head["x-oss-storage-class"] ?? head["x-amz-storage-class"] ?? "",
            restore: (head["x-amz-restore"] ?? head["x-oss-restore"]).map {
                $0.contains("ongoing-request=\"true\"") ? .ongoing : .restored
            })
    }

    /// OSS says of objects that PutObject did not make that their tag is no MD5, and promises it of none:
    /// https://www.alibabacloud.com/help/en/oss/developer-reference/headobject. An OSS bucket may be named by `s3://`
    /// too.
    private static func md5(of etag: String, _ head: ResponseHead, _ scheme: StoreScheme) -> [UInt8]? {
        let digits = etag.utf8.compactMap(Hex.value)
        guard scheme == .s3, etag.utf8.count == 32, digits.count == 32, head["x-oss-object-type"] == nil,
            head["x-oss-hash-crc64ecma"] == nil, (head["x-amz-server-side-encryption"] ?? "AES256") == "AES256",
            head["x-amz-server-side-encryption-customer-algorithm"] == nil
        else { return nil }
        return (0..<16).map { digits[2 * $0] << 4 | digits[2 * $0 + 1] }
    }
}
