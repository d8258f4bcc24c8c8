internal import AgentAPI

/// What to do now about one ModelCache, and how it stands.
///
/// Pure: made from an ``Observed`` and a time, nothing else. Making it again from the same world gives the same plan, and making
/// it after any part of its actions was carried out gives the rest; that is all the crash safety there is, and all that is needed.
public struct Plan: Sendable {
    /// In the order in which they are carried out.
    public var actions: [Action] = []
    /// Nil: leave the status alone.
    public var picture: Picture?
    /// Events to be raised before ``actions`` are carried out.
    public var events: [PlannedEvent] = []
    /// What all Jobs of ``actions`` share.
    public var template: WarmupTemplate?
    /// When to plan again though nothing was heard.
    public var requeueAfter: Duration?
    /// What to remember.
    public var memory: Memory

    public init(
        actions: [Action] = [], picture: Picture? = nil, template: WarmupTemplate? = nil, requeueAfter: Duration? = nil,
        memory: Memory
    ) {
        self.actions = actions
        self.picture = picture
        self.template = template
        self.requeueAfter = requeueAfter
        self.memory = memory
    }

    public static func make(observed: Observed, now: WallTime) -> Plan {
        var planner = Planner(observed, now: now)
        return planner.plan()
    }
}

/// Makes one plan. Its parts are in extensions: source, nodes, Jobs, deletion.
struct Planner {
    let observed: Observed
    let now: WallTime
    var memory: Memory
    var actions: [Action] = []
    var picture = Picture()
    var events: [PlannedEvent] = []
    var wake: WallTime?
    /// The same for all nodes but for the pin; hashing it and the callers' keys for each of a hundred nodes was half of a plan.
    var definitions: [Bool: (definition: CacheDefinition, hash: Int)] = [:]
    /// ``CallerPolicy/digest``, where callers are known.
    let callersDigest: String?

    init(_ observed: Observed, now: WallTime) {
        self.observed = observed
        self.now = now
        memory = observed.memory
        callersDigest = if case .known(let policy) = observed.callers { policy.digest } else { nil }
        memory.forgetNodes(besides: observed.agents)
        picture.region = observed.recorded.region
        picture.medium = observed.recorded.medium
    }

    var owner: Owner { observed.owner }

    mutating func wake(at time: WallTime) { wake = min(wake ?? time, time) }

    mutating func plan() -> Plan {
        if observed.deletedAt != nil {
            // Without our finalizer the object is somebody else's to release; the garbage collector has the rest.
            guard observed.hasFinalizer else { return Plan(memory: memory) }
            planDeletion()
            return finished(template: nil)
        }
        guard observed.hasFinalizer else {
            actions = [.addFinalizer]
            return Plan(actions: actions, memory: memory)
        }
        if let wish = observed.evictionRequest {
            planEviction(wish)
            return Plan(actions: actions, memory: memory)
        }
        picture.facts = observed.recorded.source
        picture.sourceHash = observed.recorded.sourceHash
        picture.seeders = observed.recorded.seeders
        switch observed.spec {
        case .invalid(let message):
            picture.source = .failed(SourceFailure(.invalidSpec, message))
            describeReports(on: nil)
            return finished(template: nil)
        case .valid(let spec):
            return plan(spec)
        }
    }

    private mutating func plan(_ spec: CacheSpec) -> Plan {
        picture.isSuspended = spec.isSuspended
        picture.isEager = spec.isEager
        picture.seedersWanted = spec.seeders
        if !observed.recorded.sourceHash.isEmpty, observed.recorded.sourceHash != spec.sourceHash {
            picture.source = .failed(SourceFailure(
                .sourceImmutable,
                "spec.source was changed after it was resolved; what is cached stays as it was. Set it back, or make a new "
                    + "ModelCache for the new source"))
            describeReports(on: spec)
            return finished(template: nil)
        }
        if let medium = observed.recorded.medium, medium != spec.medium {
            picture.source = .failed(SourceFailure(
                .mediumImmutable,
                "spec.cache.medium was changed to \(spec.medium.rawValue) after volumes were made for \(medium.rawValue); what is cached "
                    + "stays as it was. Set it back, or make a new ModelCache for the other medium"))
            describeReports(on: spec)
            return finished(template: nil)
        }
        let selected = observed.nodes.values.filter { spec.placement.selects($0) }
        guard let source = effectiveSource(spec, nodes: selected) else {
            describeReports(on: spec)
            return finished(template: nil)
        }
        planSource(spec)
        guard let facts = picture.facts else { return finished(template: nil) }
        picture.sourceHash = spec.sourceHash
        picture.medium = spec.medium
        planVolume(spec, facts: facts)
        let settled = actions.count
        let nodes = planNodes(spec, facts: facts, source: source, selected: selected)
        // A Job's node is prepared; what is asked of other nodes' agents need not go before it.
        let questions = actions[settled...]
        actions.removeSubrange(settled...)
        planJobs(spec, facts: facts, nodes: nodes)
        actions += questions
        describe(nodes, facts: facts)
        return finished(template: WarmupTemplate(
            owner: owner, spec: spec, source: source, secret: observed.resolution.resolved?.secret, image: observed.image))
    }

    private func finished(template: WarmupTemplate?) -> Plan {
        var plan = Plan(
            actions: actions, picture: picture, template: template,
            requeueAfter: wake.map { max(.milliseconds(10), $0 - now) }, memory: memory)
        plan.events = events
        return plan
    }

    /// Nothing else is planned beside a request: what it leaves behind is the next plan's world.
    private mutating func planEviction(_ wish: EvictionWish) {
        let jobs = Dictionary(observed.jobs.map { ($0.node, $0) }, uniquingKeysWith: { first, _ in first })
        let nodes = wish.node.map { [$0] } ?? observed.reports.keys.sorted()
        for node in nodes { actions.append(.refresh(node: node, jobs[node].flatMap { $0.isDeleting ? nil : $0 })) }
        actions.append(.clearEvictionRequest(wish))
    }

    /// The claim comes before its volume (see ``CacheVolume``), and both before the Jobs that mount them. A volume that was bound to an
    /// earlier claim of the same name is made anew: Kubernetes never binds it again.
    private mutating func planVolume(_ spec: CacheSpec, facts: ResolvedSource) {
        let wanted = CacheVolume(owner: owner, medium: spec.medium, sizeBytes: facts.totalBytes)
        if let claim = observed.claim {
            if claim.isLost, !claim.isDeleting { actions.append(.deleteClaim(claim)) }
        } else if isAllowedToWrite {
            actions.append(.createClaim(wanted))
        }
        if let volume = observed.volume {
            if let claim = observed.claim, let bound = volume.claimUID, bound != claim.uid, !volume.isDeleting {
                actions.append(.deleteVolume(volume))
            }
        } else if isAllowedToWrite {
            actions.append(.createVolume(wanted))
        }
    }

    /// False while the API server's last refusal is fresh.
    var isAllowedToWrite: Bool { (memory.refusedWrites?.until ?? now) <= now }
}
