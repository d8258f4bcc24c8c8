internal import TextCoding

/// A listing request read from its query, in either version and dialect, and its response as XML.
package struct ListingRequest: Sendable {
    package var dialect: Dialect
    package var version: Int
    package var query: ListingQuery
    package var urlEncoded: Bool
    package var token: String?
    package var startAfter: String
    package var marker: String
    package var fetchOwner: Bool

    package init(_ request: StoreRequest, dialect: Dialect) throws(StoreError) {
        self.dialect = dialect
        version = request.parameter("list-type") == "2" ? 2 : 1
        // oss2 sends an empty token with its first page, and OSS ignores it.
        token = request.parameter("continuation-token").flatMap { $0.isEmpty ? nil : $0 }
        startAfter = request.parameter("start-after") ?? ""
        marker = request.parameter("marker") ?? ""
        fetchOwner = version == 1 || request.parameter("fetch-owner") == "true"
        query = ListingQuery(
            prefix: request.parameter("prefix") ?? "", delimiter: request.parameter("delimiter") ?? "",
            after: version == 2 ? startAfter : marker, maxKeys: dialect == .oss ? 100 : 1000)
        if version == 2, let token {
            guard let bytes = Base64.decode(token), let key = String(validating: bytes, as: UTF8.self), !key.isEmpty
            else {
                throw StoreError(
                    "InvalidArgument", 400, "The continuation token provided is incorrect.",
                    fields: [.init("ArgumentName", "continuation-token"), .init("ArgumentValue", token)])
            }
            query.after = key
        }
        if let text = request.parameter("max-keys"), !text.isEmpty {
            guard let number = Int(text), number >= 0, dialect == .s3 || (1...1000).contains(number) else {
                throw StoreError(
                    "InvalidArgument", 400, "MaxKeys must be an integer between 1 and 1000.",
                    fields: [.init("ArgumentName", "max-keys"), .init("ArgumentValue", text)])
            }
            query.maxKeys = min(number, 1000)
        }
        let encoding = request.parameter("encoding-type") ?? ""
        guard encoding.isEmpty || encoding == "url" else {
            throw StoreError(
                "InvalidArgument", 400, "Invalid Encoding Method specified in Request.",
                fields: [.init("ArgumentName", "encoding-type"), .init("ArgumentValue", encoding)])
        }
        urlEncoded = encoding == "url"
    }

    /// - Parameters:
    ///   - codesToken: the continuation token is coded as the keys are (`OddityPlan.encodedTokens`).
    ///   - listed: how an object is shown.
    package func document(
        bucket: String, page: ListingPage, codesToken: Bool = false, listed: (StoredObject) -> ListedObject
    ) -> String {
        var xml = XMLDocument()
        xml.open(
            "ListBucketResult",
            attributes: dialect == .s3 ? " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"" : "")
        xml.element("Name", bucket)
        xml.element("Prefix", coded(query.prefix))
        if version == 2 {
            if !startAfter.isEmpty { xml.element("StartAfter", coded(startAfter)) }
            if let token { xml.element("ContinuationToken", token) }
            xml.element("KeyCount", "\(page.entries.count)")
        } else {
            xml.element("Marker", coded(marker))
        }
        xml.element("MaxKeys", "\(query.maxKeys)")
        if !query.delimiter.isEmpty || dialect == .oss { xml.element("Delimiter", coded(query.delimiter)) }
        if urlEncoded { xml.element("EncodingType", "url") }
        xml.element("IsTruncated", page.next == nil ? "false" : "true")
        if let next = page.next {
            if version == 2 {
                let token = Base64.encode(Array(next.utf8))
                xml.element("NextContinuationToken", codesToken && dialect == .oss ? coded(token) : token)
            } else {
                xml.element("NextMarker", coded(next))
            }
        }
        for case .object(let object) in page.entries {
            let shown = listed(object)
            xml.open("Contents")
            xml.element("Key", urlEncoded ? shown.codedKey ?? coded(object.key) : object.key)
            xml.element("LastModified", HTTPDate.iso8601(object.state.modifiedSeconds))
            xml.element("ETag", shown.entityTag.isEmpty ? "" : "\"\(shown.entityTag)\"")
            if dialect == .oss { xml.element("Type", shown.type) }
            xml.element("Size", "\(shown.size)")
            xml.element("StorageClass", shown.storageClass)
            if fetchOwner {
                xml.open("Owner")
                xml.element("ID", "0")
                xml.element("DisplayName", "devstore")
                xml.close("Owner")
            }
            xml.close("Contents")
        }
        for case .group(let group) in page.entries {
            xml.open("CommonPrefixes")
            xml.element("Prefix", coded(group))
            xml.close("CommonPrefixes")
        }
        xml.close("ListBucketResult")
        return xml.text
    }

    /// S3 leaves slashes as they are; OSS encodes them.
    private func coded(_ text: String) -> String {
        urlEncoded ? PercentCoding.encode(text, keepingSlash: dialect == .s3) : text
    }
}

/// An object as a listing shows it.
package struct ListedObject: Sendable {
    /// Without quotes; "" for none.
    package var entityTag: String
    package var size: Int64
    package var storageClass: String
    /// OSS's `Type`.
    package var type = "Normal"
    /// The key as a coded listing shows it; nil for the usual coding.
    package var codedKey: String?

    package init(_ object: StoredObject, entityTag: String, dialect: Dialect) {
        self.entityTag = entityTag
        size = object.state.size
        storageClass = dialect == .oss ? "Standard" : "STANDARD"
    }
}
