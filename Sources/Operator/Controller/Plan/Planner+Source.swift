internal import AgentAPI

extension Planner {
    /// How often the Secret is looked at while nodes fail.
    private static let secretCheckInterval: Duration = .seconds(60)

    /// The source with its endpoint filled in, which agents and Jobs are given. Nil when an `oss://` source has neither endpoint
    /// nor region and the nodes do not agree on one; ``picture`` says so.
    ///
    /// A region that was taken from the nodes once is kept: nodes that come, go or are labelled anew do not move the source.
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
        let isCurrent = resolution.subject == spec.resolutionSubject
        switch resolution.outcome {
        case .resolved(let source) where isCurrent:
            picture.facts = source
            picture.source = .resolved
        case .failed(let failure) where isCurrent:
            picture.source = .failed(failure)
            let retry = (resolution.finishedAt ?? now) + resolution.backoff
            if retry <= now { resolve() } else { wake(at: retry) }
        default:
            picture.source = picture.facts == nil ? .resolving : .resolved
            // A renamed Secret is looked at now; after a restart what the status says is good until a Job needs more.
            if picture.facts == nil || !resolution.subject.isEmpty { resolve() }
        }
    }

    mutating func resolve(secretOnly: Bool = false) {
        guard !observed.resolution.isRunning else { return }
        let wanted = Action.resolve(secretOnly: secretOnly)
        guard !actions.contains(.resolve(secretOnly: false)) else { return }
        actions.removeAll { $0 == .resolve(secretOnly: true) }
        actions.append(wanted)
    }

    /// A source may be rolled back to a version that was asked about before.
    private static let answerLifetime: Duration = .seconds(600)

    /// An agent holds another version of the source than the one recorded. Either the source has changed since, or the agent's
    /// copy is old; the store knows.
    /// - Returns: whether the copy is old for certain.
    mutating func question(_ digest: String, spec: CacheSpec) -> Bool {
        guard let asked = memory.questioned[digest], now - asked < Self.answerLifetime else {
            memory.questioned = memory.questioned.filter { now - $0.value < Self.answerLifetime }
            memory.questioned[digest] = now
            resolve()
            return false
        }
        guard observed.resolution.subject == spec.resolutionSubject, let finished = observed.resolution.finishedAt, finished >= asked
        else {
            resolve()
            return false
        }
        return observed.resolution.resolved != nil
    }

    /// Names and version of the Secret's entries are needed for a Job; after a restart they are not known yet.
    mutating func hasCredentials(_ spec: CacheSpec) -> Bool {
        guard case .resolved = picture.source else { return false }
        guard let secretName = spec.secretName else { return true }
        if let secret = observed.resolution.resolved?.secret, secret.name == secretName { return true }
        resolve()
        return false
    }

    /// While nodes fail, a new version of the Secret may be what they need.
    mutating func watchSecret(_ spec: CacheSpec) {
        guard spec.secretName != nil else { return }
        let last = max(memory.secretCheckedAt ?? WallTime(milliseconds: 0), observed.resolution.finishedAt ?? WallTime(milliseconds: 0))
        if now - last >= Self.secretCheckInterval {
            memory.secretCheckedAt = now
            resolve(secretOnly: true)
            wake(at: now + Self.secretCheckInterval)
        } else {
            wake(at: last + Self.secretCheckInterval)
        }
    }
}

extension CacheSpec {
    /// What a resolution is for: another source or Secret makes an old answer void.
    public var resolutionSubject: String { "\(sourceHash) \(secretName ?? "")" }

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
                let found = regions.isEmpty
                    ? "no matching node has the label \(NodeView.regionLabel)"
                    : "the matching nodes are in several regions (\(regions.sorted().prefix(3).joined(separator: ", ")))"
                return .failure(SourceFailure(
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
