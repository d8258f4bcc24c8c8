internal import AgentAPI
internal import CRD
internal import Kubernetes
internal import Logging
internal import Synchronization

/// Removes what is left of ModelCaches that are gone: copies on agents that were away when they were deleted, and volumes.
///
/// A thing without a ModelCache may also be one whose ModelCache this operator has not heard of yet. So it must be seen twice,
/// some time apart, and the API server is asked before anything is removed.
final class OrphanSweep: Sendable {
    private let client: KubernetesClient
    private let agents: AgentClient
    private let world: World
    private let namespace: String?
    private let logger: Logger
    private let seen = Mutex<[String: WallTime]>([:])
    private let work: AsyncStream<(CacheReport, AgentAddress)>
    private let queue: AsyncStream<(CacheReport, AgentAddress)>.Continuation

    static let patience: Duration = .seconds(10)
    static let interval: Duration = .seconds(20)

    init(client: KubernetesClient, agents: AgentClient, world: World, namespace: String?, logger: Logger) {
        self.client = client
        self.agents = agents
        self.world = world
        self.namespace = namespace
        self.logger = logger
        (work, queue) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(1000))
    }

    /// Called with every report once everything has synced.
    func inspect(_ report: AgentReport, _ address: AgentAddress) {
        let orphans = world.orphans(on: report, namespace: namespace)
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
                for await (report, address) in self.work { await self.remove(report, address) }
            }
            group.addTask {
                var known: Set<String> = []
                while !Task.isCancelled {
                    let orphans = self.world.orphanedVolumes
                    // Those that were there a while ago too.
                    for volume in orphans where known.contains(volume.uid) && (self.namespace == nil || volume.namespace == self.namespace) { await self.remove(volume) }
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

    private func remove(_ report: CacheReport, _ address: AgentAddress) async {
        guard CachePath.isUID(report.uid),
            !(await exists(namespace: report.namespace, name: report.name, uid: report.uid))
        else { return }
        do throws(AgentFailure) {
            try await agents.evict(report.uid, on: address)
            _ = world.removeReport(uid: report.uid, node: address.node)
            logger.notice(
                "removed a copy whose ModelCache is gone",
                metadata: ["node": "\(address.node)", "modelcache": "\(report.namespace)/\(report.name)", "uid": "\(report.uid)"])
        } catch {
            logger.info("a copy whose ModelCache is gone stays for now", metadata: ["node": "\(address.node)", "reason": "\(error)"])
        }
    }

    private func remove(_ volume: VolumeView) async {
        guard !(await exists(namespace: volume.namespace, name: volume.cacheName, uid: volume.cacheUID)) else { return }
        do {
            try await client.delete(PersistentVolume.self, ObjectKey(name: volume.name), DeleteOptions(uid: volume.uid))
            logger.notice("removed a volume whose ModelCache is gone", metadata: ["volume": "\(volume.name)"])
        } catch {
            logger.info("a volume whose ModelCache is gone stays for now", metadata: ["volume": "\(volume.name)", "reason": "\(error)"])
        }
    }
}
