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
    private let seen = Mutex<[String: WallTime]>([:])
    private let work: AsyncStream<(Orphan, AgentAddress)>
    private let queue: AsyncStream<(Orphan, AgentAddress)>.Continuation

    /// A directory on a node; where an agent serves it, with the name of the ModelCache.
    private struct Orphan {
        var uid: String
        var cache: ObjectKey?
    }

    static let patience: Duration = .seconds(10)
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
        (work, queue) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(1000))
    }

    /// Called with every report once everything has synced.
    func inspect(_ report: AgentReport, _ address: AgentAddress) {
        var orphans = world.orphans(on: report, namespace: namespace)
            .map { Orphan(uid: $0.uid, cache: ObjectKey(namespace: $0.namespace, name: $0.name)) }
        // Of these nobody knows the namespace, so an operator of one namespace leaves them alone.
        if namespace == nil {
            orphans += report.remains.filter { world.key(uid: $0) == nil }.map { Orphan(uid: $0, cache: nil) }
        }
        let prefix = "\(address.node)/"
        let due = seen.withLock { seen in
            let names = Set(orphans.map { prefix + $0.uid })
            for name in seen.keys where name.hasPrefix(prefix) && !names.contains(name) { seen[name] = nil }
            return orphans.filter { orphan in
                let name = prefix + orphan.uid
                guard let first = seen[name] else {
                    seen[name] = .now
                    return false
                }
                guard WallTime.now - first >= Self.patience else { return false }
                // The next try not before another interval.
                seen[name] = .now
                return true
            }
        }
        for orphan in due { queue.yield((orphan, address)) }
    }

    /// Until cancelled.
    func run() async {
        await withDiscardingTaskGroup { group in
            group.addTask {
                for await (orphan, address) in self.work { await self.remove(orphan, address) }
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

    private func exists(uid: String) async -> Bool {
        do {
            return try await client.listAll(ModelCache.self) { $0.uid }.items.contains(uid)
        } catch {
            return true
        }
    }

    private func remove(_ orphan: Orphan, _ address: AgentAddress) async {
        guard CachePath.isUID(orphan.uid) else { return }
        // Nor is it asked for this before its back-off is over.
        if let unanswered = world.agent(address.node)?.unanswered, unanswered.until > .now { return }
        if let cache = orphan.cache {
            guard !(await exists(namespace: cache.namespace, name: cache.name, uid: orphan.uid)) else { return }
        } else if await exists(uid: orphan.uid) {
            return
        }
        let name = orphan.cache.map { "\($0)" } ?? "unknown"
        order(Order(uid: orphan.uid, node: address.node, kind: .sweep(name: name)))
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
