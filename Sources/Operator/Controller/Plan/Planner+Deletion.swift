extension Planner {
    /// How long a deletion waits for an agent that does not answer on a node that is well.
    static let deletionGrace: Duration = .seconds(30)
    /// How long it waits for an agent that answers with an error: tried anew after 5, 15, 35 and 75 s.
    static let refusalGrace: Duration = .seconds(120)
    /// How often an agent whose cache is in use is asked again.
    private static let askInterval: Duration = .seconds(2)

    /// Why a deletion waits for a node, or no longer does.
    private enum Hold {
        case free
        case inUse(Int)
        case asked
        case silent
        case refusing(String)
        /// Not waited for, though it may hold a copy; in words, why.
        case left(String)
    }

    /// Jobs first, so that nothing fills anew; then every copy; then claim and volume; the finalizer last. What an agent that was
    /// skipped still holds is dropped when it answers again (see ``OrphanSweep``), and an Event names its node.
    mutating func planDeletion() {
        let began = memory.deletionSeenAt ?? now
        memory.deletionSeenAt = began
        picture.facts = observed.recorded.source
        picture.sourceHash = observed.recorded.sourceHash
        picture.source = picture.facts == nil ? .resolving : .resolved
        for job in observed.jobs.sorted(by: { $0.name < $1.name }) where !job.isDeleting { actions.append(.deleteJob(job)) }

        var inUse: [Picture.User] = []
        var silent: [String] = []
        var refusing: [Picture.Failure] = []
        var left: [(node: String, why: String)] = []
        var isHeld = false
        for (name, agent) in observed.agents.sorted(by: { $0.key < $1.key }) {
            let hold = hold(by: name, agent: agent, began: began)
            switch hold {
            case .free: continue
            case .left(let why):
                left.append((name, why))
                continue
            case .asked: break
            case .inUse(let users): inUse.append(Picture.User(node: name, users: users))
            case .silent: silent.append(name)
            case .refusing(let why): refusing.append(Picture.Failure(node: name, reason: "AgentRefused", message: why))
            }
            isHeld = true
        }
        if !inUse.isEmpty {
            picture.ending = .inUse(inUse)
        } else {
            picture.ending = .evicting(waiting: silent, refusing: refusing)
        }
        guard !isHeld else { return }
        tell(left)
        if let claim = observed.claim, !claim.isDeleting { actions.append(.deleteClaim(claim)) }
        if let volume = observed.volume, !volume.isDeleting { actions.append(.deleteVolume(volume)) }
        actions.append(.removeFinalizer)
    }

    private mutating func hold(by name: String, agent: AgentView, began: WallTime) -> Hold {
        let report = observed.reports[name]
        switch agent.reach {
        case .reachable:
            guard let report else { return .free }
            let refusal = memory.evictionRefused[name]
            if let refusal {
                let end = refusal.since + Self.refusalGrace
                guard now < end else { return .left(refusal.message) }
                wake(at: min(end, max(refusal.until, now)))
            }
            let next = refusal?.until ?? memory.evictionAsked[name].map { $0 + Self.askInterval } ?? now
            if next <= now {
                memory.evictionAsked[name] = now
                wake(at: now + Self.askInterval)
                actions.append(.evict(node: name))
            } else {
                wake(at: next)
            }
            if let refusal { return .refusing(refusal.message) }
            return report.users > 0 ? .inUse(report.users) : .asked
        case .unknown(let since), .unreachable(let since, _):
            let why = agent.reach.why ?? "its agent has not answered"
            // Its last word was that it has none, and it was asked for none since.
            if agent.reportedAt != nil, report == nil { return .free }
            guard observed.nodes[name]?.isReady ?? false else { return report == nil ? .free : .left("the node is not ready") }
            let end = max(since, began) + Self.deletionGrace
            guard now < end else { return .left(why) }
            wake(at: end)
            return .silent
        }
    }

    /// Once: with the finalizer the object goes, and nobody else knows where its bytes are.
    private mutating func tell(_ left: [(node: String, why: String)]) {
        guard let first = left.first else { return }
        let medium = observed.recorded.medium ?? .memory
        events.append(PlannedEvent(
            isWarning: true, reason: "CopiesLeft",
            message: "copies may be left on \(Words.list(left.map(\.node), most: 10)) (\(first.node): \(Words.line(first.why, limit: 200))). "
                + "They go when the agent there answers; to free the room before, restart its pod, or on a node without one remove "
                + Names.directory(uid: owner.uid, medium: medium)))
    }
}
