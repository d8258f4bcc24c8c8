/// The changes that the plan of oddities makes to an object's GET and HEAD.
extension StoreService {
    /// The object's content: the plan's own, a link's target, or the bucket's file.
    func file(_ key: String, _ tree: BucketTree, _ odd: Oddities) -> OpenFile? {
        let key = odd.plan.rule(key).symlink ?? key
        if let file = odd.file(key) { return file }
        return tree.existing(key: key).flatMap { OpenFile(path: $0) }
    }

    /// The tag without quotes, as the dialect writes it. Nil when the file cannot be read.
    func entityTag(_ file: OpenFile, _ rule: OddityRule, _ dialect: Dialect) -> String? {
        let parts = PartChecksums(file: file, partBytes: rule.partBytes)
        let plain =
            rule.partBytes == nil
            ? digests.entityTag(descriptor: file.descriptor, file.state) : parts.entityTag
        guard var tag = plain else { return nil }
        // Another tag that looks like the MD5: the digits in reverse.
        if rule.kms == true || rule.entityTag == "other" { tag = String(tag.reversed()) }
        return dialect == .oss ? tag.uppercased() : tag
    }

    /// Refusals that are the object's own.
    func checkOddity(_ rule: OddityRule, _ exchange: Exchange) throws(StoreError) {
        let isHead = exchange.request.method == "HEAD"
        if let refusal = rule.refusal, !isHead || rule.refusesHead == true {
            throw StoreError(refusal.code, refusal.status, refusal.message)
        }
        guard rule.isArchived, !isHead else { return }
        throw exchange.dialect == .oss
            ? StoreError("InvalidObjectState", 403, "The operation is not valid for the object's state")
            : StoreError(
                "InvalidObjectState", 403, "The operation is not valid for the object's storage class",
                fields: [.init("StorageClass", rule.storageClass ?? "")])
    }

    /// The bytes of `partNumber`, where the object was uploaded in parts.
    func partRange(_ exchange: Exchange, _ file: OpenFile, _ rule: OddityRule) throws(StoreError) -> ByteRange? {
        guard let text = exchange.request.parameter("partNumber"), rule.partBytes != nil else { return nil }
        guard let number = Int64(text), let range = PartChecksums(file: file, partBytes: rule.partBytes).part(number)
        else { throw StoreError("InvalidPartNumber", 416, "The requested partnumber is not satisfiable") }
        return .part(range)
    }

    /// GetObjectAttributes, of which it knows the parts: a page of them with their checksums.
    ///
    /// https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectAttributes.html
    func attributes(_ exchange: Exchange, _ tree: BucketTree, _ key: String) throws(StoreError) -> StoreResponse {
        let odd = oddities
        let rule = odd.plan.rule(key)
        guard let file = file(key, tree, odd) else {
            throw StoreError("NoSuchKey", 404, "The specified key does not exist.", fields: [.init("Key", key)])
        }
        try checkOddity(rule, exchange)
        guard exchange.request.header("x-amz-object-attributes")?.contains("ObjectParts") == true else {
            throw Self.notImplemented
        }
        let parts = PartChecksums(file: file, partBytes: rule.partBytes)
        let algorithm = rule.checksum ?? "none"
        let marker = exchange.request.header("x-amz-part-number-marker").flatMap { Int64($0) } ?? 0
        let limit = exchange.request.header("x-amz-max-parts").flatMap { Int64($0) } ?? 1000
        let first = min(max(0, marker), parts.partCount) + 1
        let last = min(parts.partCount, first + max(0, min(limit, 1000)) - 1)
        var document = XMLDocument()
        document.open("GetObjectAttributesResponse", attributes: " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"")
        document.open("ObjectParts")
        document.element("PartNumberMarker", "\(marker)")
        document.element("NextPartNumberMarker", "\(last)")
        document.element("MaxParts", "\(limit)")
        document.element("IsTruncated", last < parts.partCount ? "true" : "false")
        document.element("PartsCount", "\(parts.partCount)")
        // S3 has no list of parts without checksums of their own.
        for number in stride(from: first, through: last, by: 1) {
            guard let value = parts.part(number, algorithm), let range = parts.part(number) else { continue }
            document.open("Part")
            document.element("PartNumber", "\(number)")
            document.element("Size", "\(range.count)")
            document.element("Checksum\(algorithm)", value)
            document.close("Part")
        }
        document.close("ObjectParts")
        document.close("GetObjectAttributesResponse")
        return xml(document, exchange)
    }

    /// Headers of a rule for an object that can be read, besides its checksum.
    func addOddities(_ response: inout StoreResponse, _ exchange: Exchange, _ rule: OddityRule) {
        let family = exchange.dialect == .oss ? "x-oss-" : "x-amz-"
        if exchange.dialect == .oss {
            response.headers += [
                ("x-oss-object-type", rule.symlink == nil ? "Normal" : "Symlink"),
                ("x-oss-storage-class", rule.storageClass ?? "Standard"),
            ]
        } else if let storageClass = rule.storageClass {
            // S3 names no class of a standard object.
            response.headers.append(("x-amz-storage-class", storageClass))
        }
        switch rule.restore {
        case "ongoing": response.headers.append((family + "restore", "ongoing-request=\"true\""))
        case "done":
            response.headers.append(
                (
                    family + "restore",
                    "ongoing-request=\"false\", expiry-date=\"\(HTTPDate.rfc1123(now + 86_400))\""
                ))
        default: break
        }
        if rule.kms == true {
            response.headers.append((family + "server-side-encryption", exchange.dialect == .oss ? "KMS" : "aws:kms"))
        }
        if let coding = rule.contentEncoding { response.headers.append(("Content-Encoding", coding)) }
    }

    /// The checksum headers of S3 that a rule asks for; whether it asks for any.
    func addOddChecksum(
        _ response: inout StoreResponse, _ exchange: Exchange, _ file: OpenFile, _ rule: OddityRule, whole: Bool
    ) -> Bool {
        guard exchange.dialect == .s3, rule.checksum != nil || rule.partBytes != nil else {
            return rule.checksum == "none"
        }
        let algorithm = rule.checksum ?? "none"
        let parts = PartChecksums(file: file, partBytes: rule.partBytes)
        let part = exchange.request.parameter("partNumber").flatMap { Int64($0) }
        if part != nil { response.headers.append(("x-amz-mp-parts-count", "\(parts.partCount)")) }
        guard exchange.request.header("x-amz-checksum-mode")?.uppercased() == "ENABLED" else { return true }
        let name = "x-amz-checksum-" + algorithm.lowercased()
        if let part, let value = parts.part(part, algorithm) {
            response.headers.append((name, value))
        } else if part == nil, whole, let object = parts.object(algorithm) {
            response.headers += [(name, object.value), ("x-amz-checksum-type", object.type)]
        }
        return true
    }

    /// A proxy packs the bytes of a response on their way.
    func packed(_ response: StoreResponse, _ rule: OddityRule) -> StoreResponse {
        guard rule.packedByProxy == true, case .file(let file, let range) = response.body else { return response }
        var response = response
        let bytes = StoredDeflate.pack(PartChecksums(file: file, partBytes: nil).read(range))
        response.body = .bytes(bytes)
        response.contentLength = Int64(bytes.count)
        return response
    }
}
