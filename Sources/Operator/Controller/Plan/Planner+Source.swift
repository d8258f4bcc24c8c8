internal import AgentAPI

extension Planner {
    /// How often near the end of the credentials.
    private static let expiryCheckInterval: Duration = .seconds(300)

    /// The source with its endpoint filled in, which agents and Jobs are given. Nil when an `oss://` source has neither
    /// endpoint nor region and the nodes do not agree on one; ``picture`` says so.
    ///
    /// A region that was taken from the nodes once is kept: nodes that come, go or are labelled anew do not move the
    /// source.
    mutating func effectiveSource(_ spec: CacheSpec, nodes: [NodeView]) -> CacheDefinition.Source? {
        if spec.needsRegion, observed.recorded.region == nil, nodes.isEmpty {
            if picture.facts == nil { picture.source = .waitingForNodes } else { picture.source = .resolved }
            return nil
        }
        let regions = Set(nodes.compactMap { $0.labels[NodeView.regionLabel] })
        switch spec.effectiveSource(regions: regions, recorded: observed.recorded.region) {
        case .success(let source):
            if spec.needsRegion { picture.region = source.region }
            return source
        case .failure(let failure):
            picture.source = .failed(failure)
            return nil
        }
    }

    /// Settles what the source holds, from a fresh answer or from the status, and asks when neither is there.
    mutating func planSource(_ spec: CacheSpec) {
        let resolution = observed.resolution
        picture.reader = spec.reader
        picture.pinnedDigest = spec.pinnedDigest
        let isCurrent = resolution.subject == spec.resolutionSubject
        switch resolution.outcome {
        case .resolved(let source) where isCurrent:
            settle(source, spec)
            watchExpiry(of: source.secret)
            guard case .resolved = picture.source else { return }
            if let missed = resolution.missed {
                resolve()
                guard missed.isTold else { return }
                picture.source = .failed(missed.failure)
                isSourceAssumed = true
            } else {
                checkSource(spec)
            }
        case .failed(let failure) where isCurrent:
            picture.source = .failed(failure)
            let retry = (resolution.finishedAt ?? now) + resolution.backoff(isJob: spec.isListedByJobs)
            // An edit may be what mends it.
            if retry <= now || resolution.generation != observed.generation { resolve() } else { wake(at: retry) }
        default:
            picture.source = unlistedSource
            if let look = resolution.look, look.subject == spec.resolutionSubject {
                picture.listingWaits = look.waiting
            }
            // Another way to the store, or another Secret, is tried now. After a restart a good status is good until a
            // Job needs more, unless the spec has changed meanwhile.
            if case .resolved = picture.source, resolution.subject.isEmpty, !isEdited {
                return checkSource(spec)
            }
            resolve()
        }
    }

    /// Whether no status was written for this spec yet.
    private var isEdited: Bool { observed.recorded.generation != observed.generation }

    /// A source that was not listed since this operator started, or since it was edited, is as the status says. A
    /// failure stands until a listing ends it, since a pinned source may still hold another one.
    private var unlistedSource: Picture.Source {
        guard picture.facts != nil else { return .resolving }
        if let failure = observed.recorded.failure, !failure.reason.isOfSpec,
            failure.reason != .digestMismatch || !isEdited
        {
            return .failed(failure)
        }
        return picture.isExcluded ? .resolving : .resolved
    }

    /// Whether the source is taken to hold what the picture says, so that Jobs may be made.
    var isSourceUsable: Bool { if case .resolved = picture.source { true } else { isSourceAssumed } }

    /// Whether a listing of this operator's own says what the source holds. The status alone does not do for a pinned
    /// one: the source may have changed since.
    func isListed(_ spec: CacheSpec) -> Bool {
        observed.resolution.resolved != nil && observed.resolution.subject == spec.resolutionSubject
    }

    private mutating func settle(_ source: ResolvedSource, _ spec: CacheSpec) {
        guard let pinned = spec.pinnedDigest, pinned != source.digest else {
            if let recorded = observed.recorded.source, spec.pinnedDigest == nil {
                picture.change = observed.resolution.change ?? SourceChange(from: recorded, to: source)
            }
            picture.isChangeSettled = spec.pinnedDigest != nil
            picture.facts = source
            picture.source = .resolved
            return
        }
        picture.change = observed.resolution.change
        picture.source = .failed(
            SourceFailure(
                .digestMismatch,
                "the source has the digest \(source.digest), and spec.source.digest allows \(pinned) alone; nothing is warmed. "
                    + "Put the objects back, or change spec.source.digest"))
        let wait = observed.resolution.wait(isJob: spec.isListedByJobs)
        let next = (observed.resolution.finishedAt ?? now) + wait
        if next <= now { resolve() } else { wake(at: next) }
    }

    mutating func resolve() {
        // The listing of an outdated spec is none.
        if let look = observed.resolution.look, case .valid(let spec) = observed.spec,
            look.subject == spec.resolutionSubject
        {
            return
        }
        if let missed = observed.resolution.missed, case .valid(let spec) = observed.spec,
            observed.resolution.subject == spec.resolutionSubject
        {
            let next = missed.next(isJob: spec.isListedByJobs)
            guard next <= now else { return wake(at: next) }
        }
        if !actions.contains(.resolve) { actions.append(.resolve) }
    }

    /// A source may be rolled back to a version that was asked about before.
    private static let answerLifetime: Duration = .seconds(600)

    /// An agent holds another version of the source than the one recorded. Either the source has changed since, or the
    /// agent's copy is old; the store knows.
    /// - Returns: whether the copy is old for certain.
    mutating func question(_ digest: String, spec: CacheSpec) -> Bool {
        guard let asked = memory.questioned[digest], now - asked < Self.answerLifetime else {
            memory.questioned = memory.questioned.filter { now - $0.value < Self.answerLifetime }
            memory.questioned[digest] = now
            resolve()
            return false
        }
        guard observed.resolution.subject == spec.resolutionSubject, let finished = observed.resolution.finishedAt,
            finished >= asked
        else {
            resolve()
            return false
        }
        return observed.resolution.resolved != nil
    }

    /// An agent refused what the source holds now: the listing that allowed its Job is old.
    mutating func questionPin(refusedAt: WallTime) {
        if observed.resolution.finishedAt.map({ $0 < refusedAt }) ?? true { resolve() }
    }

    /// While nodes fail, a new version of the Secret may be what they need: entries may be renamed, values rotated, the
    /// Secret made anew. A look is a Job that lists the source. Jobs that warm look for themselves.
    mutating func watchSecret(_ spec: CacheSpec, nodes: [NodeFinding]) {
        guard spec.secretName != nil, !spec.isSuspended, nodes.contains(where: \.hasFailed) else {
            // A failed node that is tried once more has not recovered.
            if nodes.allSatisfy(\.isReady) { memory.nodesFailSince = nil }
            return
        }
        let since = isEdited ? now : memory.nodesFailSince ?? now
        memory.nodesFailSince = since
        look(after: RetryInterval.job(since: since, now: now))
    }

    /// Credentials are renewed by writing the Secret anew; from so long before their expiry on, that is looked for.
    private static let expiryNoticeSeconds: Int64 = 7200

    private mutating func watchExpiry(of secret: SecretView?) {
        guard let expiry = secret?.expiry else { return }
        let notice = WallTime(seconds: expiry - Self.expiryNoticeSeconds)
        if notice <= now { look(after: Self.expiryCheckInterval) } else { wake(at: notice) }
    }

    /// Looks whether the source still holds what was listed, though nothing asks for it.
    private mutating func checkSource(_ spec: CacheSpec) {
        guard let interval = observed.sourceCheckInterval, !spec.isSuspended else { return }
        let listed = observed.resolution.finishedAt
        let since = listed ?? memory.sourceKnownSince ?? now
        if listed == nil { memory.sourceKnownSince = since }
        let next = SourceCheck.next(after: since, every: interval, uid: owner.uid)
        if next <= now { resolve() } else { wake(at: next) }
    }

    /// A change of the source is over once every copy is of the present listing.
    mutating func settleChange(_ facts: ResolvedSource) {
        guard isSourceUsable else { return }
        if memory.rolledOut != facts.digest { memory.rolledOut = nil }
        let isEverywhere =
            observed.agentsAreKnown && picture.ready.count == picture.desired.count
            && observed.reports.values.allSatisfy { $0.state != .ready || $0.digest == facts.digest }
        if isEverywhere { memory.rolledOut = facts.digest }
        picture.isChangeSettled = picture.isChangeSettled || memory.rolledOut == facts.digest
        if memory.rolledOut == facts.digest { picture.change = nil }
    }

    private mutating func look(after interval: Duration) {
        let next = (observed.resolution.finishedAt ?? WallTime(milliseconds: 0)) + interval
        guard next <= now else { return wake(at: next) }
        resolve()
        wake(at: now + interval)
    }
}

extension CacheSpec {
    /// Whether the nodes decide where the source is.
    var needsRegion: Bool { source.endpoint == nil && source.region == nil && source.uri.hasPrefix("oss://") }

    /// - Parameters:
    ///   - regions: those that the nodes at hand are labelled with.
    ///   - recorded: the one that was settled on earlier.
    func effectiveSource(regions: Set<String>, recorded: String?) -> Result<CacheDefinition.Source, SourceFailure> {
        var source = source
        guard source.endpoint == nil, source.uri.hasPrefix("oss://") else { return .success(source) }
        if source.region == nil, let recorded {
            source.region = recorded
        } else if source.region == nil {
            guard regions.count == 1, let region = regions.first else {
                let found =
                    regions.isEmpty
                    ? "no matching node has the label \(NodeView.regionLabel)"
                    : "the matching nodes are in several regions (\(regions.sorted().prefix(3).joined(separator: ", ")))"
                return .failure(
                    SourceFailure(
                        .invalidSpec,
                        "spec.source.region: is not set, nor is spec.source.endpoint, and \(found); set one of them, for example "
                            + "region: cn-hangzhou"))
            }
            source.region = region
        }
        if let region = source.region {
            let name = region.hasPrefix("oss-") ? String(region.dropFirst(4)) : region
            source.endpoint = "https://oss-\(name)-internal.aliyuncs.com"
        }
        return .success(source)
    }
}
