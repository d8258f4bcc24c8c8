/// Decides which ModelCaches' agents are asked about starts, and when: a pure value.
///
/// Each question goes to agents too and may take as long as a silent one is waited for. Questions go side by side, and
/// the page shows what was answered last, so that neither another ModelCache nor another view waits.
package struct StartQuestions: Sendable {
    /// Questions under way.
    package static let most = 8
    /// From an answer to the next question.
    package static let interval: Duration = .seconds(5)

    private var answered: [String: ContinuousClock.Instant] = [:]
    private var underWay: Set<String> = []

    package init() {}

    /// These ModelCaches, by uid, are shown. Others are forgotten.
    ///
    /// - Returns: those to ask now, each once until ``isAnswered(_:now:)``: the ones that wait longest first.
    package mutating func shown(_ uids: Set<String>, now: ContinuousClock.Instant) -> [String] {
        answered = answered.filter { uids.contains($0.key) }
        let due = uids.filter { uid in
            !underWay.contains(uid) && answered[uid].map { $0.duration(to: now) >= Self.interval } ?? true
        }
        // One that was never asked waits longest.
        let order = due.sorted { left, right in
            switch (answered[left], answered[right]) {
            case (nil, nil): left < right
            case (nil, _?): true
            case (_?, nil): false
            case (let left?, let right?): left < right
            }
        }
        let next = Array(order.prefix(Self.most - underWay.count))
        underWay.formUnion(next)
        return next
    }

    /// Also where no agent told anything.
    package mutating func isAnswered(_ uid: String, now: ContinuousClock.Instant) {
        underWay.remove(uid)
        answered[uid] = now
    }
}
