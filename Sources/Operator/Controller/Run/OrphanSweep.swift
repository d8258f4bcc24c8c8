internal import AgentAPI
internal import CRD
internal import Kubernetes
internal import Logging
internal import Synchronization

/// Removes what is left of ModelCaches that are gone: copies on agents that were away when they were deleted or whose
/// readers had not ended, directories that an agent does not serve, and volumes. An agent removes nothing by its own
/// guess.
///
/// A thing without a ModelCache may also be one whose ModelCache this operator has not heard of yet. So it must be seen
/// twice, some time apart, and the API server is asked before anything is removed.
final class OrphanSweep: Sendable {
    private let client: KubernetesClient
    private let order: @Sendable (Order) -> Void
    private let world: World
    private let namespace: String?
    private let logger: Logger
    private let sightings = Mutex(OrphanSightings())
    /// An operator of one namespace may lack the right to list the ModelCaches of all, and does not ask again then.
    private let mayListAll = Mutex(true)
    /// Those that are due, by node and uid.
    private let due = Mutex<[String: Orphan]>([:])
    private let signals: AsyncStream<Void>
    private let signal: AsyncStream<Void>.Continuation

    /// A directory on a node; where an agent serves it, with the name of the ModelCache.
    private struct Orphan {
        var uid: String
        var node: String
        var cache: ObjectKey?
    }

    /// More come with later reports.
    private static let mostDue = 1000
    static let interval: Duration = .seconds(20)

    /// - Parameter order: gives an agent an order in the background.
    init(
        client: KubernetesClient, world: World, namespace: String?, logger: Logger,
        order: @escaping @Sendable (Order) -> Void
    ) {
        self.client = client
        self.order = order
        self.world = world
        self.namespace = namespace
        self.logger = logger
        (signals, signal) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// Called with every report once everything has synced.
    func inspect(_ report: AgentReport, _ address: AgentAddress) {
        let node = address.node
        var orphans = world.orphans(on: report, namespace: namespace)
            .map { Orphan(uid: $0.uid, node: node, cache: ObjectKey(namespace: $0.namespace, name: $0.name)) }
        // Of these nobody knows the namespace: they are nobody's only if no namespace has a ModelCache of the uid.
        if mayListAll.withLock({ $0 }) {
            orphans += report.remains.filter { world.key(uid: $0) == nil }.map { Orphan(uid: $0, node: node) }
        }
        let uids = Set(orphans.map(\.uid))
        let ripe = sightings.withLock { $0.saw(uids, on: node, now: .now) }
        guard !ripe.isEmpty else { return }
        due.withLock { due in
            for orphan in orphans where ripe.contains(orphan.uid) && due.count < Self.mostDue {
                due["\(node)/\(orphan.uid)"] = orphan
            }
        }
        signal.yield()
    }

    /// The node has no agent any more.
    func forget(_ node: String) { sightings.withLock { $0.forget(node) } }

    /// Until cancelled.
    func run() async {
        await withDiscardingTaskGroup { group in
            group.addTask {
                for await _ in self.signals { await self.removeDue() }
            }
            group.addTask {
                var known: Set<String> = []
                while !Task.isCancelled {
                    let orphans = self.world.orphanedVolumes
                    // Those that were there a while ago too.
                    for volume in orphans
                    where known.contains(volume.uid) && (self.namespace == nil || volume.namespace == self.namespace) {
                        await self.remove(volume)
                    }
                    known = Set(orphans.map(\.uid))
                    try? await Task.sleep(for: Self.interval)
                }
            }
        }
    }

    private func exists(namespace: String, name: String, uid: String) async -> Bool {
        guard !namespace.isEmpty, !name.isEmpty else { return true }
        do {
            return try await client.find(ModelCache.self, ObjectKey(namespace: namespace, name: name))?.uid == uid
        } catch {
            return true
        }
    }

    /// The uids of the ModelCaches of all namespaces; nil: the API server does not tell.
    private func presentUIDs() async -> Set<String>? {
        do {
            return Set(try await client.listAll(ModelCache.self) { $0.uid }.items)
        } catch let error as KubernetesError where error.isForbidden && namespace != nil {
            mayListAll.withLock { $0 = false }
            logger.notice(
                "directories on nodes of which nobody knows the ModelCache stay: this operator may not list the ModelCaches of all namespaces"
            )
        } catch {}
        return nil
    }

    /// One list tells of all that have no name, however many they are.
    private func removeDue() async {
        let orphans = due.withLock { due in
            defer { due = [:] }
            return due.values.filter { CachePath.isUID($0.uid) && mayOrder($0.node) }
        }
        var present: Set<String>?
        if orphans.contains(where: { $0.cache == nil }) { present = await presentUIDs() }
        for orphan in orphans {
            if let cache = orphan.cache {
                if await exists(namespace: cache.namespace, name: cache.name, uid: orphan.uid) { continue }
            } else if present?.contains(orphan.uid) ?? true {
                continue
            }
            let name = orphan.cache.map { "\($0)" } ?? "unknown"
            order(Order(uid: orphan.uid, node: orphan.node, kind: .sweep(name: name)))
        }
    }

    /// False: the agent left its last order unanswered, and its back-off is not over.
    private func mayOrder(_ node: String) -> Bool {
        world.agent(node)?.unanswered.map { $0.until <= .now } ?? true
    }

    private func remove(_ volume: VolumeView) async {
        guard !(await exists(namespace: volume.namespace, name: volume.cacheName, uid: volume.cacheUID)) else { return }
        do {
            try await client.delete(PersistentVolume.self, ObjectKey(name: volume.name), DeleteOptions(uid: volume.uid))
            logger.notice("removed a volume whose ModelCache is gone", metadata: ["volume": "\(volume.name)"])
        } catch {
            logger.info(
                "a volume whose ModelCache is gone stays for now",
                metadata: ["volume": "\(volume.name)", "reason": "\(error)"])
        }
    }
}
