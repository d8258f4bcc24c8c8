internal import AgentAPI

/// How the plan found one node that should hold the model.
struct NodeFinding {
    enum State {
        case ready
        /// A Job is at work, or pods fill the cache.
        case warming
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
}

extension Planner {
    /// Chooses nodes and seeders, has the agents prepare, and finds how each desired node stands.
    mutating func planNodes(
        _ spec: CacheSpec, facts: ResolvedSource, source: CacheDefinition.Source, selected: [NodeView]
    ) -> [NodeFinding] {
        let jobs = Dictionary(observed.jobs.map { ($0.node, $0) }, uniquingKeysWith: { first, _ in first })
        var candidates: [String: NodeView] = [:]
        var newcomers: [NodeView] = []
        for node in selected where node.isAlive(at: now) {
            let mayTake = node.isSchedulable && spec.placement.tolerates(node)
            if node.isReady, mayTake {
                candidates[node.name] = node
                newcomers.append(node)
                continue
            }
            if let since = node.notReadySince { wake(at: since + NodeView.readinessGrace) }
            // A cordoned node, one with a new taint or one whose kubelet restarts keeps what it has, and its work goes on
            // while the node may come back.
            let isAtWork = mayTake && (jobs[node.name]?.isUnfinished ?? false || observed.recorded.seeders.contains(node.name))
            if hasCopy(node.name, facts: facts) || isAtWork { candidates[node.name] = node }
        }
        picture.candidates = candidates.count

        let seeders = chooseSeeders(spec, facts: facts, candidates: candidates, newcomers: newcomers)
        picture.seeders = seeders
        var desired: [String]
        if spec.isEager {
            desired = candidates.keys.sorted()
        } else {
            desired = seeders
            // Nodes that would be seeders but for room or agent are shown as what is missing.
            let lacking = min(spec.seeders, candidates.count) - seeders.count
            desired += newcomers.map(\.name).filter { !seeders.contains($0) }.sorted().prefix(max(0, lacking))
        }

        for node in candidates.keys.sorted() {
            prepare(node, spec: spec, facts: facts, source: source, isPinned: spec.isEager || seeders.contains(node))
        }
        release(spec: spec, source: source, facts: facts, candidates: candidates, selected: Set(selected.map(\.name)))

        let seederSet = Set(seeders)
        return desired.map { name in
            NodeFinding(
                node: name, isSeeder: seederSet.contains(name),
                preference: candidates[name].map { spec.placement.preference(for: $0) } ?? 0,
                state: state(of: name, job: jobs[name], spec: spec, facts: facts), report: observed.reports[name])
        }
    }

    func hasCopy(_ node: String, facts: ResolvedSource) -> Bool {
        guard let report = observed.reports[node], let agent = observed.agents[node], agent.isCredible(at: now) else { return false }
        return report.state == .ready && report.digest == facts.digest
    }

    private mutating func chooseSeeders(
        _ spec: CacheSpec, facts: ResolvedSource, candidates: [String: NodeView], newcomers: [NodeView]
    ) -> [String] {
        let able = newcomers.filter { node in
            observed.agents[node.name]?.isReachable ?? false && shortage(node.name, spec: spec, facts: facts) == nil
        }
        let others = able.contains { !observed.recorded.seeders.contains($0.name) }
        return SeederChoice.choose(
            spec.seeders, uid: owner.uid, keeping: observed.recorded.seeders,
            canStay: { name in
                // One without room is replaced only when somebody else has room.
                candidates[name] != nil && (!others || shortage(name, spec: spec, facts: facts) == nil)
            },
            zone: { candidates[$0]?.labels[NodeView.zoneLabel] ?? "" },
            // Just after a start the first agent to answer would win every seat.
            candidates: !observed.agentsAreKnown
                ? []
                : able.map { node in
                    SeederChoice.Candidate(
                        node: node.name, zone: node.labels[NodeView.zoneLabel] ?? "",
                        preference: spec.placement.preference(for: node), hasCopy: hasCopy(node.name, facts: facts))
                })
    }

    /// Why a node cannot promise the whole model; nil when it can, or already has.
    func shortage(_ name: String, spec: CacheSpec, facts: ResolvedSource) -> Picture.Shortage? {
        let report = observed.reports[name]
        if let report, report.pinned || (report.state == .ready && report.digest == facts.digest) { return nil }
        if let known = memory.shortages[name], known.until > now {
            return Picture.Shortage(node: name, needed: known.needed, free: known.free)
        }
        guard let agent = observed.agents[name], agent.reportedAt != nil else { return nil }
        guard let room = agent.room(spec.medium) else {
            return Picture.Shortage(node: name, needed: facts.totalBytes, free: 0)
        }
        // What readers of this very cache hold counts as used, and would be part of the promise.
        let own = report.map { $0.users > 0 ? max(0, $0.bytesCached) : 0 } ?? 0
        let free = room.free.addedClamping(own)
        return free < facts.totalBytes ? Picture.Shortage(node: name, needed: facts.totalBytes, free: free) : nil
    }

    private mutating func prepare(
        _ name: String, spec: CacheSpec, facts: ResolvedSource, source: CacheDefinition.Source, isPinned: Bool
    ) {
        guard let agent = observed.agents[name], agent.isReachable else { return }
        if let refusal = memory.refusedNodes[name] {
            guard refusal.until <= now else {
                wake(at: refusal.until)
                return
            }
        }
        // Without room for a promise the directory and socket are there all the same, for pods that come.
        let lacksRoom = isPinned && shortage(name, spec: spec, facts: facts) != nil
        if lacksRoom, let known = memory.shortages[name] { wake(at: known.until) }
        // Suspended and evicted frees the memory for good: no new promise is asked for.
        let isHeld = spec.isSuspended && !(observed.reports[name]?.pinned ?? false)
        let wanted = wanted(spec, source: source, facts: facts, isPinned: isPinned && !lacksRoom && !isHeld)
        if isCurrent(wanted, node: name) { return }
        actions.append(.prepare(node: name, wanted.definition))
    }

    private mutating func wanted(
        _ spec: CacheSpec, source: CacheDefinition.Source, facts: ResolvedSource, isPinned: Bool
    ) -> (definition: CacheDefinition, hash: Int) {
        if let known = definitions[isPinned] { return known }
        let definition = CacheDefinition(
            namespace: owner.namespace, name: owner.name, source: source, medium: spec.medium, sizeBytes: facts.totalBytes,
            pinned: isPinned, idleSeconds: spec.idleSeconds, bandwidthLimit: spec.bandwidthLimit, callers: observed.callers.policy)
        let made = (definition: definition, hash: definition.stableHash)
        definitions[isPinned] = made
        return made
    }

    /// Whether the agent already has this definition. Its report shows the pin; for the limits we go by what was sent, or after
    /// a restart by whether the spec changed while nobody looked.
    private func isCurrent(_ wanted: (definition: CacheDefinition, hash: Int), node: String) -> Bool {
        guard let report = observed.reports[node], report.pinned == wanted.definition.pinned else { return false }
        guard callersDigest.map({ report.callersDigest == $0 }) ?? observed.callers.isInForce(report) else { return false }
        if let sent = memory.sent[node] { return sent == wanted.hash }
        return observed.recorded.generation == observed.generation
    }

    /// A node that the placement no longer names keeps its bytes until they are wanted for something else.
    private mutating func release(
        spec: CacheSpec, source: CacheDefinition.Source, facts: ResolvedSource, candidates: [String: NodeView],
        selected: Set<String>
    ) {
        for (name, report) in observed.reports.sorted(by: { $0.key < $1.key })
        where report.pinned && candidates[name] == nil && !selected.contains(name) && observed.nodes[name] != nil {
            guard observed.agents[name]?.isReachable ?? false, (memory.refusedNodes[name]?.until ?? now) <= now else { continue }
            actions.append(.prepare(node: name, wanted(spec, source: source, facts: facts, isPinned: false).definition))
        }
    }

    private mutating func state(
        of name: String, job: JobView?, spec: CacheSpec, facts: ResolvedSource
    ) -> NodeFinding.State {
        guard let agent = observed.agents[name] else { return .waitingForAgent }
        if case .unreachable(let since, _) = agent.reach, agent.isCredible(at: now) { wake(at: since + AgentView.silenceGrace) }
        guard agent.isCredible(at: now) else {
            guard case .unreachable(let since, _) = agent.reach else { return .waitingForAgent }
            // One that never answered has the same grace as one that did.
            guard now - since < AgentView.silenceGrace else { return .unreachable }
            wake(at: since + AgentView.silenceGrace)
            return .waitingForAgent
        }
        let report = observed.reports[name]
        var isStale = false
        if let report, report.state == .ready, let digest = report.digest {
            if digest == facts.digest { return .ready }
            isStale = question(digest, spec: spec)
            if !isStale { return .waiting }
        }
        if job?.isUnfinished ?? false { return job?.isDeleting ?? false ? .waiting : .warming }
        if let shortage = shortage(name, spec: spec, facts: facts) {
            return .shortage(needed: shortage.needed, free: shortage.free)
        }
        if let refusal = memory.refusedNodes[name], report == nil {
            return .failed(reason: "AgentRefused", message: refusal.message)
        }
        guard let report else { return .waiting }
        return state(report, agent: agent, job: job, isStale: isStale)
    }

    private mutating func state(_ report: CacheReport, agent: AgentView, job: JobView?, isStale: Bool) -> NodeFinding.State {
        let circumstances = Attempt(
            generation: observed.generation, secretVersion: observed.resolution.resolved?.secret?.resourceVersion ?? "",
            agentInstance: agent.instanceID)
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
            if report.state == .filling, report.users > 0 || report.bytesPerSecond > 0, !isStale { return .warming }
            let sameAgent = job.attempt.agentInstance == agent.instanceID
            next.retries = sameAgent ? job.attempt.retries + 1 : 0
            ready = sameAgent ? job.phaseSeen + job.attempt.lossBackoff : now
            finding = .waiting
        case .failed(let reason, let message, let at):
            let isOutdated = job.attempt.isOutdated(by: circumstances)
            next.retries = isOutdated ? 0 : job.attempt.retries + 1
            ready = isOutdated ? now : at + job.attempt.failureBackoff
            let words = report.error.map { "\($0.code): \($0.message)" } ?? message
            finding = .failed(reason: reason, message: words)
        }
        if ready <= now { return .due(replacing: job, next) }
        wake(at: ready)
        return finding
    }
}

extension CacheDefinition {
    /// Equal for equal definitions, also in another process.
    var stableHash: Int {
        let parts = [
            namespace, name, source.uri, source.endpoint ?? "", source.region ?? "", medium.rawValue, "\(sizeBytes)", "\(pinned)",
            "\(idleSeconds)", "\(bandwidthLimit ?? -1)",
        ] + source.include
        return Int(truncatingIfNeeded: Digest.number(parts.map { "\($0.utf8.count):\($0)" }.joined()))
    }
}
