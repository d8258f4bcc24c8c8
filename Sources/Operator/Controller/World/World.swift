internal import AgentAPI
package import CRD
package import Kubernetes
internal import Synchronization

/// Everything the operator knows, indexed by what asks for it: the reflectors and the agents' answers write, plans
/// read.
///
/// Thread-safe. Each change returns the ModelCaches that it concerns; the caller wakes them. A plan's snapshot shares
/// the tables' storage until they change, so it costs little whatever their size.
package final class World: Sendable {
    struct State {
        var caches: [ObjectKey: ModelCache] = [:]
        var keys: [String: ObjectKey] = [:]
        /// The specs of ``caches``, checked, by uid.
        var readings: [String: Observed.SpecReading] = [:]
        var nodes: [String: NodeView] = [:]
        /// By ModelCache, then by name.
        var jobs: [CacheID: [String: JobEntry]] = [:]
        var claims: [CacheID: ClaimView] = [:]
        var volumes: [String: VolumeView] = [:]
        /// By namespace, then by name.
        var quotas: [String: [String: QuotaView]] = [:]
        /// By the uids of ModelCaches that this operator found within their namespace's quota, the bytes it found so.
        var admitted: [String: Int64] = [:]
        var agents: [String: AgentView] = [:]
        /// Those of ``agents`` that were not asked yet.
        var unheard: Set<String> = []
        /// The uids of ModelCaches that were planned while some agent was ``unheard``.
        var plannedUnheard: Set<String> = []
        /// Pods that were given a ModelCache and have not started, by its uid, then by their own.
        var waitingPods: [String: [String: WaitingPod]] = [:]
        /// By uid of the ModelCache, then by node.
        private(set) var reports: [String: [String: CacheReport]] = [:]
        /// The uids of ``reports``, by node.
        private(set) var reported: [String: Set<String>] = [:]
        var resolutions: [String: Resolution] = [:]
        /// How many looks at sources there were.
        var looks = 0
        var memories: [String: Memory] = [:]
        var orders = OrderBook()
        var answers = OrderAnswers()
        /// Statuses whose write is under way, by uid.
        var expected: [String: ModelCacheStatus] = [:]
        var callers = CallerKnowledge.unverified
        var awaited: [WatchedKind: AwaitedVersions] = [:]
        var deletions: [WatchedKind: AcceptedDeletions] = [:]

        func isDeleted(_ kind: WatchedKind, _ uid: String) -> Bool { deletions[kind]?.contains(uid) ?? false }

        mutating func setReport(_ report: CacheReport, node: String) {
            reports[report.uid, default: [:]][node] = report
            reported[node, default: []].insert(report.uid)
        }

        mutating func setUsers(_ users: Int, uid: String, node: String) { reports[uid]?[node]?.users = users }

        mutating func removeReport(uid: String, node: String) {
            reports[uid]?[node] = nil
            if reports[uid]?.isEmpty ?? false { reports[uid] = nil }
            reported[node]?.remove(uid)
            if reported[node]?.isEmpty ?? false { reported[node] = nil }
        }
    }

    /// The kinds of object that this operator writes and watches.
    enum WatchedKind: Hashable {
        case caches, jobs, claims, volumes
    }

    /// A Job as last heard of. One that we made is entered from the server's answer, before the watch tells of it.
    struct JobEntry {
        var view: JobView
        /// Nil once the watch has confirmed it.
        var madeAt: WallTime?
    }

    let state = Mutex(State())
    let image: String
    let podTemplate: PodTemplate
    let access: ServiceAccess
    let diskPath: String
    let validation: ValidationPolicy
    let startDeadline: Duration
    let sourceCheckInterval: Duration?

    /// How long an answered creation is believed without the watch's confirmation.
    static let confirmationTime: Duration = .seconds(30)

    package init(
        image: String, podTemplate: PodTemplate = PodTemplate(), access: ServiceAccess = ServiceAccess(),
        diskPath: String = Names.standardDiskPath,
        validation: ValidationPolicy = ValidationPolicy(), startDeadline: Duration = .seconds(300),
        sourceCheckInterval: Duration? = nil
    ) {
        self.image = image
        self.podTemplate = podTemplate
        self.access = access
        self.diskPath = diskPath
        self.validation = validation
        self.startDeadline = startDeadline
        self.sourceCheckInterval = sourceCheckInterval
    }

    // MARK: Reading

    func cache(_ key: ObjectKey) -> ModelCache? { state.withLock { $0.caches[key] } }
    func key(uid: String) -> ObjectKey? { state.withLock { $0.keys[uid] } }
    var cacheKeys: [ObjectKey] { state.withLock { Array($0.caches.keys) } }
    func report(uid: String, node: String) -> CacheReport? { state.withLock { $0.reports[uid]?[node] } }
    func agent(_ node: String) -> AgentView? { state.withLock { $0.agents[node] } }
    func resolution(uid: String) -> Resolution { state.withLock { $0.resolutions[uid] ?? Resolution() } }
    func memory(uid: String) -> Memory { state.withLock { $0.memories[uid] ?? Memory() } }

    /// The observed state that one plan is made from; nil when the ModelCache is gone. One that is made before every
    /// agent was asked is made again when the last one was.
    package func observe(_ key: ObjectKey, now: WallTime) -> (cache: ModelCache, observed: Observed)? {
        let found = state.withLock { state -> Found? in
            guard let cache = state.caches[key], let uid = cache.metadata.uid else { return nil }
            let id = CacheID(namespace: key.namespace, uid: uid)
            let stale =
                state.jobs[id]?.filter { $0.value.madeAt.map { now - $0 > Self.confirmationTime } ?? false } ?? [:]
            for name in stale.keys { state.jobs[id]?[name] = nil }
            if !state.unheard.isEmpty { state.plannedUnheard.insert(uid) }
            let excess = state.admit(uid, in: key.namespace)
            return Found(
                cache: cache, uid: uid, state: state, jobs: state.jobs[id]?.values.map(\.view) ?? [], excess: excess)
        }
        guard let found else { return nil }
        let (cache, uid, state) = (found.cache, found.uid, found.state)
        var observed = Observed(
            cache, uid: uid, spec: state.readings[uid] ?? cache.reading(validation),
            memory: state.memories[uid] ?? Memory(),
            image: image)
        observed.podTemplate = podTemplate
        observed.access = access
        observed.diskPath = diskPath
        observed.nodes = state.nodes
        observed.agents = state.agents
        observed.agentsAreKnown = state.unheard.isEmpty
        observed.reports = state.reports[uid] ?? [:]
        observed.ordered = state.orders.nodes(uid: uid)
        observed.jobs = found.jobs.map { $0.deleting(state.isDeleted(.jobs, $0.uid)) }
        observed.waitingPods = state.waitingPods[uid].map { Array($0.values) } ?? []
        observed.claim = state.claims[CacheID(namespace: key.namespace, uid: uid)].map {
            $0.deleting(state.isDeleted(.claims, $0.uid))
        }
        observed.volume = state.volumes[uid].map { $0.deleting(state.isDeleted(.volumes, $0.uid)) }
        observed.resolution = state.resolutions[uid] ?? Resolution()
        observed.callers = state.callers
        observed.quotaExcess = found.excess
        observed.startDeadline = startDeadline
        observed.sourceCheckInterval = sourceCheckInterval
        return (cache, observed)
    }

    /// The part of an observed state that ``observe(_:now:)`` takes under the lock.
    private struct Found {
        var cache: ModelCache
        var uid: String
        var state: State
        var jobs: [JobView]
        var excess: QuotaExcess?
    }

    /// Sets the callers that may open caches from now on; every ModelCache is concerned.
    func set(_ callers: CallerKnowledge) -> [ObjectKey] {
        state.withLock { state in
            state.callers = callers
            return Array(state.caches.keys)
        }
    }

    // MARK: The state that a plan remembers

    /// A plan's changes of the memory that it was made from; changes of others meanwhile stay.
    func remember(_ planned: Memory, madeFrom base: Memory, uid: String) {
        remember(uid: uid) { $0.take(planned, madeFrom: base) }
    }

    /// The change sees the memory as it is now, and has its own facts alone.
    func remember(uid: String, _ change: (inout Memory) -> Void) {
        state.withLock { if $0.keys[uid] != nil { change(&$0.memories[uid, default: Memory()]) } }
    }

    /// - Returns: the new look's number, and that of the outdated one whose place it takes; nil when one of the same
    ///   subject is under way already.
    func beginLook(uid: String, subject: String) -> (id: Int, outdated: Int?)? {
        state.withLock { state in
            guard let key = state.keys[uid], state.caches[key]?.metadata.deletionTimestamp == nil else { return nil }
            let before = state.resolutions[uid]?.look
            guard before?.subject != subject else { return nil }
            state.looks += 1
            state.resolutions[uid, default: Resolution()].look = Resolution.Look(id: state.looks, subject: subject)
            return (state.looks, before?.id)
        }
    }

    /// Whether this look is still wanted.
    func isWanted(look id: Int, uid: String) -> Bool { state.withLock { $0.resolutions[uid]?.look?.id == id } }

    /// A look does not begin, and why.
    func waits(look id: Int, uid: String, why: String) -> [ObjectKey] {
        state.withLock { state in
            guard let key = state.keys[uid], let look = state.resolutions[uid]?.look, look.id == id, look.waiting != why
            else { return [] }
            state.resolutions[uid]?.look?.waiting = why
            return [key]
        }
    }

    /// A look has ended; no effect when another one has taken its place.
    func end(look id: Int, uid: String, _ change: (inout Resolution) -> Void) -> [ObjectKey] {
        state.withLock { state in
            guard let key = state.keys[uid], var resolution = state.resolutions[uid], resolution.look?.id == id else {
                return []
            }
            let before = state.caches[key].flatMap { state.bytes(of: $0) }
            resolution.look = nil
            change(&resolution)
            state.resolutions[uid] = resolution
            let isResized = before != nil && before != state.caches[key].flatMap { state.bytes(of: $0) }
            return isResized ? Array(Set(state.rivals(in: key.namespace) + [key])) : [key]
        }
    }
}
