/// How many more warm-up Jobs may be made.
///
/// `parallelism` bounds the Jobs of a roll-out. Nodes where pods wait for a Job have as many places again, so that no
/// pod waits behind the roll-out. Suspended Jobs hold none of these, so that their queue may choose among several; with
/// them there are at most `parallelism` more.
struct JobPlaces {
    private let parallelism: Int
    var running = 0
    var suspended = 0

    init(parallelism: Int) {
        // Sums of it must not overflow.
        self.parallelism = min(parallelism, 1 << 20)
    }

    /// - Parameter isForPod: a pod waits for this Job.
    /// - Returns: whether there was a place.
    mutating func take(isForPod: Bool) -> Bool {
        let most = isForPod ? 2 * parallelism : parallelism
        guard running < most, running + suspended < most + parallelism else { return false }
        running += 1
        return true
    }
}

extension Planner {
    /// Makes the Jobs whose turn it is, ends those that nobody wants, and sorts the nodes into the picture's lists.
    mutating func planJobs(_ spec: CacheSpec, facts: ResolvedSource, nodes: [NodeFinding]) {
        var places = endJobs(spec, nodes: nodes)
        var due = nodes.filter { if case .due = $0.state { true } else { false } }
        due.sort { rank($0) < rank($1) }
        watchSecret(spec, nodes: nodes)
        if let refusal = memory.refusedWrites, refusal.until > now {
            picture.refusal = refusal.message
            wake(at: refusal.until)
            return
        }
        guard !due.isEmpty, !spec.isSuspended, isSourceUsable, !isVolumeGoing, observed.quotaExcess == nil else {
            return
        }
        // A source that its pin excludes is not even begun.
        guard spec.pinnedDigest == nil || isListed(spec) else { return resolve() }
        if case .unknown(let why) = observed.callers {
            due.removeAll { !observed.callers.admitsJobs($0.report) }
            if due.isEmpty { picture.callersUnknown = why }
        }
        for finding in due {
            let hasPod = spec.isReadByJobs && waitingPods[finding.node] != nil
            guard case .due(let replacing, let attempt) = finding.state, places.take(isForPod: hasPod) else { continue }
            let job = WarmupJob(
                name: Names.job(cache: owner.name, uid: owner.uid, node: finding.node), node: finding.node,
                attempt: attempt, tolerations: tolerations(on: finding.node, spec))
            actions.append(replacing.map { .replaceJob($0, job) } ?? .createJob(job))
        }
    }

    /// Nodes where pods wait come first, then seeders.
    private func rank(_ finding: NodeFinding) -> (Int, Int, Int, String) {
        (
            waitingPods[finding.node] == nil ? 1 : 0, finding.isSeeder ? 0 : 1, -finding.preference, finding.node
        )
    }

    /// Ends the Jobs that nobody needs and those that do not start.
    /// - Returns: the places that the others leave: of unfinished ones of nodes that need the model and can get it.
    private mutating func endJobs(_ spec: CacheSpec, nodes: [NodeFinding]) -> JobPlaces {
        let findings = Dictionary(nodes.map { ($0.node, $0) }, uniquingKeysWith: { first, _ in first })
        let uids = Set(observed.jobs.map(\.uid))
        memory.examinations = memory.examinations.filter { uids.contains($0.key) }
        var places = JobPlaces(parallelism: spec.parallelism)
        for job in observed.jobs.sorted(by: { $0.name < $1.name }) where !job.isDeleting {
            let finding = findings[job.node]
            let isSelected = observed.nodes[job.node].map { spec.placement.selects($0) } ?? false
            // The back-off of a node that has no pod at the moment is kept in its failed Job.
            let isUnwanted = finding == nil && job.phase != .complete && (job.isUnfinished || !isSelected)
            if observed.nodes[job.node] == nil || isUnwanted || (spec.isSuspended && job.isUnfinished)
            {
                actions.append(.deleteJob(job))
                continue
            }
            guard job.isUnfinished else { continue }
            if !job.isSuspended, let stuck = examine(job) {
                if case .ready? = finding?.state {} else { memory.stalls[job.node] = stuck }
                actions.append(.deleteJob(job))
                continue
            }
            switch finding?.state {
            case .held: places.suspended += 1
            case .warming, .waiting: if job.isSuspended { places.suspended += 1 } else { places.running += 1 }
            case .ready, .due, .waitingForAgent, .unreachable, .shortage, .failed, nil: break
            }
        }
        return places
    }

    /// Nil: the Job makes progress, or may still.
    private mutating func examine(_ job: JobView) -> StalledStart? {
        let report = observed.reports[job.node]
        // One from before its queue took it back and admitted it again tells nothing of it.
        let known = memory.examinations[job.uid].flatMap { $0.at < job.phaseSeen ? nil : $0 }
        if let known, case .stuck(let reason, let message) = known.verdict {
            return StalledStart(reason: reason, message: message, at: known.at, attempt: job.attempt)
        }
        // Readers are no progress of the Job: without keys they wait for it.
        if let report, report.bytesPerSecond > 0 { return nil }
        let due = (known?.at ?? job.phaseSeen) + observed.startDeadline
        if due <= now { actions.append(.examineJob(job)) } else { wake(at: due) }
        return nil
    }

    /// Fills the picture's lists and sums from what was found.
    mutating func describe(_ nodes: [NodeFinding], facts: ResolvedSource) {
        var remaining: Int64?
        var isRemainingKnown = true
        for finding in nodes.sorted(by: { $0.node < $1.node }) {
            let name = finding.node
            picture.desired.append(name)
            var cached = min(max(0, finding.report?.bytesCached ?? 0), facts.totalBytes)
            switch finding.state {
            case .ready:
                picture.ready.append(name)
                cached = facts.totalBytes
            case .warming:
                picture.warming.append(name)
                if let refused = refusedSoFar(finding) {
                    picture.refusedSoFar.append(
                        Picture.Failure(
                            node: name, reason: refused.code, message: SpecWords.named("\(refused.code): \(refused.message)")))
                }
                picture.bytesPerSecond = picture.bytesPerSecond.addedClamping(
                    max(0, finding.report?.bytesPerSecond ?? 0))
                if let seconds = finding.report?.remainingSeconds {
                    remaining = max(remaining ?? 0, seconds)
                } else {
                    isRemainingKnown = false
                }
            case .due, .waiting:
                picture.queued.append(name)
                isRemainingKnown = false
            case .held:
                picture.queued.append(name)
                picture.held.append(name)
                isRemainingKnown = false
            case .waitingForAgent: picture.waitingForAgent.append(name)
            case .unreachable:
                picture.unreachable.append(name)
                if picture.unreachableWhy == nil { picture.unreachableWhy = observed.agents[name]?.reach.why }
            case .shortage(let needed, let free):
                picture.shortages.append(Picture.Shortage(node: name, needed: needed, free: free))
            case .failed(let reason, let message):
                picture.failures.append(Picture.Failure(node: name, reason: reason, message: message))
            }
            picture.cachedOn[name] = cached
            picture.bytesCached = picture.bytesCached.addedClamping(cached)
        }
        let missing = picture.bytesTotal - picture.bytesCached
        if isRemainingKnown, let remaining {
            picture.remainingSeconds = remaining
        } else if picture.bytesPerSecond > 0, missing > 0 {
            picture.remainingSeconds = missing / picture.bytesPerSecond + 1
        }
        sumTraffic()
    }

    /// For a ModelCache whose spec cannot be acted on: the copies that are there, and nothing planned.
    mutating func describeReports(on spec: CacheSpec?) {
        guard let facts = picture.facts else { return }
        for (name, report) in observed.reports.sorted(by: { $0.key < $1.key }) {
            guard hasCopy(name, facts: facts) || report.pinned else { continue }
            let isWhole = hasCopy(name, facts: facts)
            let cached = isWhole ? facts.totalBytes : min(max(0, report.bytesCached), facts.totalBytes)
            picture.desired.append(name)
            if isWhole { picture.ready.append(name) } else { picture.queued.append(name) }
            picture.cachedOn[name] = cached
            picture.bytesCached = picture.bytesCached.addedClamping(cached)
        }
        sumTraffic()
    }

    private mutating func sumTraffic() {
        for report in observed.reports.values {
            picture.originBytes = picture.originBytes.addedClamping(max(0, report.originBytes))
            picture.peerBytes = picture.peerBytes.addedClamping(max(0, report.peerBytes))
            picture.copiedBytes = picture.copiedBytes.addedClamping(max(0, report.copiedBytes))
        }
    }
}
