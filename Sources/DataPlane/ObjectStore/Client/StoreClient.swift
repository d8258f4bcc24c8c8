// ObjectStore: the client of Alibaba Cloud OSS and S3.
//
// - Client/: `StoreClient` lists a bucket, asks for heads and reads ranges, as a `StoreConfiguration` says.
// - Location/: `ObjectLocation` is a bucket and a prefix, `StoreEndpoint` a host and the place of the bucket's name.
// - Credentials/: `CredentialChain` chooses the party that gives credentials, and `CredentialsProvider` hands them out.
//   `RoleCredentials` fetches and renews a role's, as `RenewalMachine` decides.
// - Signing/: `RequestSigner` signs a request by OSS V1, OSS V4 or AWS V4.
// - Listing/: `SourceCatalog` makes the files of a model from a listing. Two parties compare its `SourceDigest`.
// - Errors/: `StoreError` has a kind and a remedy. `StoreErrorClass` says what the next request should do, and
//   `RetryPolicy` says when.
// Invariants:
// - Agent, operator and command make the same catalog and the same digest from the same listing.
// - No error and no description has a secret.
// - A range read carries the entity tag that the store listed in `If-Match`, so all its bytes belong to one version.
// - The first party that the environment names gives the credentials. If it refuses, no other takes its place.
// - Lists and heads are repeated here. A range read is repeated at most once, with other credentials.
// Left to others: connections and threads (RangeTransfer), the retry of ranges and their number (Transfer), the hosts
// that may be read (StoreHost).

import FoundationEssentials
public import RangeTransfer
import Synchronization
internal import TextCoding

/// Lists, heads and range reads of one bucket, over a `TransferEngine` that many clients may share.
///
/// Thread-safe. Keys are full keys in the bucket, prefix included.
public final class StoreClient: Sendable {
    public let configuration: StoreConfiguration
    let engine: TransferEngine
    private let signer: RequestSigner
    private let skew = Mutex<Int64?>(nil)
    /// Nil: the endpoint has no fallback.
    public let detour: EndpointDetour?

    /// A page of 1000 keys of 1 KiB, each percent-encoded, with their fields.
    private static let listAnswerLimit = 8 << 20
    /// Ten million keys: a store that invents continuation tokens for ever is not believed.
    public static let maximumListPages = 10_000
    /// Stores may send a page without a key now and then, but not page after page.
    private static let maximumEmptyPages = 32
    /// Error answers are a few hundred bytes of XML.
    private static let errorAnswerLimit = 64 << 10

    public init(_ configuration: StoreConfiguration, engine: TransferEngine) {
        self.configuration = configuration
        self.engine = engine
        self.signer = configuration.signer
        self.detour = EndpointDetour.of(configuration)
    }

    /// A client of the engine of `other`.
    public convenience init(_ configuration: StoreConfiguration, sharing other: StoreClient) {
        self.init(configuration, engine: other.engine)
    }

    /// Every object under the location's prefix, nested ones included (ListObjectsV2, all pages).
    ///
    /// Throws `noSuchBucket` and the like, and `malformedAnswer` for a listing that does not end; an empty prefix is an
    /// empty listing. Retries by `configuration.retry`.
    ///
    /// - Parameters:
    ///   - maximumPages: of a thousand keys each.
    ///   - deadline: for all pages together, looked at after each; nil: none.
    public func list(maximumPages: Int = StoreClient.maximumListPages, within deadline: Duration? = nil)
        async throws(StoreError) -> ObjectListing
    {
        let began = ContinuousClock.now
        var listing = ObjectListing()
        var token: String?
        var pages = 0
        var emptyPages = 0
        repeat {
            var query: [SignableRequest.QueryItem] = [
                .init("list-type", "2"), .init("encoding-type", "url"), .init("max-keys", "1000"),
                .init("prefix", configuration.location.prefix),
            ]
            if let token { query.append(.init("continuation-token", token)) }
            let asked = query
            let answer = try await retrying { () async throws(StoreError) in
                try await self.exchange("GET", key: nil, query: asked, limit: Self.listAnswerLimit)
            }
            let page: ListPage
            do throws(ListPage.Malformed) {
                page = try ListPage.parse(
                    answer.body, prefix: configuration.location.prefix, scheme: configuration.location.scheme)
            } catch {
                throw StoreError(
                    .malformedAnswer, detail: "the listing of \(configuration.location) \(error.problem)",
                    remedy: "check that OSS_ENDPOINT is an object store", status: answer.head.status,
                    requestID: answer.head.requestID)
            }
            listing.objects += page.objects
            listing.directories += page.directories
            listing.unreadableKeys += page.unreadableKeys
            if let next = page.next, next == token {
                throw StoreError(.malformedAnswer, detail: "the listing of \(configuration.location) does not advance")
            }
            token = page.next
            pages += 1
            emptyPages = page.isEmpty ? emptyPages + 1 : 0
            if token != nil, let deadline, began.duration(to: .now) > deadline {
                throw StoreError(
                    .stalled,
                    detail:
                        "the listing of \(configuration.location) is not through after \(pages) pages and \(deadline)",
                    remedy: "check what answers at OSS_ENDPOINT, or name a longer prefix")
            }
            if token != nil, pages >= maximumPages || emptyPages >= Self.maximumEmptyPages {
                throw StoreError(
                    .malformedAnswer,
                    detail: "the listing of \(configuration.location) does not end after \(pages) pages",
                    remedy: "check what answers at OSS_ENDPOINT, or name a longer prefix")
            }
        } while token != nil
        return listing
    }

    /// Size, entity tag and checksums of one object. Retries by `configuration.retry`.
    public func head(_ key: String) async throws(StoreError) -> ObjectHead {
        var extra: [String: String] = [:]
        if configuration.location.scheme == .s3 { extra["x-amz-checksum-mode"] = "ENABLED" }
        let headers = extra
        let answer = try await retrying { () async throws(StoreError) in
            try await self.exchange("HEAD", key: key, headers: headers, limit: 1 << 16)
        }
        guard let size = answer.head.contentLength else {
            throw StoreError(.malformedAnswer, detail: "\(key): the store names no size", status: answer.head.status)
        }
        guard HeaderText.isEntityTag(answer.head.entityTag ?? "") else {
            throw StoreError(
                .malformedAnswer, detail: "\(key): its entity tag holds a quote, blank or control character",
                remedy: "check what answers at OSS_ENDPOINT", status: answer.head.status,
                requestID: answer.head.requestID)
        }
        return ObjectHead(key: key, size: size, head: answer.head, scheme: configuration.location.scheme)
    }

    /// Reads one byte of an object that has some: whether GET is allowed. Retries by `configuration.retry`.
    func probe(_ key: String) async throws(StoreError) {
        _ = try await retrying { () async throws(StoreError) in
            try await self.exchange("GET", key: key, headers: ["range": "bytes=0-0"], limit: Self.errorAnswerLimit)
        }
    }

    /// Starts to read a range; `completion` is called exactly once, on an engine thread, after the last `receive`.
    ///
    /// Not retried, except once with fresh credentials when the store refuses the token or key and the provider has
    /// another. Failures before the body leave the sink untouched; later ones may have delivered a part.
    /// When the credentials cannot be read or the range is empty, `completion` is called before this returns.
    @discardableResult
    public func get(
        _ range: ObjectRange, into sink: any RangeSink,
        completion: @escaping @Sendable (Result<RangeReceipt, StoreError>) -> Void
    ) -> TransferID {
        guard range.length > 0, range.offset <= range.objectSize, range.length <= range.objectSize - range.offset else {
            completion(.failure(StoreError(.settings, detail: "\(range.key): the range is not within the object")))
            return .none
        }
        return get(range, into: sink, repeating: nil, completion: completion)
    }

    private func get(
        _ range: ObjectRange, into sink: any RangeSink, repeating id: TransferID?,
        completion: @escaping @Sendable (Result<RangeReceipt, StoreError>) -> Void
    ) -> TransferID {
        var headers = ["range": "bytes=\(range.offset)-\(range.offset + range.length - 1)"]
        if !range.etag.isEmpty { headers["if-match"] = "\"\(range.etag)\"" }
        if configuration.location.scheme == .oss { headers["x-oss-range-behavior"] = "standard" }
        let endpoint = detour?.next() ?? configuration.endpoint
        let signed: (request: SignableRequest, credentials: StoreCredentials?)
        do throws(StoreError) {
            signed = try sign("GET", key: range.key, headers: headers, at: endpoint)
        } catch {
            completion(.failure(error))
            return id ?? .none
        }
        return engine.submit(
            url: url(signed.request), method: "GET", headers: lines(signed.request), body: .range(range, sink),
            repeating: id
        ) { [self] result in
            switch result {
            case .failure(let error): completion(.failure(judged(StoreError(error), of: endpoint)))
            case .success(let answer):
                note(answer.head)
                if answer.head.status == 200 || answer.head.status == 206 {
                    detour?.answered(endpoint, notice: configuration.notice)
                    return completion(.success(answer.receipt))
                }
                let error = judged(
                    named(StoreAnswer.error(head: answer.head, body: answer.body, subject: range.key)), of: endpoint)
                guard Self.isOfCredentials(error), id == nil, let used = signed.credentials else {
                    return completion(.failure(error))
                }
                switch configuration.credentials.refused(used) {
                // Under the same identifier and on the same thread, which takes new transfers before
                // cancellations: one that lands now finds the repeated transfer.
                case .other: _ = get(range, into: sink, repeating: answer.id, completion: completion)
                case .later(let renewal): completion(.failure(renewal))
                case .none: completion(.failure(error))
                }
            }
        }
    }

    /// A failure that the fallback can heal may be tried again.
    private func judged(_ error: StoreError, of endpoint: StoreEndpoint) -> StoreError {
        guard let detour, detour.judge(error, of: endpoint, notice: configuration.notice), !error.isRetryable else {
            return error
        }
        return StoreError(.connectionLost, detail: error.detail, status: error.status, code: error.code)
    }

    /// Ends a transfer soon; its completion is called with `StoreError.cancelled` unless it was done already.
    public func cancel(_ id: TransferID) { engine.cancel(id) }
    /// ``TransferEngine/pause(_:)``
    public func pause(_ id: TransferID) { engine.pause(id) }
    /// ``TransferEngine/resume(_:)``
    public func resume(_ id: TransferID) { engine.resume(id) }

    /// How far this machine's clock is ahead of the store's, from the last answer's `Date` (whole seconds); nil before
    /// the first answer.
    public var clockSkew: Duration? { skew.withLock { $0 }.map { .seconds($0) } }

    // MARK: Small requests

    func exchange(
        _ method: String, key: String?, query: [SignableRequest.QueryItem] = [], headers: [String: String] = [:],
        limit: Int
    ) async throws(StoreError) -> TransferResponse {
        var renewed = false
        while true {
            _ = try await configuration.credentials.ready()
            let endpoint = detour?.next() ?? configuration.endpoint
            let (request, credentials) = try sign(method, key: key, query: query, headers: headers, at: endpoint)
            let result = await withCheckedContinuation { continuation in
                engine.submit(
                    url: url(request), method: method, headers: lines(request), body: .collect(limit: limit)
                ) { continuation.resume(returning: $0) }
            }
            let answer: TransferResponse
            do throws(StoreError) { answer = try result.mapError { StoreError($0) }.get() } catch {
                if let detour, detour.judge(error, of: endpoint, notice: configuration.notice) { continue }
                throw error
            }
            note(answer.head)
            if answer.head.status == 200 || answer.head.status == 206 {
                detour?.answered(endpoint, notice: configuration.notice)
                return answer
            }
            let error: StoreError
            if method == "HEAD", let key {
                error = named(await headError(answer, key: key, at: endpoint))
            } else {
                error = named(
                    StoreAnswer.error(
                        head: answer.head, body: answer.body, subject: key ?? configuration.location.description))
            }
            if let detour, detour.judge(error, of: endpoint, notice: configuration.notice) { continue }
            if Self.isOfCredentials(error), !renewed, let credentials,
                await configuration.credentials.replaced(credentials) != nil
            {
                renewed = true
                continue
            }
            throw error
        }
    }

    /// Returns the error that a failed HEAD stands for. Its response has no body: OSS puts the error's XML into a
    /// header, S3 says nothing. So the client asks for one byte by GET, which needs the same right, to learn the code.
    /// Without it the message names what it may be.
    private func headError(_ answer: TransferResponse, key: String, at endpoint: StoreEndpoint) async -> StoreError {
        if let encoded = answer.head["x-oss-err"], let decoded = Data(base64Encoded: encoded) {
            return StoreAnswer.error(head: answer.head, body: Array(decoded), subject: key)
        }
        let bare = StoreAnswer.error(head: answer.head, body: [], subject: key)
        guard (300..<500).contains(answer.head.status), answer.head.status != 429 else { return bare }
        if let (request, _) = try? sign("GET", key: key, headers: ["range": "bytes=0-0"], at: endpoint) {
            let result = await withCheckedContinuation { continuation in
                engine.submit(
                    url: url(request), method: "GET", headers: lines(request),
                    body: .collect(limit: Self.errorAnswerLimit)
                ) { continuation.resume(returning: $0) }
            }
            if case .success(let told) = result, told.head.status == answer.head.status {
                let error = StoreAnswer.error(head: told.head, body: told.body, subject: key)
                if error.code != nil { return error }
            }
        }
        return StoreAnswer.unexplained(bare, subject: key, bucket: configuration.location.bucket)
    }

    /// The refusal with the role that was refused.
    private func named(_ error: StoreError) -> StoreError {
        error.naming(configuration.credentials.principal, bucket: configuration.location.bucket)
    }

    /// Refusals that fresh credentials may cure: a token that expired, a key that was rotated.
    private static func isOfCredentials(_ error: StoreError) -> Bool {
        switch error.kind {
        case .expiredToken, .wrongKey, .wrongSecret: true
        default: false
        }
    }

    private func retrying<Value: Sendable>(
        _ attempt: @Sendable () async throws(StoreError) -> Value
    ) async throws(StoreError) -> Value {
        let began = ContinuousClock.now
        var failed = 0
        while true {
            do throws(StoreError) {
                return try await attempt()
            } catch {
                failed += 1
                let elapsed = began.duration(to: .now)
                guard let wait = configuration.retry.delay(afterFailedAttempts: failed, elapsed: elapsed, error: error)
                else { throw error }
                do { try await Task.sleep(for: wait) } catch { throw StoreError(.cancelled, detail: "cancelled") }
            }
        }
    }

    private func sign(
        _ method: String, key: String?, query: [SignableRequest.QueryItem] = [], headers: [String: String],
        at endpoint: StoreEndpoint
    ) throws(StoreError) -> (request: SignableRequest, credentials: StoreCredentials?) {
        var headers = headers
        if configuration.requesterPays {
            headers[configuration.location.scheme == .oss ? "x-oss-request-payer" : "x-amz-request-payer"] = "requester"
        }
        let request = SignableRequest(
            method: method, endpoint: endpoint, bucket: configuration.location.bucket, key: key,
            query: query, headers: headers)
        var credentials = try configuration.credentials.current()
        do throws(SettingError) {
            credentials = try credentials?.checked()
        } catch {
            throw StoreError(.settings, detail: error.description)
        }
        let ready = credentials.map { signer.sign(request, credentials: $0, unixTime: SystemClock.unixTime) } ?? request
        if let problem = ready.unsendable() { throw problem }
        return (ready, credentials)
    }

    private func url(_ request: SignableRequest) -> String {
        "\(configuration.endpoint.transport.rawValue)://\(request.host)\(request.target)"
    }

    private func lines(_ request: SignableRequest) -> [String] {
        request.headers.map { "\($0.key): \($0.value)" } + ["Accept:"]
    }

    private func note(_ head: ResponseHead) {
        guard let date = head.date else { return }
        skew.withLock { $0 = SystemClock.unixTime - date.seconds }
    }
}
