// DevStore: a store emulator that serves directories as OSS and S3, with faults on request.
//
// - `StoreService` decides the response to a request. `StoreServer` and the rest of HTTP/ have the sockets.
// - Request/: `StoreRequest`, `Address` and `ByteRange` are a request as it was read.
// - Signing/: `Verification` checks a signature of either store against each `AccessKey`.
// - Objects/: `BucketTree` is a directory as a bucket, and `ObjectDigests` reads each content once.
// - Listing/: `ListingRequest` answers a listing, by a `ListingPage`.
// - Faults/: `FaultPlan` says what goes wrong, and `FaultInjector` decides it for each request.
// - Oddities/: `OddityPlan` says how this store differs from a plain one, as real stores do.
// - Identity/: `IdentityService` gives temporary keys, as STS and metadata services do.
// Invariants:
// - Signatures are made here anew and not with ObjectStore's code, so a mistake in either shows in tests.
// - An equal plan, seed and order of requests give equal faults.
// - No key reads a file outside its bucket's directory, not even by a link. Only a fault (`replaceWith`) may.
// - The admin interface has no password and listens on loopback alone.
// Left to others: options (DevStoreCommand), CRC-64 (Checksum).

internal import Glibc
internal import Synchronization
internal import TextCoding

/// Decides the response to a request: identity, permission, object, and injected faults. It knows files, not sockets.
/// Its calls block on the disk and belong on a thread pool. Safe from any thread.
package final class StoreService: Sendable {
    package let configuration: StoreConfiguration
    /// Roles and their temporary keys.
    package let identity = IdentityService()
    let digests: ObjectDigests
    private let injector: Mutex<FaultInjector>
    private let odd: Mutex<Oddities>
    private let counter = Atomic<UInt64>(0)

    package init(
        _ configuration: StoreConfiguration, faults: FaultPlan = FaultPlan(), oddities: OddityPlan = OddityPlan()
    ) {
        self.configuration = configuration
        digests = ObjectDigests(sideFile: configuration.digestFile)
        injector = Mutex(FaultInjector(faults))
        odd = Mutex(Oddities(oddities))
    }

    /// The current plan, and how often each rule has acted.
    package var faults: (plan: FaultPlan, acted: [Int]) { injector.withLock { ($0.plan, $0.timesActed) } }

    /// Replaces the plan and restarts its counts.
    package func setFaults(_ plan: FaultPlan) { injector.withLock { $0 = FaultInjector(plan) } }

    var oddities: Oddities { odd.withLock { $0 } }

    /// Replaces what is odd of the store.
    package func setOddities(_ plan: OddityPlan) {
        let new = Oddities(plan)
        odd.withLock { $0 = new }
    }

    /// The store's clock: seconds since 1970, offset as configured.
    package var now: Int64 { Int64(time(nil)) + configuration.clockOffsetSeconds }

    /// A parsed request, kept for the response and the statistics.
    package struct Exchange: Sendable {
        package var request: StoreRequest
        package var address: Address
        package var dialect: Dialect
        package var requestID: String
    }

    package func exchange(_ request: StoreRequest) -> Exchange {
        let address = Address(request: request, baseHosts: configuration.baseHosts) { bucket($0) != nil }
        let serial = counter.wrappingAdd(1, ordering: .relaxed).newValue
        let id = Self.requestID(serial: serial, now: now)
        return Exchange(
            request: request, address: address ?? Address(bucket: nil, key: nil, virtualHost: false),
            dialect: Dialect(request: request, fallback: configuration.defaultDialect), requestID: id)
    }

    /// 24 hex digits: the second, then the serial number.
    private static func requestID(serial: UInt64, now: Int64) -> String {
        let second = UInt64(bitPattern: now)
        var bytes: [UInt8] = []
        for shift in [24, 16, 8, 0] as [UInt64] { bytes.append(UInt8(truncatingIfNeeded: second >> shift)) }
        for shift in [56, 48, 40, 32, 24, 16, 8, 0] as [UInt64] {
            bytes.append(UInt8(truncatingIfNeeded: serial >> shift))
        }
        return Hex.encode(bytes, uppercase: true)
    }

    /// The complete response to a request without a body.
    package func respond(_ exchange: Exchange) -> StoreResponse {
        do throws(StoreError) {
            try admit(exchange)
            return try route(exchange)
        } catch {
            return refuse(error, exchange)
        }
    }

    /// Checks signature, bucket and permission.
    package func admit(_ exchange: Exchange) throws(StoreError) {
        let request = exchange.request
        guard PercentCoding.decode(request.rawPath, plusIsSpace: false) != nil else {
            throw StoreError("InvalidURI", 400, "Couldn't parse the specified URI.")
        }
        try checkEndpoint(exchange)
        let verification = Verification(
            keys: configuration.keys + identity.issued, region: configuration.region, now: now)
        // Without keys and roles no signature can be checked, and all clients have access.
        let signer =
            configuration.keys.isEmpty && identity.plan == nil
            ? "" : try verification.verify(request, address: exchange.address)
        if let name = exchange.address.bucket, bucket(name) == nil {
            throw StoreError(
                "NoSuchBucket", 404, "The specified bucket does not exist.", fields: [.init("BucketName", name)])
        }
        try checkPayer(exchange)
        if signer == nil {
            let reads = request.method == "GET" || request.method == "HEAD"
            guard reads, let name = exchange.address.bucket, configuration.publicBuckets.contains(name) else {
                throw exchange.dialect == .oss
                    ? StoreError("AccessDenied", 403, "You have no right to access this object because of bucket acl.")
                    : StoreError("AccessDenied", 403, "Access Denied")
            }
        }
    }

    /// A bucket whose requester pays refuses requests that do not agree to it.
    private func checkPayer(_ exchange: Exchange) throws(StoreError) {
        guard oddities.plan.requesterPays else { return }
        let name = exchange.dialect == .oss ? "x-oss-request-payer" : "x-amz-request-payer"
        guard exchange.request.header(name) ?? exchange.request.parameter(name) == "requester" else {
            throw exchange.dialect == .oss
                ? StoreError("AccessDenied", 403, "Access denied for requester pay bucket.")
                : StoreError("AccessDenied", 403, "Access Denied")
        }
    }

    /// `bucket.oss-cn-beijing.…` on a store of another region.
    private func checkEndpoint(_ exchange: Exchange) throws(StoreError) {
        guard let region = configuration.region, exchange.dialect == .oss else { return }
        let host = Address.hostName(exchange.request.header("host") ?? "")
        for label in host.split(separator: ".") where label.hasPrefix("oss-") {
            let named = label.dropFirst(4)
            if named == region || named == region + "-internal" || named.hasPrefix("accelerate") { continue }
            throw StoreError(
                "AccessDenied", 403,
                "The bucket you are attempting to access must be addressed using the specified endpoint. "
                    + "Please send all future requests to this endpoint.",
                fields: [
                    .init("Bucket", exchange.address.bucket ?? ""), .init("Endpoint", "oss-\(region).aliyuncs.com"),
                    .init("EC", "0003-00001403"),
                ])
        }
    }

    private func route(_ exchange: Exchange) throws(StoreError) -> StoreResponse {
        let request = exchange.request
        guard let name = exchange.address.bucket, let tree = bucket(name) else {
            guard request.method == "GET" else { throw Self.notImplemented }
            return listBuckets(exchange)
        }
        guard let key = exchange.address.key else { return try bucketRequest(exchange, tree) }
        let answered = oddities.plan.rule(key).partQueries
        if request.query.contains(where: { Self.unsupported.contains($0.name) && !answered.contains($0.name) }) {
            throw Self.notImplemented
        }
        switch request.method {
        case "GET" where request.parameter("attributes") != nil: return try attributes(exchange, tree, key)
        case "GET", "HEAD": return try read(exchange, tree, key)
        case "DELETE":
            if let path = tree.path(key: key), unlink(path) != 0, errno != ENOENT, errno != ENOTDIR {
                throw StoreError("InternalError", 500, "The object could not be removed: errno \(errno).")
            }
            return finish(StoreResponse(status: 204), exchange)
        default: throw Self.notImplemented
        }
    }

    static let notImplemented = StoreError(
        "NotImplemented", 501, "A header or query you provided implies functionality that is not implemented.")
    static let unsupported: Set<String> = [
        "uploads", "uploadId", "partNumber", "append", "symlink", "tagging", "restore", "x-oss-process", "versionId",
        "select", "torrent", "retention", "legal-hold", "attributes",
    ]

    // MARK: Responses

    /// The error as the dialect's document. HEAD has no body, so OSS adds `x-oss-err`.
    package func refuse(_ error: StoreError, _ exchange: Exchange) -> StoreResponse {
        let text = error.document(
            dialect: exchange.dialect, requestID: exchange.requestID, host: exchange.request.header("host") ?? "")
        var response = StoreResponse(
            status: error.status, body: error.status == 304 || exchange.request.method == "HEAD" ? .none : .text(text))
        response.fault = error.fault
        if error.status != 304 { response.headers.append(("Content-Type", "application/xml")) }
        if exchange.dialect == .oss {
            if let ec = StoreError.errorCodes[error.code] { response.headers.append(("x-oss-ec", ec)) }
            if exchange.request.method == "HEAD" {
                response.headers.append(("x-oss-err", Base64.encode(Array(text.utf8))))
            }
        }
        for header in error.headers { response.headers.append((header.name, header.value)) }
        return finish(response, exchange)
    }

    /// Adds the headers of every response.
    func finish(_ response: StoreResponse, _ exchange: Exchange) -> StoreResponse {
        var response = response
        response.headers += [
            ("Server", exchange.dialect == .oss ? "AliyunOSS" : "AmazonS3"), ("Date", HTTPDate.rfc1123(now)),
        ]
        switch exchange.dialect {
        case .oss: response.headers += [("x-oss-request-id", exchange.requestID), ("x-oss-server-time", "1")]
        case .s3: response.headers += [("x-amz-request-id", exchange.requestID), ("x-amz-id-2", exchange.requestID)]
        }
        return response
    }

    func xml(_ document: XMLDocument, _ exchange: Exchange) -> StoreResponse {
        finish(
            StoreResponse(
                status: 200, headers: [("Content-Type", "application/xml")],
                body: exchange.request.method == "HEAD" ? .none : .text(document.text)),
            exchange)
    }

    /// The rule that acts on a request, if any; a status fault is thrown as its error.
    func fault(
        _ exchange: Exchange, range: Range<Int64>?
    ) throws(StoreError) -> FaultAction? {
        let action = injector.withLock {
            $0.decide(
                .init(
                    bucket: exchange.address.bucket, key: exchange.address.key, method: exchange.request.method,
                    range: range, ranged: exchange.request.header("range") != nil))
        }
        guard let action else { return nil }
        if action.expireToken == true {
            var error = Verification.tokenExpired(exchange.dialect)
            error.fault = action
            throw error
        }
        if let status = action.status {
            let codes = [
                400: "InvalidArgument", 403: "AccessDenied", 404: "NoSuchKey", 412: "PreconditionFailed",
                429: "TooManyRequests", 500: "InternalError",
                503: exchange.dialect == .oss ? "ServiceUnavailable" : "SlowDown",
            ]
            var error = StoreError(
                action.code ?? codes[status] ?? "InternalError", status, "Please try again later.")
            if let milliseconds = action.qosDelayMs {
                error.headers.append(.init("x-oss-qos-delay-time", "\(milliseconds)"))
            }
            if let seconds = action.retryAfter { error.headers.append(.init("Retry-After", "\(seconds)")) }
            error.fault = action
            throw error
        }
        return action
    }

    // MARK: Buckets

    package func bucket(_ name: String) -> BucketTree? {
        if let known = configuration.buckets.first(where: { $0.name == name }) { return known }
        guard let root = configuration.root, !name.isEmpty, !name.hasPrefix("."), !name.contains("/") else {
            return nil
        }
        return BucketTree(name: name, directory: root + "/" + name)
    }

    var bucketNames: [String] {
        var names = Set(configuration.buckets.map(\.name))
        if let root = configuration.root, let stream = opendir(root) {
            defer { closedir(stream) }
            while let entry = readdir(stream) {
                let name = withUnsafeBytes(of: &entry.pointee.d_name) {
                    String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
                }
                if !name.hasPrefix("."), bucket(name) != nil { names.insert(name) }
            }
        }
        return names.sorted()
    }
}

extension Address {
    init(bucket: String?, key: String?, virtualHost: Bool) {
        self.bucket = bucket
        self.key = key
        self.virtualHost = virtualHost
    }
}
