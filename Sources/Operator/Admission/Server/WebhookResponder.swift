// Admission: the webhooks: which pods get a model and how, and which ModelCaches and deletions are refused.
//
// - Server/: `WebhookServer` listens, `WebhookResponder` answers, and a `MemoryBudget` bounds the bytes of reviews.
// - Review/: `AdmissionReview` is the API server's question, and `AdmissionResponse` the answer.
// - Patch/: `PodPatch` is the change to a pod, from the pod and an `InjectionTarget` for each ModelCache. An
//   `InjectionSource` looks these up.
// - Verdict/: `ModelCacheVerdict` judges a ModelCache, `DeletionVerdict` the deletion of what ModelCaches need.
// - Certificates/: `CertificateKeeper` makes and renews them as `CertificateRotation` decides. `ServingCertificate` is
//   the one that new connections get.
// Invariants:
// - A pod, or a ModelCache, without an answer in 2.5 s is let through as it is: the API server waits 3 s.
// - A review is answered from memory. No request goes to the API server for it.
// - `PodPatch` is a pure function. It only adds, but for its own annotations and for LD_PRELOAD, which gets the library
//   in front. Applied to its own result it adds nothing.
// - The bytes of the reviews in memory are bounded, whatever callers send.
// - A certificate is shown only when API servers can believe it, unless there is no other.
// Left to others: where facts about ModelCaches come from (Controller), the rules of a spec (CRD), bounds on
// connections (HTTPBounds), flags and the process (OperatorCommand).

internal import CRD
internal import Hummingbird
internal import Kubernetes
internal import Logging
internal import NIOCore

/// Answers reviews: of pods with a patch, of ModelCaches and of what they need with a verdict. It answers every
/// request; when anything goes wrong inside, it lets the object through as it is.
struct WebhookResponder<Source: InjectionSource>: HTTPResponder {
    typealias Context = BasicRequestContext

    static var podPath: String { "/mutate-v1-pod" }
    static var modelCachePath: String { "/validate-modelcache" }
    static var deletionPath: String { "/validate-deletion" }
    static var paths: [String] { [podPath, modelCachePath, deletionPath] }
    /// Below the configuration's three seconds, so that the API server gets a warning and not silence.
    static var answerLimit: Duration { .milliseconds(2500) }

    let source: Source
    let policy: ValidationPolicy
    let metrics: WebhookMetrics
    let logger: Logger
    private let bodies = MemoryBudget(bytes: 12 << 20, mostWaiting: 256, patience: .seconds(1))
    /// The values read from bodies, until their review is answered. The largest are read one after the other; a usual
    /// review of 8 KiB takes 400 KiB while it is read and some tens of KiB afterwards.
    private let trees = MemoryBudget(bytes: 20 << 20, mostWaiting: 256, patience: .seconds(1))

    init(source: Source, policy: ValidationPolicy, metrics: WebhookMetrics, logger: Logger) {
        self.source = source
        self.policy = policy
        self.metrics = metrics
        self.logger = logger
    }

    func respond(to request: Request, context: BasicRequestContext) async throws -> Response {
        let path = request.uri.path
        guard let measured = metrics[path] else {
            return Self.refusal(.notFound, "there are only \(Self.paths.joined(separator: ", "))")
        }
        measured.inFlight.add(1)
        let began = ContinuousClock.now
        defer {
            measured.inFlight.add(-1)
            measured.latency.observe(began.duration(to: .now))
        }
        let response = await answer(request)
        metrics.count(path: path, code: response.status.code)
        return response
    }

    private func answer(_ request: Request) async -> Response {
        guard request.method == .post else {
            var response = Self.refusal(.methodNotAllowed, "only POST is answered")
            response.headers[.allow] = "POST"
            return response
        }
        guard Self.isJSON(request.headers[.contentType]) else {
            return Self.refusal(.unsupportedMediaType, "only application/json is read")
        }
        let announced = request.headers[.contentLength].flatMap { Int($0) }
        if let announced, announced > AdmissionReview.maximumBytes { return Self.tooLarge }
        switch await reviewed(request.body, announced: announced ?? 0) {
        case .failure(let refusal): return refusal.response
        case .success(let review):
            defer { trees.giveBack(review.memoryBytes) }
            switch request.uri.path {
            case Self.podPath: return Self.json(await patch(review.request))
            case Self.modelCachePath: return Self.json(await judge(review.request))
            default: return Self.json(await judgeDeletion(review.request))
            }
        }
    }

    private struct Refusal: Error {
        let response: Response
    }

    /// The body and what reading it may occupy are granted first; afterwards only ``AdmissionReview/memoryBytes`` stay
    /// granted.
    private func reviewed(_ body: RequestBody, announced: Int) async -> Result<AdmissionReview, Refusal> {
        var granted = 0
        defer { bodies.giveBack(granted) }
        let bytes: ByteBuffer
        do throws(Refusal) {
            bytes = try await collect(body, announced: announced, granted: &granted)
        } catch {
            return .failure(error)
        }
        let memory = AdmissionReview.mostMemory(bodyBytes: bytes.readableBytes)
        guard await trees.take(memory) else { return .failure(Refusal(response: Self.tooMany)) }
        let parsed = bytes.withUnsafeReadableBytes { bytes in
            Result { () throws(ReviewError) in try AdmissionReview(json: bytes) }
        }
        switch parsed {
        case .failure(let problem):
            trees.giveBack(memory)
            return .failure(
                Refusal(
                    response: Self.refusal(
                        problem.isTooLarge ? .contentTooLarge : .badRequest,
                        "\(problem)")))
        case .success(let review):
            precondition(review.memoryBytes <= memory, "a tree larger than its text allows")
            trees.giveBack(memory - review.memoryBytes)
            return .success(review)
        }
    }

    /// A body without an announced length is granted as it comes, in doubling steps as its buffer grows.
    private func collect(_ body: RequestBody, announced: Int, granted: inout Int) async throws(Refusal) -> ByteBuffer {
        func grant(_ bytes: Int) async throws(Refusal) {
            guard await bodies.take(bytes) else { throw Refusal(response: Self.tooMany) }
            granted += bytes
        }
        try await grant(announced)
        var collected = ByteBuffer()
        collected.reserveCapacity(announced)
        do {
            for try await part in body {
                let count = collected.readableBytes + part.readableBytes
                guard count <= AdmissionReview.maximumBytes else { throw Refusal(response: Self.tooLarge) }
                if count > granted {
                    try await grant(
                        max(
                            count, min(2 * granted, AdmissionReview.maximumBytes),
                            16 << 10) - granted)
                }
                collected.writeImmutableBuffer(part)
            }
        } catch let refusal as Refusal {
            throw refusal
        } catch {
            throw Refusal(response: Self.refusal(.badRequest, "the body ended too early"))
        }
        return collected
    }

    private static var tooLarge: Response {
        refusal(.contentTooLarge, "a review has at most \(AdmissionReview.maximumBytes) bytes")
    }

    private static var tooMany: Response {
        var response = refusal(.tooManyRequests, "too many large reviews at once; send it again in a second")
        response.headers[.retryAfter] = "1"
        return response
    }

    private func judge(_ request: AdmissionRequest) async -> [UInt8] {
        let policy = policy
        let judged = await within(Self.answerLimit) { ModelCacheVerdict(request, policy)?.denial }
        guard let denial = judged else {
            metrics.count(WebhookMetrics.Verdict.failed)
            logger.error(
                "no verdict in time, a ModelCache was let through",
                metadata: ["namespace": "\(request.namespace)", "limit": "\(Self.answerLimit)"])
            return AdmissionResponse(uid: request.uid).json()
        }
        metrics.count(denial == nil ? WebhookMetrics.Verdict.accepted : .refused)
        return AdmissionResponse(uid: request.uid, denial: denial).json()
    }

    private func judgeDeletion(_ request: AdmissionRequest) async -> [UInt8] {
        guard let verdict = DeletionVerdict(request) else { return AdmissionResponse(uid: request.uid).json() }
        let denial = verdict.denial(dependents: await source.dependents(of: verdict.prerequisite))
        return AdmissionResponse(uid: request.uid, denial: denial, refusal: .forbidden).json()
    }

    private func patch(_ request: AdmissionRequest) async -> [UInt8] {
        let answer = await within(Self.answerLimit) { await request.answer(from: source) }
        guard let (response, outcome) = answer else {
            metrics.count(WebhookMetrics.Outcome.failed)
            logger.error(
                "no answer in time, a pod was let through as it is",
                metadata: ["namespace": "\(request.namespace)", "limit": "\(Self.answerLimit)"])
            return AdmissionResponse(
                uid: request.uid,
                warnings: [
                    "modelcache: the webhook found no answer in time; the pod is as it was. Delete it to try again."
                ]
            ).json()
        }
        switch outcome {
        case .notAsked: metrics.count(.notAsked)
        case .injected(.stream): metrics.count(.stream)
        case .injected(.wait): metrics.count(.wait)
        case .leftAlone(let reason):
            metrics.count(.leftAlone)
            logger.debug(
                "a pod was left alone", metadata: ["namespace": "\(request.namespace)", "reason": "\(reason)"])
        }
        return response.json()
    }

    private static func isJSON(_ type: String?) -> Bool {
        guard let type else { return false }
        let essence = type.prefix { $0 != ";" }
        return essence.lowercased().filter { $0 != " " } == "application/json"
    }

    private static func json(_ bytes: [UInt8]) -> Response {
        Response(
            status: .ok, headers: [.contentType: "application/json"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
    }

    private static func refusal(_ status: HTTPResponse.Status, _ text: String) -> Response {
        Response(
            status: status, headers: [.contentType: "text/plain; charset=utf-8"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: text + "\n")))
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
