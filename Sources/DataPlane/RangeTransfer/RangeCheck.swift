/// Whether an answer's head is the one that was asked for; decided before a byte of the body is passed on.
///
/// The trap it closes: a server that does not understand the range sends 200 and the whole object.
///
/// A Content-Encoding is no trap by itself: objects are stored with one (`gzip`, `aws-chunked`, an empty one), and
/// their bytes are taken as they lie. A proxy that changes bytes in between changes their number or their checksum; the
/// message names it.
package enum RangeCheck {
    /// Nil when the head is right. To be asked for status 200 and 206 only.
    static func problem(with head: ResponseHead, for range: ObjectRange) -> TransferError? {
        func malformed(_ detail: String) -> TransferError {
            TransferError(.malformedResponse, detail: "\(range.key): \(detail)\(intermediary(head))", head: head)
        }
        func changed(_ detail: String) -> TransferError {
            TransferError(.objectChanged, detail: "\(range.key) was replaced: \(detail)", head: head)
        }
        if let tag = head.entityTag, !range.etag.isEmpty, tag != range.etag {
            return changed("its entity tag is \(tag), was \(range.etag)")
        }
        // rclone's S3 server says 200 and yet sends the range with its exact Content-Range, which one that ignores
        // ranges never sends.
        if head.status == 206 || head["content-range"] != nil {
            if head.status == 200, head.contentLength == nil {
                return malformed("200 with a Content-Range and no Content-Length")
            }
            guard let got = head.contentRange else {
                return malformed("206 without a valid Content-Range (\(head["content-range"] ?? "none"))")
            }
            guard got.total == range.objectSize else {
                if let tag = head.entityTag, tag == range.etag, !tag.isEmpty, head["content-encoding"] != nil {
                    return malformed("the same version has \(got.total) bytes, had \(range.objectSize)")
                }
                return changed("it has \(got.total) bytes, had \(range.objectSize)")
            }
            guard got.first == range.offset, got.last == range.offset + range.length - 1 else {
                return malformed(
                    "asked for bytes \(range.offset)-\(range.offset + range.length - 1), got \(got.first)-\(got.last)")
            }
            if let length = head.contentLength, length != range.length {
                return malformed("Content-Length \(length) does not fit a range of \(range.length) bytes")
            }
            return nil
        }
        guard range.offset == 0, range.length == range.objectSize else {
            return malformed("200 in place of 206: the server, or a proxy between, ignores Range")
        }
        guard head.contentLength == range.length else {
            return malformed("200 with Content-Length \(head["content-length"] ?? "none"), want \(range.length)")
        }
        return nil
    }

    /// The party between us and the server that may have changed the answer, as the end of a message; empty when none
    /// shows.
    package static func intermediary(_ head: ResponseHead) -> String {
        var words = ""
        if let coding = head["content-encoding"], !coding.isEmpty, coding != "identity" {
            words += "; the answer is encoded as \(coding), a proxy between may compress"
        }
        if let proxy = head["via"] ?? head["x-cache"] { words += "; it came through \(proxy.prefix(60))" }
        return words
    }
}
