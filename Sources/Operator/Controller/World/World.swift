internal import AgentAPI
internal import CRD
internal import Kubernetes
internal import Synchronization

/// Everything the operator knows, indexed by what asks for it: the reflectors and the agents' answers write, plans read.
///
/// Thread-safe. Each change returns the ModelCaches that it concerns; whoever made it wakes them. A plan's snapshot shares the
/// tables' storage until they change, so it costs little whatever their size.
final class World: Sendable {
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
        var agents: [String: AgentView] = [:]
        /// By uid of the ModelCache, then by node.
        var reports: [String: [String: CacheReport]] = [:]
        var resolutions: [String: Resolution] = [:]
        var memories: [String: Memory] = [:]
        /// Statuses whose write is under way, by uid.
        var expected: [String: ModelCacheStatus] = [:]
        var callers = CallerKnowledge.unverified
    }

    /// A Job as last heard of. One that we made is entered from the server's answer, before the watch tells of it.
    struct JobEntry {
        var view: JobView
        /// Nil once the watch has confirmed it.
        var madeAt: WallTime?
    }

    let state = Mutex(State())
    let image: String
    let validation: ValidationPolicy

    /// How long an answered creation is believed without the watch's confirmation.
    static let confirmationTime: Duration = .seconds(30)

    init(image: String, validation: ValidationPolicy = ValidationPolicy()) {
        self.image = image
        self.validation = validation
    }

    // MARK: Reading

    func cache(_ key: ObjectKey) -> ModelCache? { state.withLock { $0.caches[key] } }
    func key(uid: String) -> ObjectKey? { state.withLock { $0.keys[uid] } }
    var cacheKeys: [ObjectKey] { state.withLock { Array($0.caches.keys) } }
    func report(uid: String, node: String) -> CacheReport? { state.withLock { $0.reports[uid]?[node] } }
    func resolution(uid: String) -> Resolution { state.withLock { $0.resolutions[uid] ?? Resolution() } }
    func memory(uid: String) -> Memory { state.withLock { $0.memories[uid] ?? Memory() } }

    /// What one plan is made from; nil when the ModelCache is gone.
    func observe(_ key: ObjectKey, now: WallTime) -> (cache: ModelCache, observed: Observed)? {
        let found = state.withLock { state -> (cache: ModelCache, uid: String, state: State, jobs: [JobView])? in
            guard let cache = state.caches[key], let uid = cache.metadata.uid else { return nil }
            let id = CacheID(namespace: key.namespace, uid: uid)
            let stale = state.jobs[id]?.filter { $0.value.madeAt.map { now - $0 > Self.confirmationTime } ?? false } ?? [:]
            for name in stale.keys { state.jobs[id]?[name] = nil }
            return (cache, uid, state, state.jobs[id]?.values.map(\.view) ?? [])
        }
        guard let (cache, uid, state, jobs) = found else { return nil }
        var observed = Observed(
            cache, uid: uid, spec: state.readings[uid] ?? cache.reading(validation), memory: state.memories[uid] ?? Memory(),
            image: image)
        observed.nodes = state.nodes
        observed.agents = state.agents
        observed.agentsAreKnown = state.agents.values.allSatisfy { if case .unknown = $0.reach { false } else { true } }
        observed.reports = state.reports[uid] ?? [:]
        observed.jobs = jobs
        observed.claim = state.claims[CacheID(namespace: key.namespace, uid: uid)]
        observed.volume = state.volumes[uid]
        observed.resolution = state.resolutions[uid] ?? Resolution()
        observed.callers = state.callers
        return (cache, observed)
    }

    /// Who may open caches from now on; every ModelCache is concerned.
    func set(_ callers: CallerKnowledge) -> [ObjectKey] {
        state.withLock { state in
            state.callers = callers
            return Array(state.caches.keys)
        }
    }

    // MARK: What a plan remembers

    func remember(_ memory: Memory, uid: String) {
        state.withLock { if $0.keys[uid] != nil { $0.memories[uid] = memory } }
    }

    func remember(uid: String, _ change: (inout Memory) -> Void) {
        state.withLock { if $0.keys[uid] != nil { change(&$0.memories[uid, default: Memory()]) } }
    }

    /// - Returns: false when one is under way already.
    func beginResolution(uid: String) -> Bool {
        state.withLock { state in
            guard state.keys[uid] != nil, !(state.resolutions[uid]?.isRunning ?? false) else { return false }
            state.resolutions[uid, default: Resolution()].isRunning = true
            return true
        }
    }

    func endResolution(uid: String, _ change: (inout Resolution) -> Void) -> [ObjectKey] {
        state.withLock { state in
            guard let key = state.keys[uid] else { return [] }
            state.resolutions[uid]?.isRunning = false
            change(&state.resolutions[uid, default: Resolution()])
            return [key]
        }
    }
}

/// Which of two states of one object is the newer. Resource versions are numbers in every server there is; where they are not,
/// the newcomer counts.
func isOlder(_ left: UInt64, than right: UInt64) -> Bool { left != 0 && right != 0 && left < right }
