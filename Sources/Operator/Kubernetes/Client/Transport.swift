import AsyncHTTPClient
import FoundationEssentials
import Logging
import NIOCore
import NIOHTTP1
internal import TextCoding

/// Sends requests. It owns connections, credentials, time limits, repetition, and reports each attempt.
final class Transport: Sendable {
    private let http: HTTPClient
    private let credentials: CredentialSource
    private let address: ServerAddress
    private let options: ClientOptions
    private let impersonation: [(String, String)]
    private let observer: (any RequestObserver)?
    private let logger: Logger

    init(
        configuration: ClientConfiguration, options: ClientOptions, observer: (any RequestObserver)?, logger: Logger
    ) throws {
        address = try ServerAddress(configuration)
        credentials = CredentialSource(configuration, logger: logger)
        impersonation = configuration.impersonation.map(Self.headers) ?? []
        self.options = options
        self.observer = observer
        self.logger = logger

        var settings = HTTPClient.Configuration()
        // A redirect could carry our token to another host, and the API server never needs one.
        settings.redirectConfiguration = .disallow
        settings.decompression = .disabled
        settings.httpVersion = .http1Only
        settings.timeout.connect = TimeAmount(options.connectTimeout)
        settings.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = options.maximumConnections
        // The pool reports a refused connection at once, because this type decides on repetition.
        settings.connectionPool.retryConnectionEstablishment = false
        if let url = configuration.proxyURL {
            settings.proxy = try ServerAddress.proxy(url, configuration.origin)
        } else if let named = configuration.environmentProxy {
            settings.proxy = try ServerAddress.proxy(named.url, "environment", field: named.field)
        }
        if let (name, host) = address.nameOverride { settings.dnsOverride = [name: host] }
        http = HTTPClient(eventLoopGroupProvider: .singleton, configuration: settings)
    }

    func shutdown() async throws {
        try await http.shutdown()
    }

    // MARK: Requests and responses

    func decoded<Value: Decodable & Sendable>(_ type: Value.Type, _ request: APIRequest) async throws -> Value {
        let body = try await collected(request)
        do {
            return try ResourceCoding.decode(type, Data(buffer: body))
        } catch {
            throw request.error(.undecodable(ResourceCoding.explain(error)))
        }
    }

    func bytes(_ request: APIRequest) async throws -> [UInt8] {
        Array(try await collected(request).readableBytesView)
    }

    /// The body of a watch, once the server has accepted it.
    func stream(_ request: APIRequest) async throws -> HTTPClientResponse.Body {
        try await repeating(request) { attempt, identity in
            let response = try await self.send(request, identity, attempt)
            return (Int(response.status.code), response.body)
        }
    }

    private func collected(_ request: APIRequest) async throws -> ByteBuffer {
        try await repeating(request) { attempt, identity in
            try await withTimeLimit(self.options.requestTimeout) {
                let response = try await self.send(request, identity, attempt)
                return (Int(response.status.code), try await self.collect(response.body, request))
            }
        }
    }

    private func collect(_ body: HTTPClientResponse.Body, _ request: APIRequest) async throws -> ByteBuffer {
        var whole = ByteBuffer()
        for try await var part in body {
            guard whole.readableBytes + part.readableBytes <= options.maximumResponseBytes else {
                throw request.error(.tooLarge(limit: options.maximumResponseBytes))
            }
            if whole.readableBytes == 0 { whole = part } else { whole.writeBuffer(&part) }
        }
        // A cancelled body just ends, so the bytes read so far are no complete response.
        try Task.checkCancellation()
        return whole
    }

    // MARK: Attempts

    private func repeating<Value: Sendable>(
        _ request: APIRequest, _ attempt: @Sendable (Int, RequestIdentity) async throws -> (code: Int, value: Value)
    ) async throws -> Value {
        var renewed = false
        var failures = 0
        var number = 0
        while true {
            let identity: RequestIdentity
            do {
                identity = try await credentials.current()
            } catch {
                throw request.error(.credentials(error))
            }
            let started = ContinuousClock.now
            do {
                let (code, value) = try await attempt(number, identity)
                observe(request, code: code, started, number)
                return value
            } catch {
                try Task.checkCancellation()
                let failure = explain(error, request)
                observe(request, code: failure.status?.code, started, number)
                number += 1
                if failure.isUnauthorized, !renewed {
                    renewed = true
                    if await credentials.renew(after: identity) { continue }
                }
                failures += 1
                guard let pause = pause(after: failure, request, failures) else { throw failure }
                logger.debug(
                    "request failed, trying again",
                    metadata: ["error": "\(failure)", "pause": "\(pause)", "attempt": "\(number)"])
                try await Task.sleep(for: pause)
            }
        }
    }

    /// The pause before the next attempt; nil: no further attempt.
    private func pause(after failure: KubernetesError, _ request: APIRequest, _ failures: Int) -> Duration? {
        guard failure.isTransient, failures < options.readAttempts else { return nil }
        let random = Double.random(in: 0..<1)
        // A server that responds with 429 has not begun with the request.
        if failure.isTooManyRequests, let asked = failure.retryAfter, asked <= options.requestTimeout {
            return Backoff.pause(retryAfter: asked, random: random)
        }
        // A server that is behind catches up in its own time, and the reflector waits for that.
        // A watch that could not be resumed may have missed more than a pause: the reflector decides on that as well.
        guard request.isRead, request.verb != .watch, !failure.isTooLargeResourceVersion else { return nil }
        return Backoff(initial: options.initialBackoff, maximum: options.maximumBackoff)
            .pause(afterFailures: failures, random: random)
    }

    /// Sends, and throws for a refusal.
    private func send(
        _ request: APIRequest, _ identity: RequestIdentity, _ attempt: Int
    ) async throws -> HTTPClientResponse {
        var message = HTTPClientRequest(url: address.base + request.path + request.query.text)
        message.method = request.method
        message.headers.add(name: "Host", value: address.hostHeader)
        message.headers.add(name: "User-Agent", value: options.userAgent)
        message.headers.add(name: "Accept", value: request.accept)
        if let authorization = identity.authorization {
            message.headers.add(name: "Authorization", value: authorization)
        }
        for (name, value) in impersonation { message.headers.add(name: name, value: value) }
        if let (name, value) = request.extraHeader { message.headers.add(name: name, value: value) }
        if let body = request.body {
            message.headers.add(name: "Content-Type", value: request.contentType)
            message.body = .bytes(ByteBuffer(bytes: body))
        }
        message.tlsConfiguration = identity.tls
        let response = try await http.execute(message, deadline: .now() + TimeAmount(options.requestTimeout))
        guard !(200..<300).contains(response.status.code) else { return response }
        throw request.error(.status(await refusal(response)))
    }

    /// The server's `Status`, or one made from the HTTP status and plain text: proxies, load balancers and pods behind
    /// the server's proxy send none.
    private func refusal(_ response: HTTPClientResponse) async -> Status {
        let limit = 1 << 20
        let body = try? await withTimeLimit(.seconds(5)) { try await response.body.collect(upTo: limit) }
        var status = body.flatMap { try? ResourceCoding.decode(Status.self, Data(buffer: $0)) } ?? Status()
        if status.code == nil || status.code == 0 { status.code = Int(response.status.code) }
        if status.message?.isEmpty ?? true {
            let words = response.headers.first(name: "Content-Type")?.hasPrefix("text/plain") == true ? body : nil
            status.message =
                "the server answered \(response.status.code) \(response.status.reasonPhrase)"
                + (words.map { ": " + String(buffer: $0).prefix(200) } ?? "")
        }
        // Retry-After may be a date, but no API server sends one.
        if let seconds = response.headers.first(name: "Retry-After").flatMap({ Int($0) }), seconds > 0 {
            var details = status.details ?? StatusDetails()
            if details.retryAfterSeconds ?? 0 == 0 { details.retryAfterSeconds = min(seconds, 3_600) }
            status.details = details
        }
        return status
    }

    private func explain(_ error: any Error, _ request: APIRequest) -> KubernetesError {
        switch error {
        case let error as KubernetesError: error
        case is TimeLimitExceeded: request.error(.timeout(options.requestTimeout))
        case let error as HTTPClientError where error == .deadlineExceeded:
            request.error(.timeout(options.requestTimeout))
        default: request.error(.connection(ConnectionFailure.explain(error, server: address.base)))
        }
    }

    private func observe(_ request: APIRequest, code: Int?, _ started: ContinuousClock.Instant, _ attempt: Int) {
        observer?.requestFinished(
            RequestObservation(
                verb: request.verb, method: request.method.rawValue, resource: request.resource,
                host: address.hostHeader, code: code, duration: started.duration(to: .now), attempt: attempt))
    }

    private static func headers(_ impersonation: Impersonation) -> [(String, String)] {
        var headers = [("Impersonate-User", impersonation.user)]
        headers += impersonation.groups.map { ("Impersonate-Group", $0) }
        if let uid = impersonation.uid { headers.append(("Impersonate-Uid", uid)) }
        for (name, values) in impersonation.extra.sorted(by: { $0.key < $1.key }) {
            headers += values.map { ("Impersonate-Extra-\(PercentCoding.encode(name, keepingSlash: false))", $0) }
        }
        return headers
    }
}

extension Data {
    init(buffer: ByteBuffer) {
        self = buffer.withUnsafeReadableBytes { Data($0) }
    }
}

extension TimeAmount {
    init(_ duration: Duration) {
        let parts = duration.components
        self = .nanoseconds(parts.seconds * 1_000_000_000 + parts.attoseconds / 1_000_000_000)
    }
}
