internal import Glibc

extension StoreService {
    /// GET and HEAD of an object.
    func read(_ exchange: Exchange, _ tree: BucketTree, _ key: String) throws(StoreError) -> StoreResponse {
        let request = exchange.request
        let odd = oddities
        let rule = odd.plan.rule(key)
        guard var file = file(key, tree, odd) else {
            // A fault may replace an object that does not exist.
            _ = try fault(exchange, range: nil)
            if rule.symlink != nil {
                throw StoreError("SymlinkTargetNotExist", 404, "The symlink target object does not exist.")
            }
            throw StoreError(
                "NoSuchKey", 404, "The specified key does not exist.", fields: [.init("Key", key)])
        }
        let standard = exchange.dialect == .s3 || request.header("x-oss-range-behavior")?.lowercased() == "standard"
        var range = ByteRange(header: request.header("range"), size: file.state.size, standard: standard)
        let action = try fault(exchange, range: Self.bytes(range, size: file.state.size))
        if let replacement = action?.replaceWith, let other = OpenFile(path: replacement) {
            file = other
            range = ByteRange(header: request.header("range"), size: file.state.size, standard: standard)
        }
        if action?.ok200 == true { range = .whole }
        try checkOddity(rule, exchange)
        if let part = try partRange(exchange, file, rule) { range = part }
        let size = file.state.size

        guard var tag = entityTag(file, rule, exchange.dialect) else {
            throw StoreError("InternalError", 500, "The object could not be read.")
        }
        if action?.changedETag == true { tag = String(tag.reversed()) }
        try Preconditions(request).check(tag: tag, modified: file.state.modifiedSeconds)

        let isHead = request.method == "HEAD"
        var response: StoreResponse
        switch range {
        case .unsatisfiable:
            throw StoreError(
                "InvalidRange", 416, "The requested range cannot be satisfied.",
                fields: [.init("ActualObjectSize", "\(size)"), .init("RangeRequested", request.header("range") ?? "")],
                headers: [.init("Content-Range", "bytes */\(size)")])
        case .whole:
            response = StoreResponse(
                status: 200, body: isHead ? .none : .file(file, 0..<size), contentLength: size)
        case .part(let part):
            response = StoreResponse(
                status: 206, body: isHead ? .none : .file(file, part), contentLength: Int64(part.count))
            let shift: Int64 = action?.wrongContentRange == true ? 1 : 0
            response.headers.append(
                ("Content-Range", "bytes \(part.lowerBound + shift)-\(part.upperBound - 1 + shift)/\(size)"))
        }
        response.headers += [
            ("Content-Type", request.parameter("response-content-type") ?? "application/octet-stream"),
            ("ETag", "\"\(tag)\""), ("Last-Modified", HTTPDate.rfc1123(file.state.modifiedSeconds)),
            ("Accept-Ranges", "bytes"),
        ]
        addOddities(&response, exchange, rule)
        if !addOddChecksum(&response, exchange, file, rule, whole: range == .whole) {
            addDigests(&response, exchange, file, whole: range == .whole, action)
        }
        if let wrong = action?.wrongLength { response.contentLength = max(0, response.contentLength + wrong) }
        response.fault = action
        return finish(packed(response, rule), exchange)
    }

    /// A ranged response has the digests only when they are known, since it should not wait for gigabytes to be read.
    /// HEAD and complete responses wait.
    private func addDigests(
        _ response: inout StoreResponse, _ exchange: Exchange, _ file: OpenFile, whole: Bool, _ action: FaultAction?
    ) {
        let mayWait = whole && !configuration.lazyDigests || file.state.size <= ObjectDigests.md5Limit
        let digest =
            mayWait
            ? digests.digest(descriptor: file.descriptor, file.state) : digests.cached(file.state)
        if digest == nil, digests.claim(file.state) { response.wantsDigest = file }
        switch exchange.dialect {
        case .oss:
            guard let digest, action?.dropCRC != true else { return }
            let crc = action?.wrongCRC == true ? ~digest.crc64 : digest.crc64
            response.headers.append(("x-oss-hash-crc64ecma", "\(crc)"))
            if whole, action?.replaceWith == nil, let md5 = digest.md5 {
                response.headers.append(("Content-MD5", Base64.encode(md5)))
            }
        case .s3:
            guard exchange.request.header("x-amz-checksum-mode")?.uppercased() == "ENABLED", whole, let digest else {
                return
            }
            let crc = action?.wrongCRC == true ? ~digest.crc64nvme : digest.crc64nvme
            response.headers += [
                (
                    "x-amz-checksum-crc64nvme",
                    Base64.encode((0..<8).map { UInt8(truncatingIfNeeded: crc >> (56 - 8 * UInt64($0))) })
                ),
                ("x-amz-checksum-type", "FULL_OBJECT"),
            ]
        }
    }

    private static func bytes(_ range: ByteRange, size: Int64) -> Range<Int64> {
        if case .part(let part) = range { part } else { 0..<size }
    }
}

/// RFC 9110 section 13: conditions on a read.
package struct Preconditions: Sendable {
    package var ifMatch: String?
    package var ifNoneMatch: String?
    package var ifModifiedSince: Int64?
    package var ifUnmodifiedSince: Int64?

    package init(_ request: StoreRequest) {
        ifMatch = request.header("if-match")
        ifNoneMatch = request.header("if-none-match")
        ifModifiedSince = request.header("if-modified-since").flatMap(HTTPDate.parseRFC1123)
        ifUnmodifiedSince = request.header("if-unmodified-since").flatMap(HTTPDate.parseRFC1123)
    }

    /// Throws PreconditionFailed or NotModified.
    package func check(tag: String, modified: Int64) throws(StoreError) {
        func failed(_ condition: String) -> StoreError {
            StoreError(
                "PreconditionFailed", 412, "At least one of the pre-conditions you specified did not hold.",
                fields: [.init("Condition", condition)])
        }
        if let ifMatch, !Self.lists(ifMatch, tag) { throw failed("If-Match") }
        if ifMatch == nil, let ifUnmodifiedSince, modified > ifUnmodifiedSince { throw failed("If-Unmodified-Since") }
        let unchanged = StoreError("NotModified", 304, "Not Modified", headers: [.init("ETag", "\"\(tag)\"")])
        if let ifNoneMatch {
            if Self.lists(ifNoneMatch, tag) { throw unchanged }
        } else if let ifModifiedSince, modified <= ifModifiedSince {
            throw unchanged
        }
    }

    private static func lists(_ header: String, _ tag: String) -> Bool {
        if header == "*" { return true }
        return header.split(separator: ",").contains { item in
            var text = item.drop { $0 == " " }
            if text.hasPrefix("W/") { text = text.dropFirst(2) }
            return text.filter { $0 != "\"" && $0 != " " } == tag
        }
    }
}
