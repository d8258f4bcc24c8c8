package import AgentAPI
package import Transfer

/// The moment at which a caller asked for a model.
package struct ReaderArrival: Sendable {
    /// Milliseconds since 1970 by the node's clock, for those who have no other common time.
    package var milliseconds: Int64
    /// All later times are measured from it.
    package var instant: ContinuousClock.Instant

    package init(milliseconds: Int64, instant: ContinuousClock.Instant) {
        self.milliseconds = milliseconds
        self.instant = instant
    }
}

/// The bytes that a model's fills have brought by one moment, and the waits of its readers. Counters only grow. To read
/// them costs no look at the files.
package struct ReaderSupply: Sendable, Equatable {
    package var storeBytes: Int64
    package var peerBytes: Int64
    /// From other caches of this node.
    package var copiedBytes: Int64
    /// Of all readers of the model.
    package var waits: DemandWaits
    /// The cause of a wait in which nothing that is missing is demanded from the fill.
    package var idleCause: DemandWait

    package init(
        storeBytes: Int64 = 0, peerBytes: Int64 = 0, copiedBytes: Int64 = 0, waits: DemandWaits = DemandWaits(),
        idleCause: DemandWait = .check
    ) {
        self.storeBytes = storeBytes
        self.peerBytes = peerBytes
        self.copiedBytes = copiedBytes
        self.waits = waits
        self.idleCause = idleCause
    }

    /// Where most bytes came from since `former`.
    fileprivate func mainCause(since former: ReaderSupply) -> DemandWait {
        let (store, peers, copied) = (
            storeBytes - former.storeBytes, peerBytes - former.peerBytes, copiedBytes - former.copiedBytes
        )
        if copied > max(store, peers) { return .copy }
        return peers > store ? .peers : .store
    }
}

/// A model at one moment.
package struct ReaderProgress: Sendable, Equatable {
    package var totalBytes: Int64
    package var presentBytes: Int64
    package var isComplete: Bool
    package var supply: ReaderSupply

    package init(totalBytes: Int64, presentBytes: Int64, isComplete: Bool, supply: ReaderSupply) {
        self.totalBytes = totalBytes
        self.presentBytes = presentBytes
        self.isComplete = isComplete
        self.supply = supply
    }
}

/// The times, bytes and waits of one pod's start with one model. A pure value: events with their time in, a
/// ``ReaderStart`` out.
///
/// **Guarantees.** Times ascend: opened, admitted, answered, first byte, complete. A wait counts once however many
/// threads wait, and the causes of a wait add up to it. Bytes are those from the answer until the model was complete.
package struct ReaderTimes: Sendable {
    package typealias Instant = ContinuousClock.Instant

    private let pod: CallerPod
    private let arrival: ReaderArrival
    private var admitted: Instant?
    private var answered: Instant?
    private var firstByte: Instant?
    private var complete: Instant?
    private var ended: Instant?
    /// At the answer.
    private var before: ReaderProgress?
    /// At completion.
    private var after: ReaderProgress?
    /// The wait that goes on.
    private var wait: (since: Instant, at: ReaderSupply)?
    private var waits = DemandWaits()

    package init(_ pod: CallerPod, _ arrival: ReaderArrival) {
        self.pod = pod
        self.arrival = arrival
    }

    /// Whether the agent ever told the pod where the model is.
    package var wasAnswered: Bool { answered != nil }
    package var isComplete: Bool { complete != nil }
    package var endedAt: Instant? { ended }
    package var openedAt: Instant { arrival.instant }

    // MARK: Events

    /// The first counts: a pod whose opening fails asks again.
    package mutating func isAdmitted(_ now: Instant) { admitted = admitted ?? now }

    package mutating func opensAgain() { ended = nil }

    package mutating func isAnswered(_ progress: ReaderProgress, _ now: Instant) {
        guard answered == nil else { return }
        answered = now
        before = progress
        guard progress.isComplete else { return }
        firstByte = now
        completes(progress, now)
    }

    /// Some bytes that the pod asks for are missing.
    package mutating func waits(_ supply: ReaderSupply, _ now: Instant) {
        if wait == nil { wait = (now, supply) }
    }

    /// Bytes that the pod waited for have come.
    package mutating func isServed(_ now: Instant) { firstByte = firstByte ?? now }

    /// Nothing that the pod asked for is missing any more.
    package mutating func waitsNoMore(_ supply: ReaderSupply, _ now: Instant) {
        waits = waits(until: supply, now)
        wait = nil
    }

    package mutating func completes(_ progress: ReaderProgress, _ now: Instant) {
        guard complete == nil else { return }
        complete = now
        after = progress
    }

    /// No process of the pod has the model open, or asks for it.
    package mutating func ends(_ now: Instant) { ended = now }

    // MARK: Report

    private func waits(until supply: ReaderSupply, _ now: Instant) -> DemandWaits {
        guard let wait else { return waits }
        return waits
            + .shares(
                of: wait.since.duration(to: now), sampled: supply.waits - wait.at.waits,
                unsampled: supply.mainCause(since: wait.at), rest: supply.idleCause)
    }

    /// - Parameter progress: of now; nil: the model is not known any more.
    package func start(_ progress: ReaderProgress?, _ now: Instant) -> ReaderStart {
        func span(_ moment: Instant?) -> Int64? { moment.map { Self.milliseconds(arrival.instant.duration(to: $0)) } }
        var start = ReaderStart(
            pod: pod.name, podUID: pod.uid, openedAt: arrival.milliseconds, observedMilliseconds: span(now) ?? 0)
        start.admittedMilliseconds = span(admitted)
        start.answeredMilliseconds = span(answered)
        start.firstByteMilliseconds = span(firstByte)
        start.completeMilliseconds = span(complete)
        start.endedMilliseconds = span(ended)
        if let before {
            let last = after ?? progress ?? before
            start.totalBytes = last.totalBytes
            start.cacheBytes = before.presentBytes
            start.storeBytes = max(0, last.supply.storeBytes - before.supply.storeBytes)
            start.peerBytes = max(0, last.supply.peerBytes - before.supply.peerBytes)
            start.copiedBytes = max(0, last.supply.copiedBytes - before.supply.copiedBytes)
        }
        start.waitMilliseconds = waitMilliseconds(progress, now)
        return start
    }

    private func waitMilliseconds(_ progress: ReaderProgress?, _ now: Instant) -> [String: Int64] {
        let waits = progress.map { self.waits(until: $0.supply, now) } ?? self.waits
        var all = Dictionary(uniqueKeysWithValues: DemandWait.allCases.map { ($0.rawValue, waits[$0]) })
        let end = ended ?? now
        all["keys"] = arrival.instant.duration(to: admitted ?? end)
        if let admitted { all["opening"] = admitted.duration(to: answered ?? end) }
        return all.mapValues(Self.milliseconds).filter { $0.value > 0 }
    }

    private static func milliseconds(_ span: Duration) -> Int64 {
        let parts = span.components
        return max(0, parts.seconds * 1000 + parts.attoseconds / 1_000_000_000_000_000)
    }
}
