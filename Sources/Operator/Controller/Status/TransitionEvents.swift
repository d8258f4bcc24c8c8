public import CRD

/// An Event to be raised about a ModelCache, or about a pod that waits for it.
public struct PlannedEvent: Sendable, Equatable {
    public var isWarning: Bool
    public var reason: String
    public var message: String
    /// Nil: about the ModelCache.
    public var pod: WaitingPod?

    public init(isWarning: Bool, reason: String, message: String, pod: WaitingPod? = nil) {
        self.isWarning = isWarning
        self.reason = reason
        self.message = message
        self.pod = pod
    }
}

/// The differences between two statuses that are worth an Event. Since the old one is read from the API, a restarted
/// operator does not say again what was said.
public enum TransitionEvents {
    /// More failures at once are told by the condition.
    private static let mostNodeEvents = 10

    public static func between(
        _ old: ModelCacheStatus?, _ new: ModelCacheStatus, picture: Picture, announced: inout Set<String>
    ) -> [PlannedEvent] {
        var events: [PlannedEvent] = []
        func say(_ isWarning: Bool, _ reason: String, _ message: String) {
            events.append(PlannedEvent(isWarning: isWarning, reason: reason, message: message))
        }
        for condition in new.conditions {
            let before = old?.conditions.first { $0.type == condition.type }
            guard before?.status != condition.status || before?.reason != condition.reason else { continue }
            switch (ConditionType(rawValue: condition.type), condition.status) {
            case (.sourceResolved, .true): say(false, condition.reason, condition.message)
            case (.sourceResolved, .false): say(true, condition.reason, condition.message)
            case (.ready, .true): say(false, condition.reason, condition.message)
            case (.ready, .false)
            where before?.status == .true || condition.reason == ConditionReason.inUse.rawValue
                || condition.reason == ConditionReason.evictionRefused.rawValue:
                // The source's own condition has its Event, and a node that joins is none.
                if condition.reason != ConditionReason.warming.rawValue,
                    new.condition(.sourceResolved)?.reason != condition.reason
                {
                    say(
                        condition.reason != ConditionReason.evicting.rawValue
                            && condition.reason != ConditionReason.suspended.rawValue,
                        condition.reason, condition.message)
                }
            // Capacity has its own condition and Event.
            case (.degraded, .true) where condition.reason == ConditionReason.insufficientCapacity.rawValue: break
            case (.degraded, .true), (.capacityExceeded, .true), (.sourceChanged, .true):
                say(true, condition.reason, condition.message)
            case (.progressing, .false):
                switch ConditionReason(rawValue: condition.reason) {
                case .waitingForAgents, .noMatchingNodes: say(true, condition.reason, condition.message)
                case .suspended where before?.status != nil: say(false, condition.reason, condition.message)
                default: break
                }
            default: break
            }
        }
        let failedBefore = Set((old?.nodes?.details ?? []).filter { $0.state == .failed }.map(\.name))
        announced.formIntersection(picture.failures.map(\.node))
        let fresh = picture.failures.filter { !announced.contains($0.node) && !failedBefore.contains($0.node) }
        for failure in fresh.prefix(mostNodeEvents) { say(true, "WarmupFailed", "\(failure.node): \(failure.message)") }
        announced.formUnion(picture.failures.map(\.node))
        if let old, !old.seeders.isEmpty, picture.ending == nil {
            let gone = old.seeders.filter { !new.seeders.contains($0) }
            let come = new.seeders.filter { !old.seeders.contains($0) }
            if !gone.isEmpty, !come.isEmpty {
                say(false, "SeederReplaced", "\(Words.list(come)) in place of \(Words.list(gone))")
            }
        }
        return events
    }
}
