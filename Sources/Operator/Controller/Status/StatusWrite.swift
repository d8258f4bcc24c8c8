public import CRD

/// Whether a status is worth a write.
///
/// What programs act on is written at once. Counts and percentages wait until two seconds after the last write, bytes that
/// moved without changing either wait a minute, and a rate alone is no reason: a thousand nodes that warm cost half a write a
/// second, and an idle ModelCache none.
public enum StatusWrite: Sendable, Equatable {
    case none
    case now
    case at(WallTime)

    static let progressInterval: Duration = .seconds(2)
    static let trafficInterval: Duration = .seconds(60)

    public static func decide(
        from old: ModelCacheStatus?, to new: ModelCacheStatus, lastWrite: WallTime?, now: WallTime
    ) -> StatusWrite {
        guard let old else { return .now }
        if old == new { return .none }
        if old.urgentPart != new.urgentPart { return .now }
        func after(_ interval: Duration) -> StatusWrite {
            guard let lastWrite, now >= lastWrite, now - lastWrite < interval else { return .now }
            return .at(lastWrite + interval)
        }
        if old.countedPart != new.countedPart { return after(progressInterval) }
        if old.traffic != new.traffic { return after(trafficInterval) }
        return .none
    }
}

extension ModelCacheStatus {
    private struct Facts: Equatable {
        var generation: Int64?
        var phase: Phase?
        var source: SourceStatus?
        var seeders: [String]
        var conditions: [[String]]
        var desired: Int?
    }

    /// What programs and people wait for.
    fileprivate var urgentPart: some Equatable {
        Facts(
            generation: observedGeneration, phase: phase, source: source, seeders: seeders,
            conditions: conditions.map { [$0.type, $0.status.rawValue, $0.reason, String($0.observedGeneration ?? 0)] },
            desired: nodes?.desired)
    }

    private struct Counts: Equatable {
        var nodes: NodesStatus?
        var percent: Int?
        var messages: [String]
    }

    fileprivate var countedPart: some Equatable {
        var nodes = nodes
        for index in (nodes?.details ?? []).indices { nodes?.details[index].percent = 0 }
        return Counts(nodes: nodes, percent: progress?.percent, messages: conditions.map(\.message))
    }
}
