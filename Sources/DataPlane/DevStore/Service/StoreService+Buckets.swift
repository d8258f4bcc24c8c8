extension StoreService {
    /// Requests on the bucket itself: listings, and the requests that SDKs send first.
    func bucketRequest(_ exchange: Exchange, _ tree: BucketTree) throws(StoreError) -> StoreResponse {
        let request = exchange.request
        switch request.method {
        case "HEAD": return finish(StoreResponse(status: 200, headers: regionHeaders(exchange)), exchange)
        case "GET": break
        default: throw Self.notImplemented
        }
        if request.parameter("location") != nil { return location(exchange) }
        if request.parameter("bucketInfo") != nil { return information(exchange, tree) }
        let listing: Set<String> = [
            "list-type", "prefix", "delimiter", "max-keys", "marker", "continuation-token", "start-after",
            "encoding-type", "fetch-owner",
        ]
        let signature = ["x-oss-", "x-amz-", "ossaccesskeyid", "signature", "expires", "security-token", "x-id"]
        for item in request.query
        where !listing.contains(item.name) && !signature.contains(where: { item.name.lowercased().hasPrefix($0) }) {
            throw Self.notImplemented
        }
        return try list(exchange, tree)
    }

    private func list(_ exchange: Exchange, _ tree: BucketTree) throws(StoreError) -> StoreResponse {
        let action = try fault(exchange, range: nil)
        let listing = try ListingRequest(exchange.request, dialect: exchange.dialect)
        let odd = oddities
        let prefix = listing.query.prefix
        let page = ListingPage(listing.query, objects: odd.merged(tree.objects(prefix: prefix), prefix: prefix))
        var document = XMLDocument()
        document.replace(
            with: listing.document(bucket: tree.name, page: page, codesToken: odd.plan.encodedTokens) { object in
                listed(object, tree, odd, exchange.dialect)
            })
        var response = xml(document, exchange)
        response.fault = action
        return response
    }

    private func listed(
        _ object: StoredObject, _ tree: BucketTree, _ odd: Oddities, _ dialect: Dialect
    ) -> ListedObject {
        let rule = odd.plan.rule(object.key)
        let tag = file(object.key, tree, odd).flatMap { entityTag($0, rule, dialect) } ?? ""
        var shown = ListedObject(object, entityTag: tag, dialect: dialect)
        shown.codedKey = odd.coded(object.key)
        if let storageClass = rule.storageClass { shown.storageClass = storageClass }
        if rule.symlink != nil {
            shown.type = "Symlink"
            shown.size = 0
            shown.entityTag = "0123456789ABCDEF0123456789ABCDEF"
        }
        if let size = rule.listedSize { shown.size = size }
        if let tag = rule.listedEntityTag { shown.entityTag = tag }
        return shown
    }

    func listBuckets(_ exchange: Exchange) -> StoreResponse {
        var document = XMLDocument()
        document.open("ListAllMyBucketsResult")
        document.open("Owner")
        document.element("ID", "0")
        document.element("DisplayName", "devstore")
        document.close("Owner")
        document.open("Buckets")
        for name in bucketNames {
            document.open("Bucket")
            if exchange.dialect == .oss {
                document.element("Location", "oss-" + region)
                document.element("ExtranetEndpoint", "oss-\(region).aliyuncs.com")
                document.element("IntranetEndpoint", "oss-\(region)-internal.aliyuncs.com")
                document.element("StorageClass", "Standard")
                document.element("Region", region)
            }
            document.element("Name", name)
            document.element("CreationDate", HTTPDate.iso8601(0))
            document.close("Bucket")
        }
        document.close("Buckets")
        if exchange.dialect == .oss { document.element("IsTruncated", "false") }
        document.close("ListAllMyBucketsResult")
        return xml(document, exchange)
    }

    private var region: String { configuration.region ?? "cn-hangzhou" }

    private func regionHeaders(_ exchange: Exchange) -> [(name: String, value: String)] {
        exchange.dialect == .oss ? [("x-oss-bucket-region", region)] : [("x-amz-bucket-region", region)]
    }

    private func location(_ exchange: Exchange) -> StoreResponse {
        var document = XMLDocument()
        document.element("LocationConstraint", exchange.dialect == .oss ? "oss-" + region : region)
        return xml(document, exchange)
    }

    private func information(_ exchange: Exchange, _ tree: BucketTree) -> StoreResponse {
        var document = XMLDocument()
        document.open("BucketInfo")
        document.open("Bucket")
        document.element("Name", tree.name)
        document.element("Location", "oss-" + region)
        document.element("CreationDate", HTTPDate.iso8601(0))
        document.element("ExtranetEndpoint", "oss-\(region).aliyuncs.com")
        document.element("IntranetEndpoint", "oss-\(region)-internal.aliyuncs.com")
        document.element("StorageClass", "Standard")
        document.element("DataRedundancyType", "LRS")
        document.open("Owner")
        document.element("ID", "0")
        document.element("DisplayName", "devstore")
        document.close("Owner")
        document.open("AccessControlList")
        document.element("Grant", configuration.publicBuckets.contains(tree.name) ? "public-read" : "private")
        document.close("AccessControlList")
        document.close("Bucket")
        document.close("BucketInfo")
        return xml(document, exchange)
    }
}
