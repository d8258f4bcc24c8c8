internal import AgentAPI

/// How the plan found one node that should hold the model.
struct NodeFinding {
    enum State {
        case ready
        /// A Job is at work, or pods fill the cache.
        case warming
        /// Its Job is suspended: a queue of Jobs, such as Kueue, has not admitted it.
        case held
        /// Prepared, and without a Job; `replacing` an ended one.
        case due(replacing: JobView?, Attempt)
        /// Something is under way first: the agent prepares, a Job goes, the store is asked.
        case waiting
        case waitingForAgent
        case unreachable
        case shortage(needed: Int64, free: Int64)
        case failed(reason: String, message: String)
    }

    var node: String
    var isSeeder: Bool
    var preference: Int
    var state: State
    var report: CacheReport?

    var isReady: Bool { if case .ready = state { true } else { false } }
    var hasFailed: Bool { if case .failed = state { true } else { false } }

    /// The agent's last refusal, where a Job is at work. Time alone cures none of these.
    var refusal: CacheReport.Failure? {
        guard case .warming = state, let report, report.state == .failed, let error = report.error else { return nil }
        switch AgentErrorCode(rawValue: error.code) {
        case .accessDenied, .noSuchBucket, .objectsUnreadable, .invalidSpec, .digestMismatch: return error
        default: return nil
        }
    }
}

extension Planner {
    /// Chooses nodes and seeders, has the agents prepare, and finds how each desired node stands.
    mutating func planNodes(
        _ spec: CacheSpec, facts: ResolvedSource, source: CacheDefinition.Source, selected: [NodeView]
    ) -> [NodeFinding] {
        countTries()
        let candidates = candidates(spec, facts: facts, selected: selected)
        let seeders = chooseSeeders(spec, facts: facts, candidates: candidates)
        picture.seeders = seeders
        var desired: [String]
        if spec.isEager {
            desired = candidates.placed.sorted()
        } else {
            desired = seeders
            // Nodes that would be seeders, but lack capacity or an agent, are shown as missing.
            let lacking = min(spec.seeders, candidates.placed.count) - seeders.count
            desired += candidates.newcomers.map(\.name).filter { !seeders.contains($0) }.sorted()
                .prefix(max(0, lacking))
        }
        let known = Set(desired)
        desired += nodesOfPods(spec, facts: facts).filter { candidates.all[$0] != nil && !known.contains($0) }
        picture.candidates = candidates.all.count - candidates.forPods.subtracting(desired).count

        let seederSet = Set(seeders)
        func isPinned(_ node: String) -> Bool {
            seederSet.contains(node) || (spec.isEager && !candidates.forPods.contains(node))
        }
        for node in candidates.all.keys.sorted() {
            prepare(node, spec: spec, facts: facts, source: source, isPinned: isPinned(node))
        }
        release(
            spec: spec, source: source, facts: facts, candidates: candidates.all,
            selected: Set(selected.map(\.name)))

        return desired.map { name in
            NodeFinding(
                node: name, isSeeder: seederSet.contains(name),
                preference: candidates.all[name].map { spec.placement.preference(for: $0) } ?? 0,
                state: state(
                    of: name, job: candidates.jobs[name], spec: spec, facts: facts, isPinned: isPinned(name)),
                report: observed.reports[name])
        }
    }

    /// The nodes that a Job must fill for the pods there: pods have neither keys nor a token for the role. A Job is
    /// made for a pod that is not ready and for readers of a copy that is not complete, and goes on when the pod is.
    private func nodesOfPods(_ spec: CacheSpec, facts: ResolvedSource) -> [String] {
        guard spec.isReadByJobs else { return [] }
        let read = observed.reports.filter { $0.value.users > 0 }.map(\.key)
        let cold = (waitingPods.keys + read).filter { !hasCopy($0, facts: facts) }
        return Set(cold).union(observed.jobs.filter(\.isUnfinished).map(\.node)).sorted()
    }

    func hasCopy(_ node: String, facts: ResolvedSource) -> Bool {
        guard let report = observed.reports[node], let agent = observed.agents[node], agent.isCredible(at: now) else {
            return false
        }
        return report.state == .ready && report.digest == facts.digest
    }

    private mutating func chooseSeeders(
        _ spec: CacheSpec, facts: ResolvedSource, candidates: Candidates
    ) -> [String] {
        let able = candidates.newcomers.filter { node in
            observed.agents[node.name]?.isReachable ?? false
                && shortage(node.name, spec: spec, facts: facts, isPinned: true) == nil
        }
        let others = able.contains { !observed.recorded.seeders.contains($0.name) }
        return SeederChoice.choose(
            spec.seeders, uid: owner.uid, keeping: observed.recorded.seeders,
            canStay: { name in
                // One without capacity is replaced only when another node has it.
                candidates.all[name] != nil && !candidates.forPods.contains(name)
                    && (!others || shortage(name, spec: spec, facts: facts, isPinned: true) == nil)
            },
            zone: { candidates.all[$0]?.labels[NodeView.zoneLabel] ?? "" },
            // Just after a start the first agent to answer would win every seat.
            candidates: !observed.agentsAreKnown
                ? []
                : able.map { node in
                    SeederChoice.Candidate(
                        node: node.name, zone: node.labels[NodeView.zoneLabel] ?? "",
                        preference: spec.placement.preference(for: node), hasCopy: hasCopy(node.name, facts: facts))
                })
    }

    /// Why a node's agent refuses, or would refuse, the definition by the rule of ``Capacity``; nil when it takes it.
    func shortage(_ name: String, spec: CacheSpec, facts: ResolvedSource, isPinned: Bool) -> Picture.Shortage? {
        let report = observed.reports[name]
        if let report, report.state == .ready, report.digest == facts.digest, report.pinned || !isPinned { return nil }
        if let refusal = refusal(by: name, spec: spec, facts: facts),
            case .capacity(let needed, let free) = refusal.kind,
            isPinned || !refusal.isPinned || report == nil
        {
            return Picture.Shortage(node: name, needed: needed, free: free)
        }
        guard let agent = observed.agents[name], agent.reportedAt != nil else { return nil }
        guard let capacity = agent.capacity(spec.medium)?.without(report) else {
            return Picture.Shortage(node: name, needed: facts.totalBytes, free: 0)
        }
        let wanted = Capacity.Promise(sizeBytes: facts.totalBytes, isPinned: isPinned)
        return capacity.shortfall(for: wanted, after: report?.promise).map {
            Picture.Shortage(node: name, needed: $0.neededBytes, free: $0.freeBytes)
        }
    }

    /// The agent's last refusal, while it stands, and while the next try is under way.
    func refusal(by name: String, spec: CacheSpec, facts: ResolvedSource) -> AgentRefusal? {
        guard let refusal = memory.refusals[name], let agent = observed.agents[name] else { return nil }
        let current = AgentRefusal.Circumstances(
            generation: observed.generation, sizeBytes: facts.totalBytes, callersDigest: policyDigest,
            agentInstance: agent.instanceID)
        let free = agent.capacity(spec.medium)?.freeBytes ?? 0
        let isTried = observed.ordered.contains(name) && refusal.stands(current, freeBytes: free)
        return isTried || refusal.isInForce(current, freeBytes: free, now: now) ? refusal : nil
    }

    /// Why the agent does not take the definition. One that answers nothing at all may only be between two pods.
    func refused(by name: String, agent: AgentView, spec: CacheSpec, facts: ResolvedSource) -> Memory.Refusal? {
        if let refusal = refusal(by: name, spec: spec, facts: facts), refusal.kind != .unanswered {
            return refusal.refusal
        }
        return agent.isReachable ? agent.unanswered ?? refusal(by: name, spec: spec, facts: facts)?.refusal : nil
    }

    /// Whether the agent may be given an order now: it has none of this ModelCache, and it answered the last one of
    /// whichever.
    private mutating func takesOrders(_ name: String) -> Bool {
        guard let agent = observed.agents[name], agent.isReachable, !observed.ordered.contains(name) else {
            return false
        }
        guard let unanswered = agent.unanswered, unanswered.until > now else { return true }
        wake(at: unanswered.until)
        return false
    }

    private mutating func prepare(
        _ name: String, spec: CacheSpec, facts: ResolvedSource, source: CacheDefinition.Source, isPinned: Bool
    ) {
        // Agents that have the directory are told of new callers and limits all the same.
        if observed.quotaExcess != nil, observed.reports[name] == nil { return }
        guard takesOrders(name) else { return }
        if let refusal = refusal(by: name, spec: spec, facts: facts) {
            wake(at: refusal.refusal.until)
            if refusal.kind == .other || refusal.kind == .unanswered { return }
        }
        // Without capacity for a pinned copy, directory and socket stay for pods that come.
        let lacksCapacity = isPinned && shortage(name, spec: spec, facts: facts, isPinned: true) != nil
        // Suspended and evicted frees the memory for good: no new promise is asked for, nor beyond the quota.
        let isHeld = (spec.isSuspended || observed.quotaExcess != nil) && !(observed.reports[name]?.pinned ?? false)
        let pins = isPinned && !lacksCapacity && !isHeld
        if !pins, shortage(name, spec: spec, facts: facts, isPinned: false) != nil { return }
        let wanted = wanted(spec, source: source, facts: facts, isPinned: pins)
        if isCurrent(wanted, node: name) { return }
        actions.append(.prepare(node: name, wanted.definition))
    }

    private mutating func wanted(
        _ spec: CacheSpec, source: CacheDefinition.Source, facts: ResolvedSource, isPinned: Bool
    ) -> (definition: CacheDefinition, hash: Int) {
        if let known = definitions[isPinned] { return known }
        var source = source
        source.digest = spec.pinnedDigest
        let definition = CacheDefinition(
            namespace: owner.namespace, name: owner.name, source: source, medium: spec.medium,
            sizeBytes: facts.totalBytes,
            pinned: isPinned, idleSeconds: spec.idleSeconds, bandwidthLimit: spec.maxBytesPerSecond,
            callers: observed.callers.policy)
        let made = (definition: definition, hash: definition.stableHash)
        definitions[isPinned] = made
        return made
    }

    /// Whether the agent already has this definition. Its report shows the pin; for the limits we go by what was sent,
    /// or after a restart by whether the spec changed while nobody looked.
    private func isCurrent(_ wanted: (definition: CacheDefinition, hash: Int), node: String) -> Bool {
        guard let report = observed.reports[node], report.pinned == wanted.definition.pinned else { return false }
        guard callersDigest.map({ report.callersDigest == $0 }) ?? observed.callers.isInForce(report) else {
            return false
        }
        if let sent = memory.sent[node] { return sent == wanted.hash }
        // Before this operator, another one may have sent less than this one does.
        return observed.recorded.generation == observed.generation && report.source == wanted.definition.source
    }

    /// A node that the placement no longer names keeps its bytes until they are wanted for something else.
    private mutating func release(
        spec: CacheSpec, source: CacheDefinition.Source, facts: ResolvedSource, candidates: [String: NodeView],
        selected: Set<String>
    ) {
        for (name, report) in observed.reports.sorted(by: { $0.key < $1.key })
        where report.pinned && candidates[name] == nil && !selected.contains(name) && observed.nodes[name] != nil {
            guard takesOrders(name), refusal(by: name, spec: spec, facts: facts) == nil else { continue }
            actions.append(.prepare(node: name, wanted(spec, source: source, facts: facts, isPinned: false).definition))
        }
    }

    private mutating func state(
        of name: String, job: JobView?, spec: CacheSpec, facts: ResolvedSource, isPinned: Bool
    ) -> NodeFinding.State {
        guard let agent = observed.agents[name] else { return .waitingForAgent }
        if let end = agent.silenceEnds, now < end { wake(at: end) }
        guard agent.isCredible(at: now) else {
            // One that never answered has the same grace as one that did.
            guard case .unreachable = agent.reach, let end = agent.silenceEnds, now >= end else {
                return .waitingForAgent
            }
            return .unreachable
        }
        let report = observed.reports[name]
        var isStale = false
        if let report, report.state == .ready, let digest = report.digest {
            if digest == facts.digest {
                memory.stalls[name] = nil
                return .ready
            }
            isStale = question(digest, spec: spec)
            if !isStale { return .waiting }
        }
        if let job, job.isUnfinished, !job.isDeleting { return state(of: job, report: report, agent: agent) }
        if let shortage = shortage(name, spec: spec, facts: facts, isPinned: isPinned) {
            return .shortage(needed: shortage.needed, free: shortage.free)
        }
        if report == nil, let refused = refused(by: name, agent: agent, spec: spec, facts: facts) {
            return .failed(reason: "AgentRefused", message: refused.message)
        }
        if let stalled = stalled(name, agent: agent, job: job, spec: spec) { return stalled }
        guard let report else { return .waiting }
        return state(report, agent: agent, job: job, isStale: isStale, spec: spec)
    }

    /// A Job that goes on. One without progress that was made for another spec is made anew: its pod may go another way
    /// to the store. Another version of the Secret reaches the pod that there is.
    private mutating func state(of job: JobView, report: CacheReport?, agent: AgentView) -> NodeFinding.State {
        let now = circumstances(of: agent)
        // Readers are no progress: they may wait for this Job.
        let hasProgress = (report?.bytesPerSecond ?? 0) > 0
        let isOld = job.attempt.generation != now.generation
        guard !hasProgress, observed.resolution.resolved != nil, isOld else {
            // Another operator may have told of the edit and ended before it had listed the source for it.
            if !hasProgress, isOld, observed.resolution.subject.isEmpty { resolve() }
            return job.isSuspended ? .held : .warming
        }
        return .due(replacing: job, now)
    }

    private func circumstances(of agent: AgentView) -> Attempt {
        Attempt(
            generation: observed.generation, secretVersion: observed.resolution.resolved?.secret?.version ?? "",
            agentInstance: agent.instanceID)
    }

    /// Nil: no Job of this node was ended for want of progress, or another may be made.
    private mutating func stalled(
        _ name: String, agent: AgentView, job: JobView?, spec: CacheSpec
    ) -> NodeFinding.State? {
        guard let stall = memory.stalls[name] else { return nil }
        // The next Job has begun; its own end is what counts.
        if let job, !job.isDeleting {
            memory.stalls[name] = nil
            return nil
        }
        let circumstances = circumstances(of: agent)
        let until = nextTry(on: name, spec, after: stall.at, backoff: stall.attempt.failureBackoff)
        guard until > now, !stall.attempt.isOutdated(by: circumstances) else {
            guard job == nil else { return .waiting }
            var next = circumstances
            next.retries = stall.attempt.isOutdated(by: circumstances) ? 0 : stall.attempt.retries + 1
            return .due(replacing: nil, next)
        }
        wake(at: until)
        return .failed(reason: stall.reason, message: stall.message)
    }

    private mutating func state(
        _ report: CacheReport, agent: AgentView, job: JobView?, isStale: Bool, spec: CacheSpec
    ) -> NodeFinding.State {
        let circumstances = circumstances(of: agent)
        guard let job else { return .due(replacing: nil, circumstances) }
        if job.isDeleting { return .waiting }
        var next = circumstances
        let ready: WallTime
        let finding: NodeFinding.State
        switch job.phase {
        case .unfinished: return .warming
        case .complete:
            // Only a report from after the Job's end tells what came of it.
            guard let reportedAt = agent.reportedAt, reportedAt > job.phaseSeen else { return .waiting }
            // Pods are bringing it back themselves.
            let isFilled = report.bytesPerSecond > 0 || (report.users > 0 && !spec.isReadByJobs)
            if report.state == .filling, isFilled, !isStale { return .warming }
            let sameAgent = job.attempt.agentInstance == agent.instanceID
            next.retries = sameAgent ? job.attempt.retries + 1 : 0
            ready =
                sameAgent
                ? nextTry(on: job.node, spec, after: job.phaseSeen, backoff: job.attempt.lossBackoff) : now
            finding = .waiting
        case .failed(let reason, let message, let at):
            let isOutdated = job.attempt.isOutdated(by: circumstances)
            next.retries = isOutdated ? 0 : job.attempt.retries + 1
            ready =
                isOutdated ? now : nextTry(on: job.node, spec, after: at, backoff: job.attempt.failureBackoff)
            if report.error?.code == AgentErrorCode.digestMismatch.rawValue { questionPin(refusedAt: at) }
            let words = report.error.map { "\($0.code): \($0.message)" } ?? message
            finding = .failed(reason: reason, message: SpecWords.named(words))
        }
        if ready <= now { return .due(replacing: job, next) }
        wake(at: ready)
        return finding
    }
}

extension CacheDefinition {
    /// Equal for equal definitions, also in another process.
    package var stableHash: Int {
        var parts = [
            namespace, name, source.uri, source.endpoint ?? "", source.region ?? "", medium.rawValue,
            "\(sizeBytes)", "\(pinned)",
            "\(idleSeconds)", "\(bandwidthLimit ?? -1)",
        ]
        parts += source.include
        parts += [source.addressing, source.requesterPays.map { "\($0)" }].compactMap { $0 }
        if let role = source.role?.assumed {
            parts += [role.serviceAccount, role.roleARN, role.providerARN ?? "", "\(role.sessionSeconds ?? 0)"]
        }
        if source.role?.node == true { parts.append("node") }
        if source.needsKeys == true { parts.append("keys") }
        if let digest = source.digest { parts += ["digest", digest] }
        return Int(truncatingIfNeeded: Digest.number(parts.map { "\($0.utf8.count):\($0)" }.joined()))
    }
}
