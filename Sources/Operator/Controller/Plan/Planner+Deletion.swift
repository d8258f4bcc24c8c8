internal import AgentAPI
internal import CRD

extension Planner {
    /// How long a deletion waits for an agent that does not answer on a node that is well.
    static let deletionGrace: Duration = .seconds(30)
    /// How long it waits for an agent that answers with an error: tried anew after 5, 15, 35 and 75 s.
    static let refusalGrace: Duration = .seconds(120)
    /// How often an agent whose cache is in use is asked again.
    private static let askInterval: Duration = .seconds(2)
    /// How long a deletion waits for a node, whatever it waits for. Then the ModelCache goes and the copy stays until
    /// its readers have ended or its agent obeys, so that neither a stuck reader nor a stuck disk holds a namespace.
    static let longestWait: Duration = .seconds(600)

    /// Why a deletion waits for a node, or no longer does.
    private enum Hold {
        case free
        case inUse(Int)
        case asked
        case silent
        case refusing(String)
        /// Not waited for, though it may hold a copy; in words, why.
        case left(String)
        /// As `left`: its node is not in the cluster.
        case gone
    }

    /// Jobs first, so that nothing fills anew; then every copy; then claim and volume; the finalizer last. An agent
    /// that was skipped drops its copy when it answers again or the readers have ended (see ``OrphanSweep``), and an
    /// Event names its node.
    mutating func planDeletion() {
        let began = memory.deletionSeenAt ?? now
        memory.deletionSeenAt = began
        picture.facts = observed.recorded.source
        picture.fingerprint = observed.recorded.fingerprint
        picture.source =
            observed.recorded.failure.map { .failed($0) } ?? (picture.facts == nil ? .resolving : .resolved)
        for job in observed.jobs.sorted(by: { $0.name < $1.name }) where !job.isDeleting {
            actions.append(.deleteJob(job))
        }

        var inUse: [Picture.User] = []
        var silent: [String] = []
        var refusing: [Picture.Failure] = []
        var isHeld = false
        for name in Set(observed.agents.keys).union(holders.names).sorted() {
            // One without a pod is waited for as one between two pods.
            let agent = observed.agents[name] ?? AgentView(node: name, reach: .missing(since: began))
            let hold = hold(by: name, agent: agent, began: began)
            switch hold {
            case .free: continue
            case .left(let why):
                picture.copiesLeft.append(Picture.LeftCopy(node: name, why: why))
                continue
            case .gone:
                let why = "the node is gone from the cluster"
                picture.copiesLeft.append(Picture.LeftCopy(node: name, why: why, isGone: true))
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
        tell(picture.copiesLeft)
        if let claim = observed.claim, !claim.isDeleting { actions.append(.deleteClaim(claim)) }
        if let volume = observed.volume, !volume.isDeleting { actions.append(.deleteVolume(volume)) }
        actions.append(.removeFinalizer)
    }

    private mutating func hold(by name: String, agent: AgentView, began: WallTime) -> Hold {
        let report = observed.reports[name]
        let last = began + Self.longestWait
        if report == nil, observed.ordered.contains(name), now < last {
            // An order to prepare may still make a copy.
            wake(at: last)
            return .asked
        }
        switch agent.reach {
        case .reachable:
            guard let report else { return .free }
            guard now < last else {
                return .left(
                    report.users > 0
                        ? "it is open in \(Words.count(report.users, "reader"))" : "its agent did not evict it in time")
            }
            wake(at: last)
            let refusal = memory.evictionRefused[name] ?? agent.unanswered
            if let refusal {
                let end = max(refusal.since, began) + Self.refusalGrace
                guard now < end else { return .left(refusal.message) }
                wake(at: min(end, max(refusal.until, now)))
            }
            let next =
                [memory.evictionRefused[name]?.until, agent.unanswered?.until].compactMap { $0 }.max()
                ?? memory.evictionAsked[name].map { $0 + Self.askInterval } ?? now
            if next > now {
                wake(at: next)
            } else if !observed.ordered.contains(name) {
                memory.evictionAsked[name] = now
                wake(at: now + Self.askInterval)
                actions.append(.evict(node: name, force: observed.forcesEviction))
            }
            if let refusal { return .refusing(refusal.message) }
            return report.users > 0 ? .inUse(report.users) : .asked
        case .unknown(let since), .unreachable(let since, _), .missing(let since):
            let why = agent.reach.why ?? "its agent has not answered"
            // Its last word was that it has none, and it was asked for none since.
            if agent.reportedAt != nil, report == nil { return .free }
            // Of one that was not heard of since this operator started the status tells.
            let mayHold = report != nil || holders.contains(name) || !observed.recorded.namesAllCopies
            guard let node = observed.nodes[name] else {
                return mayHold ? .gone : .free
            }
            guard node.isReady else { return mayHold ? .left("the node is not ready") : .free }
            let end = min(max(since, began, agent.drainsUntil ?? since) + Self.deletionGrace, last)
            guard now < end else { return mayHold ? .left(why) : .free }
            wake(at: end)
            return .silent
        }
    }

    /// Once: with the finalizer the object goes, and nobody else knows where its bytes are. No warning where the nodes
    /// are all gone: mostly their copies are too.
    private mutating func tell(_ left: [Picture.LeftCopy]) {
        guard !left.isEmpty || holders.leftOut > 0 else { return }
        let medium = observed.recorded.medium ?? .memory
        var message = Picture.words(on: left, unnamed: holders.leftOut)
        if left.contains(where: { !$0.isGone }) {
            message +=
                ". Copies go when an agent there answers and nobody reads them; to free the capacity before, restart the agent's pod, "
                + "or on a node without one remove "
                + Names.directory(uid: owner.uid, medium: medium, diskPath: observed.diskPath)
        }
        events.append(
            PlannedEvent(isWarning: left.contains { !$0.isGone }, reason: "CopiesLeft", message: message))
    }
}

extension Picture {
    /// Where copies may be left, and why; empty where they can be nowhere.
    ///
    /// - Parameter unnamed: how many nodes left the cluster with a copy before those that `left` names.
    static func words(on left: [LeftCopy], unnamed: Int) -> String {
        let present = left.filter { !$0.isGone }
        let gone = left.filter(\.isGone)
        var parts: [String] = []
        if let first = present.first {
            parts.append(
                "copies may be left on \(Words.list(present.map(\.node), most: 10)) "
                    + "(\(first.node): \(Words.line(first.why, limit: 200)))")
        }
        if !gone.isEmpty {
            parts.append(
                "copies may be left on \(Words.list(gone.map(\.node), most: 10)), which left the cluster: they can only be removed "
                    + "when the node returns or has the label of agents again, and go then")
        }
        if unnamed > 0 { parts.append("\(Words.count(unnamed, "node")) left the cluster with a copy earlier") }
        return parts.joined(separator: "; ")
    }
}
