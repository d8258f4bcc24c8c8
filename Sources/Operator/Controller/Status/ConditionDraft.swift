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
            lastTransitionTime: before.flatMap {
                $0.status == status && !$0.lastTransitionTime.isEmpty ? $0.lastTransitionTime : nil
            }
                ?? now.timestamp.description,
            // Kubernetes 1.20 takes an empty text for null and refuses the whole status.
            reason: reason, message: message.isEmpty ? reason.rawValue : Words.line(message, limit: Self.longestMessage)
        )
    }
}

extension Picture {
    /// Every condition that can be told now.
    var conditions: [ConditionDraft] {
        var drafts = [readyCondition, sourceCondition, progressCondition]
        if facts != nil { drafts += [degradedCondition, capacityCondition] }
        if let change { drafts.append(ConditionDraft(.sourceChanged, .true, .objectsChanged, change.message)) }
        return drafts
    }

    private var isAllReady: Bool {
        ready.count == desired.count && (!desired.isEmpty || (!isEager && seedersWanted == 0 && quotaExcess == nil))
    }

    /// Whether nothing that nodes hold counts while the source fails so.
    private func isDecisive(_ failure: SourceFailure) -> Bool {
        facts == nil || failure.reason.isOfSpec || isExcluded
    }

    private var sourceCondition: ConditionDraft {
        switch source {
        case .resolved:
            let size = facts.map { "\(Words.count($0.files, "file")), \(Words.bytes($0.totalBytes))" } ?? ""
            return ConditionDraft(
                .sourceResolved, .true, .resolved,
                [size, reader, facts?.leftOut ?? ""].filter { !$0.isEmpty }.joined(separator: "; "))
        case .resolving: return ConditionDraft(.sourceResolved, .unknown, .resolving, resolvingMessage)
        case .waitingForNodes:
            return ConditionDraft(
                .sourceResolved, .unknown, .noMatchingNodes,
                "the spec names neither endpoint nor region, and no node matches spec.placement that could give one; set "
                    + "spec.source.region, or let a node match")
        case .failed(let failure):
            return ConditionDraft(.sourceResolved, .false, ConditionReason(failure.reason), failure.message)
        }
    }

    private var readyCondition: ConditionDraft {
        func not(_ reason: ConditionReason, _ message: String) -> ConditionDraft {
            ConditionDraft(.ready, .false, reason, message)
        }
        let counted =
            "\(ready.count) of \(Words.count(desired.count, "node")) \(ready.count == 1 ? "has" : "have") the model"
        switch ending {
        case .inUse(let users):
            let readers = Words.list(users.map { "\($0.node) (\(Words.count($0.users, "reader")))" })
            return not(
                .inUse,
                "the model is in use on \(readers); running pods keep their bytes, and the copies go when they end" + leftMessage)
        case .evicting(let waiting, let refusing) where !refusing.isEmpty:
            return not(
                .evictionRefused,
                Words.clauses(refusing.map { "\($0.node): \($0.message)" })
                    + (waiting.isEmpty ? "" : "; no answer yet from \(Words.list(waiting))")
                    + ". They are asked again for two minutes, then the ModelCache goes and their copies may be left; see the agents' logs"
                    + leftMessage)
        case .evicting(let waiting, _):
            return not(
                .evicting,
                (waiting.isEmpty
                    ? "the copies are being removed"
                    : "waiting for the agents on \(Words.list(waiting)) to remove their copies") + leftMessage)
        case nil: break
        }
        if case .failed(let failure) = source, isDecisive(failure) {
            return not(ConditionReason(failure.reason), failure.message)
        }
        if case .resolving = source { return not(.resolving, resolvingMessage) }
        if case .waitingForNodes = source { return not(.noMatchingNodes, noMatchMessage) }
        if isAllReady {
            return ConditionDraft(
                .ready, .true, .allNodesReady,
                desired.isEmpty ? "nodes fill when their pods read" : counted)
        }
        if isSuspended { return not(.suspended, "\(counted); spec.suspend is set, nothing new is warmed") }
        if candidates == 0 { return not(.noMatchingNodes, noMatchMessage) }
        if let refusal { return not(.namespaceForbidsWarmup, refusal) }
        if warming.isEmpty, let claimMessage { return not(.claimTerminating, "\(counted); \(claimMessage)") }
        if warming.isEmpty, let quotaExcess {
            return not(.namespaceQuotaExceeded, "\(counted); \(quotaExcess.message)")
        }
        if warming.isEmpty, callersUnknown != nil { return not(.tokenKeysUnknown, "\(counted); \(callersMessage)") }
        if !warming.isEmpty || !queued.isEmpty { return not(.warming, counted + refusedMessage) }
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
        case .resolving: return ConditionDraft(.progressing, .true, .resolving, resolvingMessage)
        case .waitingForNodes: return standing(.noMatchingNodes, noMatchMessage)
        case .failed(let failure) where isDecisive(failure):
            return standing(ConditionReason(failure.reason), "nothing new is warmed before the source is settled")
        default: break
        }
        if isSuspended { return standing(.suspended, "spec.suspend is set; what is cached stays and is served") }
        if isAllReady { return standing(.complete, "every node that should have the model has it") }
        if candidates == 0 { return standing(.noMatchingNodes, noMatchMessage) }
        if warming.isEmpty, let claimMessage { return standing(.claimTerminating, claimMessage) }
        if warming.isEmpty, let quotaExcess { return standing(.namespaceQuotaExceeded, quotaExcess.message) }
        if warming.isEmpty, callersUnknown != nil { return standing(.tokenKeysUnknown, callersMessage) }
        if !warming.isEmpty || !queued.isEmpty {
            var message = Words.count(warming.count, "node") + " warming"
            if !queued.isEmpty { message += ", \(queued.count) to come" }
            if !held.isEmpty { message += "; \(heldMessage)" }
            if !waitingForAgent.isEmpty { message += "; \(agentsMessage)" }
            return ConditionDraft(.progressing, .true, .warming, message)
        }
        if !waitingForAgent.isEmpty { return standing(.waitingForAgents, agentsMessage) }
        if !failures.isEmpty { return standing(.nodesFailed, "the nodes that are left have failed") }
        if !shortages.isEmpty { return standing(.insufficientCapacity, "the nodes that are left lack capacity") }
        return standing(.agentUnreachable, unreachableMessage)
    }

    private var degradedCondition: ConditionDraft {
        if let refusal { return ConditionDraft(.degraded, .true, .namespaceForbidsWarmup, refusal) }
        if let claimMessage { return ConditionDraft(.degraded, .true, .claimTerminating, claimMessage) }
        if let first = failures.first {
            let shared =
                failures.allSatisfy { $0.reason == first.reason } ? ConditionReason(rawValue: first.reason) : nil
            return ConditionDraft(.degraded, .true, shared ?? .nodesFailed, failureMessage)
        }
        if let unreadable = facts?.unreadable {
            return ConditionDraft(.degraded, .true, .objectsUnreadable, unreadable)
        }
        if !unreachable.isEmpty { return ConditionDraft(.degraded, .true, .agentUnreachable, unreachableMessage) }
        if !shortages.isEmpty { return ConditionDraft(.degraded, .true, .insufficientCapacity, shortageMessage) }
        return ConditionDraft(.degraded, .false, .allHealthy, "no node has failed")
    }

    private var capacityCondition: ConditionDraft {
        if let quotaExcess {
            return ConditionDraft(.capacityExceeded, .true, .namespaceQuotaExceeded, quotaExcess.message)
        }
        return shortages.isEmpty && shortagesOfPods.isEmpty
            ? ConditionDraft(.capacityExceeded, .false, .sufficientCapacity, "every node has capacity for the model")
            : ConditionDraft(.capacityExceeded, .true, .insufficientCapacity, shortageMessage)
    }

    private var leftMessage: String {
        let words = Self.words(on: copiesLeft, unnamed: departed?.leftOut ?? 0)
        return words.isEmpty ? "" : "; \(words)"
    }

    private var resolvingMessage: String {
        "the source is being listed" + (listingWaits.map { "; \($0)" } ?? "")
    }
    private var noMatchMessage: String {
        "no ready node matches spec.placement; label nodes accordingly or widen nodeSelector, affinity or tolerations"
    }
    private var claimMessage: String? {
        claimHeld.map {
            "the PersistentVolumeClaim \($0) was deleted, and the pods that use it hold it: no Job and no new pod starts with it. "
                + "End these pods (kubectl describe pvc \($0) names them); it is made anew then"
        }
    }
    private var heldMessage: String {
        "the \(held.count == 1 ? "Job" : "Jobs") of \(Words.list(held)) \(held.count == 1 ? "is" : "are") suspended until "
            + "the queue of Jobs admits \(held.count == 1 ? "it" : "them")"
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
        Words.clauses(failures.map { "\($0.node): \($0.message)" })
            + ". Tried again when the spec, the Secret or the agent changes, else later"
    }
    private var refusedMessage: String {
        guard !refusedSoFar.isEmpty else { return "" }
        let told = Words.clauses(refusedSoFar.map { "\($0.node): \($0.message)" })
        return "; refused so far: \(told). Their Jobs try again"
    }
    private var shortageMessage: String {
        let told = (shortages + shortagesOfPods).map {
            "\($0.node) needs \(Words.bytes($0.needed)) and has \(Words.bytes($0.free)) free"
        }
        return Words.clauses(told) + ". Raise the agents' budget, delete a ModelCache, or choose other nodes"
    }

    /// One word for people, which says what ``conditions`` say and nothing else.
    var phase: Phase { Phase(conditions, isDeleting: ending != nil, isSuspended: isSuspended) }
}

extension Phase {
    /// - Parameters:
    ///   - isDeleting: somebody asked for the ModelCache's deletion.
    ///   - isSuspended: `spec.suspend`.
    init(_ conditions: [ConditionDraft], isDeleting: Bool, isSuspended: Bool) {
        func condition(_ type: ConditionType) -> ConditionDraft? { conditions.first { $0.type == type } }
        func isTrue(_ type: ConditionType) -> Bool { condition(type)?.status == .true }
        self = .pending
        if isDeleting {
            self = .terminating
            return
        }
        let source = condition(.sourceResolved)
        // Else nodes serve what was resolved before.
        let isDecisive = condition(.ready).map { $0.status == .false && $0.reason == source?.reason } ?? false
        if source?.status == .unknown {
            self = source?.reason == .resolving ? .resolving : .pending
        } else if source?.status == .false,
            let failure = source.flatMap({ SourceFailure.Reason(rawValue: $0.reason.rawValue) }), isDecisive
        {
            self = !failure.isOfSpec && failure.mayPass ? .resolving : .failed
        } else if isSuspended {
            self = .suspended
        } else if isTrue(.ready) {
            self = .ready
        } else if isTrue(.degraded) {
            self = .degraded
        } else if isTrue(.progressing) {
            self = .warming
        }
    }
}

extension ConditionReason {
    init(_ reason: SourceFailure.Reason) { self = ConditionReason(rawValue: reason.rawValue) ?? .storeError }
}
