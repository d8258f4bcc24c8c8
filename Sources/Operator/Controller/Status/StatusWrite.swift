public import CRD

/// Whether a status is worth a write.
///
/// The operator writes at once the fields that a person's edit asks for, and those that must be on record before
/// anything is fetched. Other things that programs act on wait 300 ms for what comes with them: a node that joins is a
/// Job, a report and three conditions, and Jobs go before words. Counts and percentages wait until two seconds after
/// the last write, bytes that moved without changing either wait a minute, and a rate alone is no reason: a thousand
/// nodes that warm cost half a write a second, and an idle ModelCache none.
public enum StatusWrite: Sendable, Equatable {
    case none
    case now
    case at(WallTime)

    static let settlingInterval: Duration = .milliseconds(300)
    static let progressInterval: Duration = .seconds(2)
    static let trafficInterval: Duration = .seconds(60)

    /// - Parameter memory: keeps since when something waits; ``written(at:memory:)`` clears it.
    public static func decide(
        from old: ModelCacheStatus?, to new: ModelCacheStatus, memory: inout Memory, now: WallTime
    ) -> StatusWrite {
        guard let old else { return .now }
        if old != new {
            if old.pressingPart != new.pressingPart { return .now }
            if old.urgentPart != new.urgentPart {
                // The first of a burst sets the time: more of it does not put the write off.
                let since = memory.statusHeldSince ?? now
                memory.statusHeldSince = since
                let due = since + settlingInterval
                return due <= now ? .now : .at(due)
            }
        }
        memory.statusHeldSince = nil
        if old == new { return .none }
        func after(_ interval: Duration) -> StatusWrite {
            guard let lastWrite = memory.statusWrittenAt, now >= lastWrite, now - lastWrite < interval else {
                return .now
            }
            return .at(lastWrite + interval)
        }
        if old.countedPart != new.countedPart { return after(progressInterval) }
        if old.traffic != new.traffic { return after(trafficInterval) }
        return .none
    }

    public static func written(at now: WallTime, memory: inout Memory) {
        memory.statusWrittenAt = now
        memory.statusHeldSince = nil
    }
}

extension ModelCacheStatus {
    private struct Pressing: Equatable {
        var generation: Int64?
        var source: SourceStatus?
        var medium: Cache.Medium?
    }

    /// The fields that a person waits for, and those that must be on record first.
    fileprivate var pressingPart: some Equatable {
        Pressing(generation: observedGeneration, source: source, medium: medium)
    }

    private struct Facts: Equatable {
        var phase: Phase?
        var seeders: [String]
        var conditions: [[String]]
        var desired: Int?
    }

    /// The fields that programs and people wait for.
    fileprivate var urgentPart: some Equatable {
        Facts(
            phase: phase, seeders: seeders,
            conditions: conditions.map {
                [$0.type, $0.status.rawValue, $0.reason, String($0.observedGeneration ?? 0)]
            },
            desired: nodes?.desired)
    }

    private struct Counts: Equatable {
        var nodes: NodesStatus?
        var percent: Int?
        var messages: [String]
        var copies: [String]?
        var departed: DepartedNodes?
    }

    fileprivate var countedPart: some Equatable {
        var nodes = nodes
        for index in (nodes?.details ?? []).indices { nodes?.details[index].percent = 0 }
        return Counts(
            nodes: nodes, percent: progress?.percent, messages: conditions.map(\.message), copies: copies,
            departed: departed)
    }
}
