internal import AgentAPI

extension Planner {
    /// How often the Secret is looked at while a node fails: entries may be renamed, values rotated, the Secret made
    /// anew. A look is a Job that lists the source. Jobs that warm look for themselves.
    private static let secretCheckInterval: Duration = .seconds(60)
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
        let isCurrent = resolution.subject == spec.resolutionSubject
        switch resolution.outcome {
        case .resolved(let source) where isCurrent:
            settle(source, spec)
            watchExpiry(of: source.secret)
        case .failed(let failure) where isCurrent:
            picture.source = .failed(failure)
            let retry = (resolution.finishedAt ?? now) + resolution.backoff
            if retry <= now { resolve() } else { wake(at: retry) }
        default:
            picture.source = picture.facts == nil ? .resolving : .resolved
            if let look = resolution.look, look.subject == spec.resolutionSubject {
                picture.listingWaits = look.waiting
            }
            // Another way to the store, or another Secret, is tried now. After a restart the status is good until a Job
            // needs more, unless the spec has changed meanwhile.
            let isNew = observed.recorded.generation != observed.generation
            if picture.facts == nil || !resolution.subject.isEmpty || isNew { resolve() }
        }
    }

    /// How often a source that holds something else than the pinned listing is looked at.
    private static let mismatchInterval: Duration = .seconds(60)

    private mutating func settle(_ source: ResolvedSource, _ spec: CacheSpec) {
        guard let pinned = spec.pinnedDigest, pinned != source.digest else {
            if let recorded = observed.recorded.source, spec.pinnedDigest == nil {
                picture.change = observed.resolution.change ?? SourceChange(from: recorded, to: source)
            }
            picture.isPinned = spec.pinnedDigest != nil
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
        let next = (observed.resolution.finishedAt ?? now) + Self.mismatchInterval
        if next <= now { resolve() } else { wake(at: next) }
    }

    mutating func resolve() {
        // The listing of an outdated spec is none.
        if let look = observed.resolution.look, case .valid(let spec) = observed.spec,
            look.subject == spec.resolutionSubject
        {
            return
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

    /// While nodes fail, a new version of the Secret may be what they need.
    mutating func watchSecret(_ spec: CacheSpec) {
        guard spec.secretName != nil else { return }
        look(after: Self.secretCheckInterval)
    }

    /// Credentials are renewed by writing the Secret anew; from so long before their expiry on, that is looked for.
    private static let expiryNoticeSeconds: Int64 = 7200

    private mutating func watchExpiry(of secret: SecretView?) {
        guard let expiry = secret?.expiry else { return }
        let notice = WallTime(seconds: expiry - Self.expiryNoticeSeconds)
        if notice <= now { look(after: Self.expiryCheckInterval) } else { wake(at: notice) }
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
