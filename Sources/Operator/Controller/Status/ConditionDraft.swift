internal import CRD

/// A condition before it is compared with the one that stands.
struct ConditionDraft: Equatable {
    var type: ConditionType
    var status: Condition.Status
    var reason: ConditionReason
    var message: String

    init(_ type: ConditionType, _ status: Condition.Status, _ reason: ConditionReason, _ message: String) {
        self.type = type
        self.status = status
        self.reason = reason
        self.message = message
    }

    /// The longest message that `metav1.Condition` allows is 32768 characters; nobody reads so many.
    private static let longestMessage = 1024

    /// `lastTransitionTime` moves with the status alone.
    func condition(after before: Condition?, generation: Int64, now: WallTime) -> Condition {
        Condition(
            type: type, status: status, observedGeneration: generation,
            lastTransitionTime: before.flatMap { $0.status == status && !$0.lastTransitionTime.isEmpty ? $0.lastTransitionTime : nil }
                ?? now.timestamp.description,
            // Kubernetes 1.20 takes an empty text for null and refuses the whole status.
            reason: reason, message: message.isEmpty ? reason.rawValue : Words.line(message, limit: Self.longestMessage))
    }
}

extension Picture {
    /// Every condition that can be told now.
    var conditions: [ConditionDraft] {
        var drafts = [readyCondition, sourceCondition, progressCondition]
        if facts != nil { drafts += [degradedCondition, capacityCondition] }
        return drafts
    }

    private var isAllReady: Bool { ready.count == desired.count && (!desired.isEmpty || (!isEager && seedersWanted == 0)) }

    private var sourceCondition: ConditionDraft {
        switch source {
        case .resolved:
            let size = facts.map { "\(Words.count($0.files, "file")), \(Words.bytes($0.totalBytes))" } ?? ""
            return ConditionDraft(.sourceResolved, .true, .resolved, size)
        case .resolving: return ConditionDraft(.sourceResolved, .unknown, .resolving, "the source is being listed")
        case .waitingForNodes:
            return ConditionDraft(
                .sourceResolved, .unknown, .noMatchingNodes,
                "the spec names neither endpoint nor region, and no node matches spec.placement that could give one; set "
                    + "spec.source.region in a new ModelCache, or let a node match")
        case .failed(let failure):
            return ConditionDraft(.sourceResolved, .false, ConditionReason(failure.reason), failure.message)
        }
    }

    private var readyCondition: ConditionDraft {
        func not(_ reason: ConditionReason, _ message: String) -> ConditionDraft { ConditionDraft(.ready, .false, reason, message) }
        let counted = "\(ready.count) of \(Words.count(desired.count, "node")) \(ready.count == 1 ? "has" : "have") the model"
        switch ending {
        case .inUse(let users):
            let who = users.prefix(3).map { "\($0.node) (\(Words.count($0.users, "reader")))" }.joined(separator: ", ")
            return not(.inUse, "the model is in use on \(who)\(users.count > 3 ? " and \(users.count - 3) more" : ""); "
                + "running pods keep their bytes, and the copies go when they end")
        case .evicting(let waiting, let refusing) where !refusing.isEmpty:
            let told = refusing.prefix(3).map { "\($0.node): \($0.message)" }.joined(separator: "; ")
            return not(.evictionRefused, "\(told)\(refusing.count > 3 ? "; and \(refusing.count - 3) more" : "")"
                + (waiting.isEmpty ? "" : "; no answer yet from \(Words.list(waiting))")
                + ". They are asked again for two minutes, then the ModelCache goes and their copies may be left; see the agents' logs")
        case .evicting(let waiting, _):
            return not(.evicting, waiting.isEmpty
                ? "the copies are being removed" : "waiting for the agents on \(Words.list(waiting)) to remove their copies")
        case nil: break
        }
        if case .failed(let failure) = source, facts == nil || failure.reason.isOfSpec {
            return not(ConditionReason(failure.reason), failure.message)
        }
        if case .resolving = source { return not(.resolving, "the source is being listed") }
        if case .waitingForNodes = source { return not(.noMatchingNodes, noMatchMessage) }
        if isAllReady {
            return ConditionDraft(
                .ready, .true, .allNodesReady,
                desired.isEmpty ? "nodes fill when their pods read" : counted)
        }
        if isSuspended { return not(.suspended, "\(counted); spec.suspend is set, nothing new is warmed") }
        if candidates == 0 { return not(.noMatchingNodes, noMatchMessage) }
        if let refusal { return not(.namespaceForbidsWarmup, refusal) }
        if warming.isEmpty, callersUnknown != nil { return not(.tokenKeysUnknown, "\(counted); \(callersMessage)") }
        if !warming.isEmpty || !queued.isEmpty { return not(.warming, counted) }
        if !waitingForAgent.isEmpty { return not(.waitingForAgents, "\(counted); \(agentsMessage)") }
        if !failures.isEmpty { return not(.nodesFailed, "\(counted); \(failureMessage)") }
        if !shortages.isEmpty { return not(.insufficientCapacity, "\(counted); \(shortageMessage)") }
        return not(.agentUnreachable, "\(counted); \(unreachableMessage)")
    }

    private var progressCondition: ConditionDraft {
        func standing(_ reason: ConditionReason, _ message: String) -> ConditionDraft {
            ConditionDraft(.progressing, .false, reason, message)
        }
        if ending != nil { return ConditionDraft(.progressing, .true, .evicting, "the ModelCache is being deleted") }
        switch source {
        case .resolving: return ConditionDraft(.progressing, .true, .resolving, "the source is being listed")
        case .waitingForNodes: return standing(.noMatchingNodes, noMatchMessage)
        case .failed(let failure) where facts == nil || failure.reason.isOfSpec:
            return standing(ConditionReason(failure.reason), "nothing new is warmed before the source is settled")
        default: break
        }
        if isSuspended { return standing(.suspended, "spec.suspend is set; what is cached stays and is served") }
        if isAllReady { return standing(.complete, "every node that should have the model has it") }
        if candidates == 0 { return standing(.noMatchingNodes, noMatchMessage) }
        if warming.isEmpty, callersUnknown != nil { return standing(.tokenKeysUnknown, callersMessage) }
        if !warming.isEmpty || !queued.isEmpty {
            var message = Words.count(warming.count, "node") + " warming"
            if !queued.isEmpty { message += ", \(queued.count) to come" }
            if !waitingForAgent.isEmpty { message += "; \(agentsMessage)" }
            return ConditionDraft(.progressing, .true, .warming, message)
        }
        if !waitingForAgent.isEmpty { return standing(.waitingForAgents, agentsMessage) }
        if !failures.isEmpty { return standing(.nodesFailed, "the nodes that are left have failed") }
        if !shortages.isEmpty { return standing(.insufficientCapacity, "the nodes that are left lack room") }
        return standing(.agentUnreachable, unreachableMessage)
    }

    private var degradedCondition: ConditionDraft {
        if let refusal { return ConditionDraft(.degraded, .true, .namespaceForbidsWarmup, refusal) }
        if let first = failures.first {
            let shared = failures.allSatisfy { $0.reason == first.reason } ? ConditionReason(rawValue: first.reason) : nil
            return ConditionDraft(.degraded, .true, shared ?? .nodesFailed, failureMessage)
        }
        if !unreachable.isEmpty { return ConditionDraft(.degraded, .true, .agentUnreachable, unreachableMessage) }
        return ConditionDraft(.degraded, .false, .allHealthy, "no node has failed")
    }

    private var capacityCondition: ConditionDraft {
        shortages.isEmpty
            ? ConditionDraft(.capacityExceeded, .false, .sufficientCapacity, "every node has room for the model")
            : ConditionDraft(.capacityExceeded, .true, .insufficientCapacity, shortageMessage)
    }

    private var noMatchMessage: String {
        "no ready node matches spec.placement; label nodes accordingly or widen nodeSelector, affinity or tolerations"
    }
    private var callersMessage: String {
        "the cluster's token keys cannot be read, so no agent could tell who asks for the model: \(callersUnknown ?? "unknown"); "
            + "see the operator's log and its rights"
    }
    private var agentsMessage: String {
        "no agent answers on \(Words.list(waitingForAgent)); see the pods of the DaemonSet modelcache-agent there"
    }
    private var unreachableMessage: String {
        "the \(unreachable.count == 1 ? "agent" : "agents") on \(Words.list(unreachable)) cannot be asked: "
            + (unreachableWhy ?? "no answer")
    }
    private var failureMessage: String {
        let told = failures.prefix(3).map { "\($0.node): \($0.message)" }.joined(separator: "; ")
        return told + (failures.count > 3 ? "; and \(failures.count - 3) more" : "")
            + ". Tried again when the spec, the Secret or the agent changes, else later"
    }
    private var shortageMessage: String {
        let told = shortages.prefix(3).map {
            "\($0.node) needs \(Words.bytes($0.needed)) and has \(Words.bytes($0.free)) free"
        }.joined(separator: "; ")
        return told + (shortages.count > 3 ? "; and \(shortages.count - 3) more" : "")
            + ". Raise the agents' budget, delete a ModelCache, or choose other nodes"
    }

    /// One word for people.
    var phase: Phase {
        if ending != nil { return .terminating }
        switch source {
        case .failed(let failure):
            if failure.reason.isOfSpec { return .failed }
            if facts == nil { return failure.reason.mayPass ? .resolving : .failed }
        case .resolving: return .resolving
        case .waitingForNodes: return .pending
        case .resolved: break
        }
        if isSuspended { return .suspended }
        if isAllReady { return .ready }
        if !failures.isEmpty || !unreachable.isEmpty || refusal != nil { return .degraded }
        if !warming.isEmpty || !queued.isEmpty { return .warming }
        return shortages.isEmpty ? .pending : .degraded
    }
}

extension ConditionReason {
    init(_ reason: SourceFailure.Reason) { self = ConditionReason(rawValue: reason.rawValue) ?? .storeError }
}
