internal import Hummingbird
internal import Kubernetes
internal import Logging
internal import NIOCore

/// Answers reviews at one path. Whatever comes, it answers; whatever goes wrong inside, the pod is let through as it is.
struct WebhookResponder<Source: InjectionSource>: HTTPResponder {
    typealias Context = BasicRequestContext

    static var path: String { "/mutate-v1-pod" }
    /// An API server takes objects of 3 MiB; JSON that escapes can be larger than what came in.
    static var bodyLimit: Int { 8 << 20 }
    /// Below the configuration's three seconds, so that the API server gets a warning and not silence.
    static var answerLimit: Duration { .milliseconds(2500) }

    let source: Source
    let metrics: WebhookMetrics
    let logger: Logger
    private let room = BodyRoom(bytes: 64 << 20)

    init(source: Source, metrics: WebhookMetrics, logger: Logger) {
        self.source = source
        self.metrics = metrics
        self.logger = logger
    }

    func respond(to request: Request, context: BasicRequestContext) async throws -> Response {
        guard request.uri.path == Self.path else { return Self.refusal(.notFound, "there is only \(Self.path)") }
        metrics.inFlight.add(1)
        let began = ContinuousClock.now
        defer {
            metrics.inFlight.add(-1)
            metrics.latency.observe(began.duration(to: .now))
        }
        let response = await answer(request)
        metrics.count(path: Self.path, code: response.status.code)
        return response
    }

    private func answer(_ request: Request) async -> Response {
        guard request.method == .post else {
            var response = Self.refusal(.methodNotAllowed, "only POST is answered")
            response.headers[.allow] = "POST"
            return response
        }
        guard Self.isJSON(request.headers[.contentType]) else { return Self.refusal(.unsupportedMediaType, "only application/json is read") }
        let announced = request.headers[.contentLength].flatMap { Int($0) }
        let tooLarge = "a review has at most \(Self.bodyLimit) bytes"
        if let announced, announced > Self.bodyLimit { return Self.refusal(.contentTooLarge, tooLarge) }
        let reserved = announced ?? Self.bodyLimit
        guard room.take(reserved) else { return Self.refusal(.serviceUnavailable, "too many large reviews at once") }
        defer { room.giveBack(reserved) }

        let body: ByteBuffer
        do {
            body = try await request.body.collect(upTo: Self.bodyLimit)
        } catch is NIOTooManyBytesError {
            return Self.refusal(.contentTooLarge, tooLarge)
        } catch {
            return Self.refusal(.badRequest, "the body ended too early")
        }
        let parsed = body.withUnsafeReadableBytes { bytes in Result { () throws(ReviewError) in try AdmissionReview(json: bytes) } }
        switch parsed {
        case .failure(let problem): return Self.refusal(.badRequest, "\(problem)")
        case .success(let review): return Self.json(await decide(review.request))
        }
    }

    private func decide(_ request: AdmissionRequest) async -> [UInt8] {
        let answer = await within(Self.answerLimit) { await request.answer(from: source) }
        guard let (response, outcome) = answer else {
            metrics.count(.failed)
            logger.error("no answer in time, a pod was let through as it is", metadata: ["namespace": "\(request.namespace)", "limit": "\(Self.answerLimit)"])
            return AdmissionResponse(
                uid: request.uid, warnings: ["modelcache: the webhook found no answer in time; the pod is as it was. Delete it to try again."]
            ).json()
        }
        switch outcome {
        case .notAsked: metrics.count(.notAsked)
        case .injected(.stream): metrics.count(.stream)
        case .injected(.wait): metrics.count(.wait)
        case .leftAlone(let reason):
            metrics.count(.leftAlone)
            logger.debug("a pod was left alone", metadata: ["namespace": "\(request.namespace)", "reason": "\(reason)"])
        }
        return response.json()
    }

    private static func isJSON(_ type: String?) -> Bool {
        guard let type else { return false }
        let essence = type.prefix { $0 != ";" }
        return essence.lowercased().filter { $0 != " " } == "application/json"
    }

    private static func json(_ bytes: [UInt8]) -> Response {
        Response(status: .ok, headers: [.contentType: "application/json"], body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
    }

    private static func refusal(_ status: HTTPResponse.Status, _ text: String) -> Response {
        Response(
            status: status, headers: [.contentType: "text/plain; charset=utf-8"], body: ResponseBody(byteBuffer: ByteBuffer(string: text + "\n")))
    }
}

/// Nil when the work takes longer; it is cancelled then and not waited for.
private func within<Value: Sendable>(_ limit: Duration, _ work: @escaping @Sendable () async -> Value) async -> Value? {
    let (results, result) = AsyncStream.makeStream(of: Value?.self, bufferingPolicy: .bufferingOldest(1))
    let worker = Task { result.yield(await work()) }
    let timer = Task {
        try await Task.sleep(for: limit)
        result.yield(nil)
    }
    defer {
        worker.cancel()
        timer.cancel()
    }
    for await first in results { return first }
    return nil
}
