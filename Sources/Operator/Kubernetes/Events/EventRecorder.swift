internal import FoundationEssentials
public import Logging
internal import Synchronization

/// Tells people what happened to an object, by Events on it (`kubectl describe`).
///
/// Guarantees
/// - ``record(_:reason:_:regarding:)`` never waits and never fails. When the API server is away for long, or too many
///   occurrences come, the recorder drops some and counts them in `event_recorder_dropped_total`.
/// - ``EventCorrelator`` combines repetitions and bursts.
/// - Events are written in the order in which they were recorded, to the namespace of their object (`default` for a
///   cluster-scoped one).
///
/// It writes only while ``run()`` is running.
public final class EventRecorder: Sendable {
    private struct Pending: Sendable {
        let occurrence: EventCorrelator.Occurrence
        let at: ContinuousClock.Instant
        let date: Date
    }

    private let sink: any EventSink
    private let component: String
    private let instance: String
    private let logger: Logger
    private let dropped: CounterFamily?
    private let written: CounterFamily?
    private let stream: AsyncStream<Pending>
    private let pending: AsyncStream<Pending>.Continuation
    private let correlator = Mutex(EventCorrelator())
    private let patience: Patience

    /// How often the recorder tries a write while the API server is away.
    package struct Patience: Sendable {
        package var attempts: Int
        package var pause: Duration
        package var longestPause: Duration
        package var lastWords: Duration

        /// Ten pauses of at most 15 s: an API server may be away for two minutes.
        package static let standard = Patience(
            attempts: 11, pause: .seconds(1), longestPause: .seconds(15), lastWords: .seconds(1))

        package init(attempts: Int, pause: Duration, longestPause: Duration, lastWords: Duration) {
            self.attempts = attempts
            self.pause = pause
            self.longestPause = longestPause
            self.lastWords = lastWords
        }
    }

    /// Occurrences that wait to be written at most; client-go's `maxQueuedEvents`.
    public static let capacity = 1000
    /// Newer API servers refuse longer ones.
    public static let longestMessage = 1024

    /// - Parameters:
    ///   - component: the program that reports, such as `modelcache-operator`.
    ///   - instance: its process, such as the pod's name.
    ///   - metrics: gets `event_recorder_written_total` and `event_recorder_dropped_total`.
    public convenience init(
        sink: any EventSink, component: String, instance: String, metrics: MetricsRegistry? = nil, logger: Logger
    ) {
        self.init(
            sink: sink, component: component, instance: instance, metrics: metrics, logger: logger, patience: .standard)
    }

    package init(
        sink: any EventSink, component: String, instance: String, metrics: MetricsRegistry? = nil, logger: Logger,
        patience: Patience
    ) {
        self.sink = sink
        self.component = component
        self.instance = instance
        self.logger = logger
        self.patience = patience
        written = metrics?.counter(
            "event_recorder_written_total", help: "Events written, new or counted on an existing one.", labels: ["kind"]
        )
        dropped = metrics?.counter("event_recorder_dropped_total", help: "Events not written.", labels: ["cause"])
        for kind in ["new", "repeated"] { _ = written?[kind] }
        for cause in Dropped.allCases { _ = dropped?[cause.rawValue] }
        (stream, pending) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(Self.capacity))
    }

    private enum Dropped: String, CaseIterable {
        case queueFull = "queue_full"
        case spam
        case refused
        case unreachable
    }

    /// Records that something happened to `regarding`. Returns at once.
    ///
    /// - Parameters:
    ///   - reason: CamelCase, short and constant, because programs match on it.
    ///   - message: for people; cut after ``longestMessage`` bytes. Never a secret.
    ///   - regarding: with its uid, or `kubectl describe` does not find the Event.
    public func record(_ type: EventType, reason: String, _ message: String, regarding: ObjectReference) {
        let occurrence = EventCorrelator.Occurrence(
            type: type, reason: reason, message: Self.cut(message), regarding: regarding)
        switch pending.yield(Pending(occurrence: occurrence, at: .now, date: Date())) {
        case .dropped: drop(.queueFull, occurrence)
        case .enqueued, .terminated: break
        @unknown default: break
        }
    }

    /// Writes recorded occurrences until cancelled; those that still wait then get one second. Call it once.
    public func run() async {
        // A task of its own, so that cancelling the caller does not cut off the request in flight.
        let writer = Task {
            for await next in stream where !Task.isCancelled { await write(next) }
        }
        await withTaskCancellationHandler {
            await writer.value
        } onCancel: {
            pending.finish()
            Task { [patience] in
                try? await Task.sleep(for: patience.lastWords)
                writer.cancel()
            }
        }
    }

    // MARK: Inside

    private func write(_ next: Pending) async {
        let decision = correlator.withLock { $0.decide(next.occurrence, now: next.at) }
        switch decision {
        case .drop:
            drop(.spam, next.occurrence)
        case .create(let key, let message):
            await create(next, key: key, message: message)
        case .count(let key, let name, let count, let message):
            let repetition = EventRepetition(
                count: count, lastTimestamp: Timestamp(next.date), message: Self.cut(message))
            do {
                try await persist { [sink, namespace = namespace(of: next)] in
                    try await sink.count(namespace: namespace, name: name, repetition)
                }
                written?["repeated"].increment()
            } catch let error as KubernetesError where error.isNotFound {
                // The server deletes Events after an hour, or somebody deleted it.
                correlator.withLock { $0.forget(key) }
                await create(next, key: key, message: message)
            } catch {
                failed(error, next)
            }
        }
    }

    private func create(_ next: Pending, key: EventCorrelator.Key, message: String) async {
        let event = event(next, message: message)
        do {
            try await persist { [sink] in try await sink.create(event) }
            written?["new"].increment()
            correlator.withLock { $0.created(key, as: event.metadata.name ?? "") }
        } catch {
            correlator.withLock { $0.forget(key) }
            failed(error, next)
        }
    }

    /// Repeats a request while the server is away. A refusal is final.
    private func persist(_ request: @Sendable () async throws -> Void) async throws {
        var pause = patience.pause
        for attempt in 1... {
            do {
                return try await request()
            } catch {
                let isTransient = (error as? KubernetesError)?.isTransient ?? true
                guard isTransient, attempt < patience.attempts, !Task.isCancelled else { throw error }
            }
            try await Task.sleep(for: pause)
            pause = min(pause * 2, patience.longestPause)
        }
    }

    private func failed(_ error: any Error, _ next: Pending) {
        let isRefusal = (error as? KubernetesError).map { !$0.isTransient } ?? false
        drop(isRefusal ? .refused : .unreachable, next.occurrence, error)
    }

    private func drop(_ cause: Dropped, _ occurrence: EventCorrelator.Occurrence, _ error: (any Error)? = nil) {
        dropped?[cause.rawValue].increment()
        var details: Logger.Metadata = [
            "cause": "\(cause.rawValue)", "reason": "\(occurrence.reason)",
            "object": "\(occurrence.regarding.namespace ?? "")/\(occurrence.regarding.name ?? "")",
        ]
        if let error { details["error"] = "\(error)" }
        logger.debug("event not written", metadata: details)
    }

    private func namespace(of next: Pending) -> String {
        let namespace = next.occurrence.regarding.namespace ?? ""
        return namespace.isEmpty ? "default" : namespace
    }

    private func event(_ next: Pending, message: String) -> Event {
        let occurrence = next.occurrence
        let time = Timestamp(next.date)
        // A name is a DNS subdomain of at most 253 bytes, as the object's own name is.
        let suffix = String(UInt64.random(in: .min ... .max), radix: 16)
        let name = "\((occurrence.regarding.name ?? "event").prefix(230)).\(suffix)"
        return Event(
            metadata: ObjectMeta(name: name, namespace: namespace(of: next)), involvedObject: occurrence.regarding,
            reason: occurrence.reason,
            message: Self.cut(message), type: occurrence.type.rawValue, source: EventSource(component: component),
            firstTimestamp: time,
            lastTimestamp: time, count: 1, reportingComponent: component, reportingInstance: instance)
    }

    /// At most ``longestMessage`` bytes, in complete characters.
    static func cut(_ message: String) -> String {
        guard message.utf8.count > longestMessage else { return message }
        var kept = ""
        var bytes = 0
        for character in message {
            let size = String(character).utf8.count
            guard bytes + size <= longestMessage - 3 else { break }
            bytes += size
            kept.append(character)
        }
        return kept + "…"
    }
}
