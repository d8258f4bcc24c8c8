public import Logging
import Synchronization

/// Keeps a ``Store`` equal to the API server's objects of one kind, by list and watch, and tells handlers of changes.
///
/// ```swift
/// let pods = Reflector<Pod, PodSummary>(client: client, selecting: .init(labelSelector: "app=agent")) { pod in
///     PodSummary(pod)
/// }
/// pods.addHandler { event in queue.add(event.key) }
/// async let running: Void = pods.run()
/// try await pods.store.waitUntilSynced()
/// ```
///
/// **Guarantees.** Handlers are called one after the other, in the order of the changes, after the store shows them. A
/// deletion while no watch ran is reported after the next list. Memory: one page of decoded objects, and the results of
/// the transform.
///
/// **Assumptions.** Handlers are quick: they run on the task that reads the watch. An object deleted and created again
/// between two lists is reported as modified; compare the uid where that matters.
///
/// **Errors.** Only cancellation ends ``run()``. Every failure is logged, kept in ``status`` and retried, also a
/// missing permission or a kind that is not installed yet.
public final class Reflector<Resource: KubernetesResource, Stored: Sendable>: Sendable {
    public typealias Handler = @Sendable (ReflectorEvent<Stored>) -> Void

    /// The reflected objects. The store may outlive the reflector.
    public let store: Store<Stored>

    private let client: KubernetesClient
    private let namespace: String?
    private let selecting: ListOptions
    private let options: ReflectorOptions
    private let logger: Logger
    private let transform: @Sendable (Resource) -> Stored?
    private let shared: Mutex<Shared>

    private struct Shared {
        var machine: ReflectorMachine
        var status = ReflectorStatus()
        var handlers: [Handler] = []
        var listHandlers: [@Sendable () -> Void] = []
    }

    /// - Parameters:
    ///   - namespace: nil for all, or for a resource of cluster scope.
    ///   - selecting: label and field selectors; the reflector sets the other options itself.
    ///   - indices: by name, the values under which ``Store/values(index:_:)`` finds an object.
    ///   - transform: the part of an object to keep; nil leaves the object out, as if it did not exist.
    public init(
        client: KubernetesClient, namespace: String? = nil, selecting: ListOptions = ListOptions(),
        options: ReflectorOptions = ReflectorOptions(),
        logger: Logger = Logger(label: "kubernetes.reflector"),
        indices: [String: Store<Stored>.IndexFunction] = [:],
        transform: @escaping @Sendable (Resource) -> Stored?
    ) {
        self.client = client
        self.namespace = namespace
        self.selecting = selecting
        self.options = options
        self.transform = transform
        var logger = logger
        logger[metadataKey: "resource"] = "\(Resource.resourceName)"
        self.logger = logger
        store = Store(indices: indices)
        shared = Mutex(Shared(machine: ReflectorMachine(options: options)))
    }

    /// Adds a handler. Call it before ``run()``: a later handler misses earlier changes.
    public func addHandler(_ handler: @escaping Handler) {
        shared.withLock { $0.handlers.append(handler) }
    }

    /// Adds a handler of lists: it is called when a list is in, before the handlers learn what changed by it. The
    /// list's versions may be smaller than those before, as after a restore of etcd. Before ``run()``.
    public func addListHandler(_ handler: @escaping @Sendable () -> Void) {
        shared.withLock { $0.listHandlers.append(handler) }
    }

    public var hasSynced: Bool { store.hasSynced }

    public func waitUntilSynced() async throws { try await store.waitUntilSynced() }

    /// The reflector's status, for metrics and readiness.
    public var status: ReflectorStatus { shared.withLock { $0.status } }

    /// Lists and watches until the task is cancelled. It may run again after that, but not twice at once.
    /// - Throws: only `CancellationError`.
    public func run() async throws {
        var action = handle(.start)
        while true {
            try Task.checkCancellation()
            switch action {
            case .proceed:
                // The machine returns this action only while a watch is running.
                action = handle(.start)
            case .wait(let pause):
                try await Task.sleep(for: pause)
                action = handle(.waited)
            case .list:
                action = try await list()
            case .watch(let version, let timeout):
                action = try await watch(from: version, timeout: timeout)
            }
        }
    }

    // MARK: Steps

    private func list() async throws -> ReflectorMachine.Action {
        let transform = transform
        do {
            let (items, version) = try await client.listAll(Resource.self, in: namespace, selecting) { object in
                transform(object).map { (object.objectKey, object.resourceVersion, $0) }
            }
            let entries = Dictionary(
                items.map { ($0.0, Store<Stored>.Entry(version: $0.1, stored: $0.2)) },
                uniquingKeysWith: { _, last in last })
            let events = store.replace(entries)
            note { status in
                status.lists += 1
                status.lastActivity = .now
                status.lastError = nil
            }
            logger.debug("listed", metadata: ["objects": "\(entries.count)", "changes": "\(events.count)"])
            for handler in shared.withLock({ $0.listHandlers }) { handler() }
            dispatch(events)
            return handle(.listed(version: version))
        } catch {
            try Task.checkCancellation()
            report(error, "list failed")
            return handle(.listFailed(ReflectorMachine.Failure(error)))
        }
    }

    private func watch(from version: String, timeout: Duration) async throws -> ReflectorMachine.Action {
        let started = ContinuousClock.now
        var followed = false
        do {
            let watch: WatchStream<Resource> = try await client.watch(
                Resource.self, in: namespace,
                WatchOptions(
                    labelSelector: selecting.labelSelector, fieldSelector: selecting.fieldSelector,
                    resourceVersion: version, timeout: timeout))
            note { status in
                status.watches += 1
                status.lastActivity = .now
                status.lastError = nil
            }
            followed = true
            let event = try await follow(watch, started)
            return handle(event)
        } catch {
            try Task.checkCancellation()
            let failure = ReflectorMachine.Failure(error)
            let lasted = started.duration(to: .now)
            if followed, case .other = failure {
                // Proxies and restarts of servers cut connections.
                logger.debug("watch was cut", metadata: ["error": "\(error)", "lasted": "\(lasted)"])
                return handle(.watchEnded(lasted: lasted))
            }
            report(error, "watch failed")
            return handle(.watchFailed(failure))
        }
    }

    /// Applies events until the watch ends. A watchdog beside it ends the watch when nothing arrives.
    private func follow(
        _ watch: WatchStream<Resource>, _ started: ContinuousClock.Instant
    ) async throws -> ReflectorMachine.Event {
        try await withThrowingTaskGroup(of: ReflectorMachine.Event.self) { group in
            group.addTask { [self] in
                for try await event in watch {
                    if let end = try receive(event) { return end }
                }
                try Task.checkCancellation()
                return .watchEnded(lasted: started.duration(to: .now))
            }
            group.addTask { [self] in
                while true {
                    let quiet = status.lastActivity?.duration(to: .now) ?? .zero
                    guard quiet < options.idleTimeout else { return .watchIdle }
                    try await Task.sleep(for: options.idleTimeout - quiet)
                }
            }
            defer { group.cancelAll() }
            return try await group.next() ?? .watchIdle
        }
    }

    /// Nil: the watch goes on.
    private func receive(_ event: WatchEvent<Resource>) throws -> ReflectorMachine.Event? {
        switch event {
        case .added(let object), .modified(let object):
            if wentBack(to: object.resourceVersion) { return .versionWentBack }
            apply(object, transform(object))
        case .deleted(let object):
            if wentBack(to: object.resourceVersion) { return .versionWentBack }
            apply(object, nil)
        case .bookmark(let version):
            if wentBack(to: version) { return .versionWentBack }
            advance(to: version, isBookmark: true)
        case .error(let status):
            throw KubernetesError(.status(status), verb: .watch, resource: Resource.resourceName)
        }
        return nil
    }

    private func apply(_ object: Resource, _ stored: Stored?) {
        let version = object.resourceVersion
        let change = store.apply(object.objectKey, version: version, stored)
        advance(to: version, isBookmark: false)
        if let change { dispatch([change]) }
    }

    private func wentBack(to version: String) -> Bool {
        guard shared.withLock({ $0.machine.precedes(version) }) else { return false }
        logger.warning("the server's versions went back; listing anew", metadata: ["version": "\(version)"])
        return true
    }

    private func advance(to version: String, isBookmark: Bool) {
        shared.withLock { shared in
            _ = shared.machine.handle(.received(version: version), random: 0)
            shared.status.lastActivity = .now
            if isBookmark { shared.status.bookmarks += 1 } else { shared.status.events += 1 }
        }
    }

    private func dispatch(_ events: [ReflectorEvent<Stored>]) {
        let handlers = shared.withLock { $0.handlers }
        for event in events {
            for handler in handlers { handler(event) }
        }
    }

    private func handle(_ event: ReflectorMachine.Event) -> ReflectorMachine.Action {
        let random = Double.random(in: 0..<1)
        return shared.withLock { $0.machine.handle(event, random: random) }
    }

    private func note(_ change: (inout ReflectorStatus) -> Void) {
        shared.withLock { change(&$0.status) }
    }

    private func report(_ error: any Error, _ message: Logger.Message) {
        note { status in
            status.failures += 1
            status.lastError = "\(error)"
        }
        logger.warning(message, metadata: ["error": "\(error)"])
    }
}

extension Reflector where Stored == Resource {
    /// Keeps complete objects.
    public convenience init(
        client: KubernetesClient, namespace: String? = nil, selecting: ListOptions = ListOptions(),
        options: ReflectorOptions = ReflectorOptions(),
        logger: Logger = Logger(label: "kubernetes.reflector"),
        indices: [String: Store<Stored>.IndexFunction] = [:]
    ) {
        self.init(
            client: client, namespace: namespace, selecting: selecting, options: options, logger: logger,
            indices: indices, transform: { $0 })
    }
}

/// The status of a ``Reflector``.
public struct ReflectorStatus: Sendable, Hashable {
    public var lists = 0
    public var watches = 0
    public var events = 0
    public var bookmarks = 0
    public var failures = 0
    /// When the server last sent anything.
    public var lastActivity: ContinuousClock.Instant?
    /// The last failure; nil once a list or a watch has succeeded again.
    public var lastError: String?
}
