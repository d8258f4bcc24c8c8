import FoundationEssentials

/// One page of a listing.
package struct ListPage: Sendable, Hashable {
    package var objects: [StoredObject] = []
    package var directories: [String] = []
    /// The continuation token, nil on the last page.
    package var next: String?

    /// Why an answer is not a listing, as half a sentence.
    package struct Malformed: Error, Hashable {
        package let problem: String
    }

    /// Throws when the answer is not a listing; a key outside the prefix makes it malformed too, and so does an entity
    /// tag that could not be sent back.
    package static func parse(_ body: [UInt8], prefix: String) throws(Malformed) -> ListPage {
        guard let root = AnswerXML.parse(body), root.name == "ListBucketResult" else {
            throw Malformed(problem: "is not a ListBucketResult")
        }
        let encoded = root.child("EncodingType") == "url"
        var page = ListPage()
        for entry in root.children where entry.name == "Contents" {
            guard let raw = entry.child("Key"), let key = encoded ? PercentEncoding.decoded(raw) : raw,
                let size = entry.child("Size").flatMap({ ResponseHead.number($0) })
            else { throw Malformed(problem: "has an entry without a readable key or size") }
            guard key.utf8.starts(with: prefix.utf8) else { throw Malformed(problem: "has a key outside the prefix: \(key)") }
            let etag = ResponseHead.unquoted(entry.child("ETag") ?? "")
            guard HeaderText.isEntityTag(etag) else {
                throw Malformed(problem: "gives \(key) an entity tag with a quote, blank or control character")
            }
            if key.hasSuffix("/") && size == 0 {
                page.directories.append(key)
            } else {
                page.objects.append(
                    StoredObject(
                        key: key, size: size, etag: etag,
                        lastModified: entry.child("LastModified").flatMap { UTCTime(iso8601: $0)?.seconds }))
            }
        }
        if root.child("IsTruncated") == "true" {
            guard let token = root.child("NextContinuationToken"), !token.isEmpty else {
                throw Malformed(problem: "is cut short without a continuation token")
            }
            page.next = token
        }
        return page
    }
}

extension ObjectHead {
    init(key: String, size: UInt64, head: ResponseHead) {
        func bytes(_ name: String, _ count: Int) -> [UInt8]? {
            // A composite checksum (of the parts' checksums) says nothing of the bytes themselves.
            guard head["x-amz-checksum-type"] != "COMPOSITE", let text = head[name],
                let data = Data(base64Encoded: text), data.count == count
            else { return nil }
            return Array(data)
        }
        let etag = head.entityTag ?? ""
        let digits = etag.utf8.compactMap(PercentEncoding.hexValue)
        let encrypted = head["x-amz-server-side-encryption"].map { $0 != "AES256" } ?? false
        let plain =
            etag.utf8.count == 32 && digits.count == 32 && !encrypted
            && head["x-amz-server-side-encryption-customer-algorithm"] == nil
            && (head["x-oss-object-type"] ?? "Normal") == "Normal"
        self.init(
            key: key, size: size, etag: etag,
            lastModified: head["last-modified"].flatMap { UTCTime(httpDate: $0)?.seconds },
            crc64ECMA: head["x-oss-hash-crc64ecma"].flatMap { ResponseHead.number($0) },
            crc64NVME: bytes("x-amz-checksum-crc64nvme", 8)?.reduce(0) { $0 << 8 | UInt64($1) },
            sha256: bytes("x-amz-checksum-sha256", 32),
            md5: plain ? (0..<16).map { digits[2 * $0] << 4 | digits[2 * $0 + 1] } : nil)
    }
}
