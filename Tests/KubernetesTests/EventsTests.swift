import Kubernetes
import Logging
import Synchronization
import Testing

private let start = ContinuousClock.now
private func at(_ seconds: Double) -> ContinuousClock.Instant { start + .seconds(seconds) }

/// Another version each time: an object changes between its Events, and they are still of one object.
private let versions = Mutex(0)

private func object(_ name: String) -> ObjectReference {
    let version = versions.withLock { version in
        version += 1
        return version
    }
    return ObjectReference(apiVersion: "v1", kind: "Pod", namespace: "ns", name: name, uid: "uid-\(name)", resourceVersion: "\(version)")
}

private func occurrence(_ message: String, _ name: String = "a", reason: String = "R") -> EventCorrelator.Occurrence {
    .init(type: .warning, reason: reason, message: message, regarding: object(name))
}

extension EventCorrelator {
    /// Decides, and says yes to what is to be created.
    fileprivate mutating func happen(_ occurrence: Occurrence, _ seconds: Double) -> String {
        switch decide(occurrence, now: at(seconds)) {
        case .create(let key, let message):
            created(key, as: "event-\(message)")
            return "new \(message)"
        case .count(_, let name, let count, let message): return "\(count) \(name) \(message)"
        case .drop: return "drop"
        }
    }
}

@Suite struct EventCorrelatorTests {
    @Test func theSameThingAgainCountsOnTheEventThatIsThere() {
        var correlator = EventCorrelator()
        #expect(correlator.happen(occurrence("m"), 0) == "new m")
        #expect(correlator.happen(occurrence("m"), 1) == "2 event-m m")
        #expect(correlator.happen(occurrence("m"), 500) == "3 event-m m")
        #expect(correlator.happen(occurrence("m", "b"), 500) == "new m", "another object")
        #expect(correlator.happen(occurrence("m", reason: "S"), 500) == "new m", "another reason")
        #expect(correlator.happen(occurrence("m"), 500 + 601) == "new m", "longer ago than the window")
    }

    @Test func afterTenMessagesOfOneReasonFurtherOnesShareAnEvent() {
        var correlator = EventCorrelator()
        for n in 0..<10 { #expect(correlator.happen(occurrence("m\(n)"), 0) == "new m\(n)") }
        #expect(correlator.happen(occurrence("x"), 1) == "new (combined from similar events): x")
        #expect(correlator.happen(occurrence("y"), 2) == "2 event-(combined from similar events): x (combined from similar events): y")
        #expect(correlator.happen(occurrence("m3"), 3) == "2 event-m3 m3", "what has its own Event keeps it")
        #expect(correlator.happen(occurrence("z"), 700) == "new z", "quiet for ten minutes")
    }

    @Test func oneObjectCannotFloodTheServer() {
        var correlator = EventCorrelator()
        let passed = (0..<1000).filter { correlator.happen(occurrence("m"), Double($0) / 100) != "drop" }
        #expect(passed.count == 25)
        #expect(correlator.happen(occurrence("m", "b"), 10) != "drop", "others are not affected")
        #expect(correlator.happen(occurrence("m"), 315) != "drop", "one more every five minutes")
        #expect(correlator.happen(occurrence("m"), 316) == "drop")
    }

    @Test func anEventThatVanishedIsMadeAnew() {
        var correlator = EventCorrelator()
        _ = correlator.happen(occurrence("m"), 0)
        guard case .count(let key, _, _, _) = correlator.decide(occurrence("m"), now: at(1)) else {
            Issue.record("not counted")
            return
        }
        correlator.forget(key)
        #expect(correlator.happen(occurrence("m"), 2) == "new m")
    }

    @Test func aHundredThousandObjectsDoNotGrowItWithoutBound() {
        var correlator = EventCorrelator()
        for n in 0..<20_000 { _ = correlator.happen(occurrence("m", "pod-\(n)"), 0) }
        #expect(correlator.happen(occurrence("m", "pod-19999"), 1) == "2 event-m m", "the newest are kept")
        #expect(correlator.happen(occurrence("m", "pod-0"), 1) == "new m", "the oldest are forgotten")
    }
}

private final class Sink: EventSink {
    struct State {
        var events: [String: Event] = [:]
        var order: [String] = []
        var failures: [KubernetesError.Cause] = []
        var requests = 0
    }

    let state = Mutex(State())

    private func fail(_ state: inout State) throws {
        state.requests += 1
        if !state.failures.isEmpty { throw KubernetesError(state.failures.removeFirst(), verb: .create, resource: "events") }
    }

    func create(_ event: Event) async throws {
        try state.withLock { state in
            try fail(&state)
            state.events[event.metadata.name ?? ""] = event
            state.order.append(event.message ?? "")
        }
    }

    func count(namespace: String, name: String, _ repetition: EventRepetition) async throws {
        try state.withLock { state in
            try fail(&state)
            guard var event = state.events[name], event.metadata.namespace == namespace else {
                throw KubernetesError(.status(Status(reason: "NotFound", code: 404)), verb: .patch, resource: "events")
            }
            event.count = repetition.count
            event.lastTimestamp = repetition.lastTimestamp
            event.message = repetition.message
            state.events[name] = event
        }
    }
}

@Suite struct EventRecorderTests {
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    private let sink = Sink()
    private let metrics = MetricsRegistry()

    private func recorder() -> EventRecorder {
        EventRecorder(
            sink: sink, component: "operator", instance: "pod-1", metrics: metrics, logger: logger,
            patience: .init(attempts: 3, pause: .milliseconds(1), longestPause: .milliseconds(2), lastWords: .seconds(30)))
    }

    /// Runs the recorder until `isDone`.
    private func run(_ recorder: EventRecorder, until isDone: @escaping @Sendable (Sink.State) -> Bool) async {
        let run = Task { await recorder.run() }
        while !sink.state.withLock({ isDone($0) }) { try? await Task.sleep(for: .milliseconds(2)) }
        run.cancel()
        await run.value
    }

    private func dropped(_ cause: String) -> Double {
        metrics.counter("event_recorder_dropped_total", help: "Events not written.", labels: ["cause"])[cause].value
    }

    @Test(.timeLimit(.minutes(1))) func anEventHasWhatKubectlDescribeShows() async throws {
        let recorder = recorder()
        recorder.record(.warning, reason: "Broken", "it broke", regarding: object("web"))
        recorder.record(.warning, reason: "Broken", "it broke", regarding: object("web"))
        await run(recorder) { $0.requests == 2 }
        let events = sink.state.withLock { $0.events }
        let event = try #require(events.values.first)
        #expect(events.count == 1)
        #expect(event.metadata.namespace == "ns")
        #expect(event.metadata.name?.hasPrefix("web.") == true)
        #expect(event.involvedObject.uid == "uid-web")
        #expect(event.type == "Warning" && event.reason == "Broken" && event.message == "it broke")
        #expect(event.source?.component == "operator" && event.reportingInstance == "pod-1")
        #expect(event.count == 2)
        #expect(event.firstTimestamp != nil && event.lastTimestamp != nil)
    }

    @Test(.timeLimit(.minutes(1))) func aServerThatIsAwayForAWhileLosesNothingAndTheOrderStays() async {
        sink.state.withLock { $0.failures = [.connection("refused"), .status(Status(code: 503))] }
        let recorder = recorder()
        for n in 0..<5 { recorder.record(.normal, reason: "R", "m\(n)", regarding: object("a")) }
        await run(recorder) { $0.order.count == 5 }
        #expect(sink.state.withLock { $0.order } == ["m0", "m1", "m2", "m3", "m4"])
    }

    @Test(.timeLimit(.minutes(1))) func whatCannotBeWrittenIsDroppedAndCounted() async {
        sink.state.withLock {
            $0.failures = [.status(Status(reason: "Forbidden", code: 403)), .timeout(.seconds(1)), .timeout(.seconds(1)), .timeout(.seconds(1))]
        }
        let recorder = recorder()
        for n in 0..<3 { recorder.record(.normal, reason: "R", "m\(n)", regarding: object("a")) }
        await run(recorder) { $0.order == ["m2"] }
        #expect(dropped("refused") == 1)
        #expect(dropped("unreachable") == 1)
        #expect(dropped("spam") == 0)
    }

    @Test(.timeLimit(.minutes(1))) func recordingNeverWaitsEvenWhenNobodyWrites() async {
        let recorder = recorder()
        for n in 0..<3000 { recorder.record(.normal, reason: "R", "m", regarding: object("pod-\(n)")) }
        #expect(dropped("queue_full") == 2000)
    }

    @Test(.timeLimit(.minutes(1))) func longMessagesAreCutBetweenCharactersAndClusterScopedObjectsUseDefault() async throws {
        let recorder = recorder()
        recorder.record(
            .normal, reason: "R", String(repeating: "\u{e9}", count: 2000),
            regarding: ObjectReference(apiVersion: "v1", kind: "Node", name: String(repeating: "n", count: 253)))
        await run(recorder) { $0.order.count == 1 }
        let event = try #require(sink.state.withLock { $0.events.values.first })
        let message = try #require(event.message)
        #expect(message.utf8.count <= 1024 && message.utf8.count > 1018)
        #expect(message.hasSuffix("\u{e9}…"))
        #expect(event.metadata.namespace == "default")
        #expect((event.metadata.name ?? "").utf8.count <= 253)
    }

    @Test(.timeLimit(.minutes(1))) func lastWordsAreWrittenWhenTheProcessEnds() async {
        let recorder = recorder()
        let run = Task { await recorder.run() }
        try? await Task.sleep(for: .milliseconds(20))
        for n in 0..<5 { recorder.record(.normal, reason: "R", "m\(n)", regarding: object("a")) }
        run.cancel()
        await run.value
        #expect(sink.state.withLock { $0.order.count } == 5)
    }
}
