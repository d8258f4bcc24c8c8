internal import AgentAPI

/// The next actions for one ModelCache, and its state.
///
/// Pure: made from an ``Observed`` and a time, nothing else. Making it again from the same world gives the same plan,
/// and making it after any part of its actions was carried out gives the rest; that is all the crash safety there is,
/// and all that is needed.
public struct Plan: Sendable {
    /// In the order in which they are carried out.
    public var actions: [Action] = []
    /// Nil: leave the status alone.
    public var picture: Picture?
    /// Events to be raised before ``actions`` are carried out.
    public var events: [PlannedEvent] = []
    /// The template that all Jobs of ``actions`` share.
    public var template: WarmupTemplate?
    /// When to plan again though nothing was heard.
    public var requeueAfter: Duration?
    /// The state to remember for the next plan.
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
    /// The picture tells that the store does not answer now; what it last said stands.
    var isSourceAssumed = false
    /// The same for all nodes but for the pin; hashing it and the callers' keys for each of a hundred nodes was half of
    /// a plan.
    var definitions: [Bool: (definition: CacheDefinition, hash: Int)] = [:]
    /// The pods that wait, by node. A pod of another namespace may name any uid, and has no claim to this model.
    let waitingPods: [String: [WaitingPod]]
    /// ``CallerPolicy/digest``, where callers are known.
    let callersDigest: String?
    /// The same of the policy that definitions carry.
    let policyDigest: String?

    init(_ observed: Observed, now: WallTime) {
        self.observed = observed
        self.now = now
        memory = observed.memory
        waitingPods = Dictionary(
            grouping: observed.waitingPods.lazy.filter { $0.namespace == observed.owner.namespace }, by: \.node)
        policyDigest = observed.callers.policy?.digest
        callersDigest = if case .known = observed.callers { policyDigest } else { nil }
        memory.forgetNodes(besides: observed.agents)
        picture.region = observed.recorded.region
        picture.medium = observed.recorded.medium
    }

    var owner: Owner { observed.owner }

    mutating func wake(at time: WallTime) { wake = min(wake ?? time, time) }

    mutating func plan() -> Plan {
        countHolders()
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
        if let requested = observed.evictionRequest {
            planEviction(requested)
            var plan = Plan(actions: actions, memory: memory)
            plan.events = events
            return plan
        }
        // Also where the answer to the write that ended it was lost: the same words again are another request.
        memory.refresh = nil
        picture.facts = observed.recorded.source
        picture.fingerprint = observed.recorded.fingerprint
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
        if !observed.recorded.fingerprint.isEmpty, observed.recorded.fingerprint != spec.fingerprint {
            picture.source = .failed(
                SourceFailure(
                    .sourceImmutable,
                    "spec.source.uri or include was changed after it was resolved; what is cached stays as it was. Set it back, "
                        + "or make a new ModelCache for the new source"))
            describeReports(on: spec)
            return finished(template: nil)
        }
        if let medium = observed.recorded.medium, medium != spec.medium {
            picture.source = .failed(
                SourceFailure(
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
        picture.fingerprint = spec.fingerprint
        picture.medium = spec.medium
        picture.quotaExcess = observed.quotaExcess
        planVolume(spec, facts: facts)
        tellOfClaim()
        let settled = actions.count
        let nodes = planNodes(spec, facts: facts, source: source, selected: selected)
        // A Job's node is prepared; requests to other nodes' agents need not go before it.
        let questions = actions[settled...]
        actions.removeSubrange(settled...)
        planJobs(spec, facts: facts, nodes: nodes)
        actions += questions
        describe(nodes, facts: facts)
        settleChange(facts)
        tellPods(spec, facts: facts, selected: Set(selected.map(\.name)), nodes: nodes)
        return finished(
            template: WarmupTemplate(
                owner: owner, spec: spec, source: source, image: observed.image,
                pods: observed.podTemplate.overlaid(by: spec.podTemplate), access: observed.access))
    }

    private mutating func finished(template: WarmupTemplate?) -> Plan {
        picture.copies = copies
        picture.departed = holders.departedNodes
        var plan = Plan(
            actions: actions, picture: picture, template: template,
            requeueAfter: wake.map { max(.milliseconds(10), $0 - now) }, memory: memory)
        plan.events = events
        return plan
    }

    /// Nothing else is planned beside a request: its outcome is the next plan's world. The copies go first: a Job that
    /// went before its copy could be made anew and find everything there.
    ///
    /// No copy is dropped twice for one request: it is marked as begun on the object before the first copy goes, and an
    /// operator that finds the mark of another process carries nothing out.
    private mutating func planEviction(_ request: RequestedEviction) {
        let known = memory.refresh.flatMap { $0.text == request.text ? $0 : nil }
        // Every node that has a copy: which these are is known once all agents were asked, and each of their first
        // answers brings another plan.
        guard request.node != nil || observed.agentsAreKnown else { return }
        guard observed.evictionBegun == request.mark else {
            memory.refresh = known ?? Memory.Refresh(text: request.text)
            actions.append(.beginEviction(request))
            return
        }
        guard let refresh = known else {
            events.append(
                PlannedEvent(
                    isWarning: true, reason: "EvictionInterrupted",
                    message: "the operator was started again while it carried out the request "
                        + "\(Words.line(request.text, limit: 100)); copies that it had not reached are still there. "
                        + "To drop them, ask again: kubectl modelcache evict \(owner.name)"))
            actions.append(.clearEvictionRequest)
            return
        }
        let nodes = request.node.map { [$0] } ?? observed.reports.keys.sorted()
        let left = nodes.filter { refresh.nodes[$0] == nil }
        guard left.isEmpty else {
            for node in left where !observed.ordered.contains(node) { actions.append(.refresh(node: node)) }
            return
        }
        for job in observed.jobs.sorted(by: { $0.name < $1.name })
        where refresh.nodes[job.node] == true && !job.isDeleting { actions.append(.deleteJob(job)) }
        actions.append(.clearEvictionRequest)
    }

    /// The claim comes before its volume (see ``CacheVolume``), and both before the Jobs that mount them. A volume that
    /// was bound to an earlier claim of the same name is made anew: Kubernetes never binds it again.
    private mutating func planVolume(_ spec: CacheSpec, facts: ResolvedSource) {
        // A volume says that the ModelCache was admitted. A claim is anybody's to make.
        if observed.quotaExcess != nil, observed.volume == nil { return }
        let wanted = CacheVolume(
            owner: owner, medium: spec.medium, sizeBytes: facts.totalBytes,
            diskPath: observed.diskPath)
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
