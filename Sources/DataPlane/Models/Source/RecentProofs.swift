/// Callers to whom the store showed a source a moment ago: one listing serves those that follow at once, such as the
/// second connection of a reader, or the next command of a shell pipeline.
package struct RecentProofs: Sendable {
    private struct Proof {
        let name: ModelName
        let caller: CallerProof
        let time: ContinuousClock.Instant
    }

    /// Semantics, clause 11.
    package static let lifetime: Duration = .seconds(2)
    /// More come and go within the lifetime only in a flood, which then lists anew.
    package static let limit = 1024
    /// Oldest first.
    private var proofs: [Proof] = []

    package init() {}

    package mutating func add(_ caller: CallerProof, _ name: ModelName, now: ContinuousClock.Instant = .now) {
        proofs.removeAll { $0.time.duration(to: now) >= Self.lifetime || ($0.name == name && $0.caller == caller) }
        proofs.append(Proof(name: name, caller: caller, time: now))
        if proofs.count > Self.limit { proofs.removeFirst() }
    }

    package func contains(_ caller: CallerProof, _ name: ModelName, now: ContinuousClock.Instant = .now) -> Bool {
        proofs.contains { $0.name == name && $0.caller == caller && $0.time.duration(to: now) < Self.lifetime }
    }

    package mutating func forget(_ name: ModelName) { proofs.removeAll { $0.name == name } }

    package var count: Int { proofs.count }
}
