/// The units of a copy that have stood still for long, because the other cache's disk hangs. A pure value: looks with
/// their time in, units out.
package struct CopySilence: Sendable {
    package typealias Instant = ContinuousClock.Instant

    /// A disk that is merely slow brings 2 MiB in this time.
    package static let longest: Duration = .seconds(5)

    private var seen: [CopyPlan.Unit: (steps: Int, since: Instant)] = [:]

    package init() {}

    /// - Parameter steps: of each unit under way, how often it has gone on.
    /// - Returns: the units that have not gone on for ``longest``, ascending.
    package mutating func look(_ steps: [CopyPlan.Unit: Int], now: Instant) -> [CopyPlan.Unit] {
        seen = steps.reduce(into: [:]) { next, unit in
            let former = seen[unit.key]
            next[unit.key] = former?.steps == unit.value ? former : (unit.value, now)
        }
        return seen.filter { $0.value.since.duration(to: now) >= Self.longest }.keys.sorted {
            ($0.file, $0.chunks.lowerBound) < ($1.file, $1.chunks.lowerBound)
        }
    }
}
