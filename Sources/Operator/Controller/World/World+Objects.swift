package import CRD
package import Kubernetes

extension World {
    /// A list has come: it says how all objects of the kind are.
    func relisted(_ kind: WatchedKind) {
        state.withLock { state in
            state.awaited[kind]?.relisted()
            state.deletions[kind]?.relisted()
        }
    }

    // MARK: ModelCaches

    package func set(_ cache: ModelCache, key: ObjectKey) -> [ObjectKey] {
        // A spec is checked once a generation, and not under the lock.
        let known = state.withLock { state in
            state.caches[key].flatMap { before in
                before.metadata.uid == cache.metadata.uid && before.metadata.generation == cache.metadata.generation
                    ? cache.metadata.uid.flatMap { state.readings[$0] } : nil
            }
        }
        let reading = known ?? cache.reading(validation)
        return state.withLock { state in
            guard state.awaited[.caches, default: .init()].admits(cache.resourceVersion, of: "\(key)", now: .now) else {
                return []
            }
            if let before = state.caches[key], before.metadata.uid != cache.metadata.uid { state.forget(before) }
            let before = state.caches.updateValue(cache, forKey: key)
            if let uid = cache.metadata.uid {
                state.keys[uid] = key
                state.readings[uid] = reading
                if cache.metadata.deletionTimestamp != nil { state.resolutions[uid]?.look = nil }
                // The watch brings back our own write.
                if let before, before.isSame(as: cache),
                    cache.status == before.status || cache.status == state.expected[uid]
                {
                    return []
                }
            }
            return [key]
        }
    }

    /// A write of this status begins; nil: it has ended.
    func expect(_ status: ModelCacheStatus?, of uid: String) {
        state.withLock { $0.expected[uid] = status }
    }

    /// A write of the status to `cache` was accepted: counts unless the watch has told of another state since.
    func confirm(_ status: ModelCacheStatus, version: String, of cache: ModelCache) {
        let key = cache.objectKey
        state.withLock { state in
            guard state.isStill(cache, key) else { return }
            state.caches[key]?.status = status
            state.caches[key]?.metadata.resourceVersion = version
            state.awaited[.caches, default: .init()].wrote(version, of: "\(key)", now: .now)
        }
    }

    /// The server's answer to a write of ours to `cache`: counts unless the watch has told of another state since.
    func confirm(_ written: ModelCache, after cache: ModelCache) {
        let key = cache.objectKey
        state.withLock { state in
            guard state.isStill(cache, key), cache.metadata.generation == written.metadata.generation else { return }
            state.caches[key] = written
            state.awaited[.caches, default: .init()].wrote(written.resourceVersion, of: "\(key)", now: .now)
        }
    }

    package func remove(_ cache: ModelCache, key: ObjectKey) -> [ObjectKey] {
        state.withLock { state in
            guard let before = state.caches[key], before.metadata.uid == cache.metadata.uid else { return [] }
            state.awaited[.caches]?.forget("\(key)")
            state.caches[key] = nil
            state.forget(before)
            return [key] + state.rivals(in: key.namespace)
        }
    }

    /// The uids of those that a pod of this namespace may have been given: the first few, of ModelCaches there.
    package func known(_ uids: [String], in namespace: String) -> [String] {
        state.withLock { state in Array(uids.filter { state.keys[$0]?.namespace == namespace }.prefix(8)) }
    }

    // MARK: Nodes

    package func set(_ node: NodeView) -> [ObjectKey] {
        state.withLock { state in
            var node = node
            if let before = state.nodes[node.name], !node.isReady {
                // Seen to happen: this machine's clock tells, whatever the API server's says.
                node.notReadySince = before.notReadySince ?? .now
            }
            let before = state.nodes[node.name]
            guard before != node else { return [] }
            state.nodes[node.name] = node
            return state.concerned(by: node.name, [before, node].compactMap { $0 })
        }
    }

    func removeNode(_ name: String) -> [ObjectKey] {
        state.withLock { state in
            guard let gone = state.nodes.removeValue(forKey: name) else { return [] }
            let concerned = state.concerned(by: name, [gone])
            if case .missing? = state.agents[name]?.reach { state.forgetAgent(name) }
            return concerned
        }
    }

    // MARK: Jobs

    /// - Parameter isConfirmed: the watch says so; otherwise it is the answer to a creation.
    func set(_ job: JobView, isConfirmed: Bool) -> [ObjectKey] {
        state.withLock { state in
            var job = job
            let name = "\(job.namespace)/\(job.name)"
            let known = state.jobs[job.cache]?[job.name]?.view
            if isConfirmed {
                guard state.awaited[.jobs, default: .init()].admits(job.version, of: name, now: .now) else { return [] }
            } else {
                // The watch was faster than the answer.
                guard known?.uid != job.uid else { return [] }
                state.awaited[.jobs, default: .init()].wrote(job.version, of: name, now: .now)
            }
            if let known { job = job.following(known, now: .now) }
            let before = state.jobs[job.cache, default: [:]].updateValue(
                JobEntry(view: job, madeAt: isConfirmed ? nil : .now), forKey: job.name)
            // Mostly the watch's word on what the answer to our creation said already.
            if before?.view.isSame(as: job) ?? false { return [] }
            return state.key(job.cache)
        }
    }

    func removeJob(_ job: JobView) -> [ObjectKey] {
        state.withLock { state in
            guard state.jobs[job.cache]?[job.name]?.view.uid == job.uid else { return [] }
            state.awaited[.jobs]?.forget("\(job.namespace)/\(job.name)")
            state.deletions[.jobs]?.forget(job.uid)
            state.jobs[job.cache]?[job.name] = nil
            if state.jobs[job.cache]?.isEmpty ?? false { state.jobs[job.cache] = nil }
            return state.key(job.cache)
        }
    }

    /// Our deletion was accepted.
    func markDeleting(_ job: JobView) {
        state.withLock { state in
            let isKnown = state.jobs[job.cache]?[job.name]?.view.uid == job.uid
            state.deletions[.jobs, default: .init()].accepted(job.uid, isKnown: isKnown)
        }
    }

    // MARK: Pods

    /// A pod that was given the ModelCache of this uid waits on a node, or (nil) no longer does.
    func set(_ pod: WaitingPod?, uid podUID: String, cache uid: String) -> [ObjectKey] {
        state.withLock { state in
            guard state.waitingPods[uid]?[podUID] != pod else { return [] }
            state.waitingPods[uid, default: [:]][podUID] = pod
            if state.waitingPods[uid]?.isEmpty ?? false { state.waitingPods[uid] = nil }
            return state.keys[uid].map { [$0] } ?? []
        }
    }

    // MARK: Claims and volumes

    /// - Parameter isConfirmed: the watch says so; otherwise it is the answer to a write of ours.
    package func set(_ claim: ClaimView, isConfirmed: Bool = true) -> [ObjectKey] {
        state.withLock { state in
            let known = state.claims[claim.cache]
            let name = "\(claim.namespace)/\(claim.name)"
            if isConfirmed {
                guard state.awaited[.claims, default: .init()].admits(claim.version, of: name, now: .now) else {
                    return []
                }
            } else if known?.uid != claim.uid {
                state.awaited[.claims, default: .init()].wrote(claim.version, of: name, now: .now)
            }
            state.claims[claim.cache] = claim
            return state.key(claim.cache)
        }
    }

    func claim(namespace: String, cache uid: String) -> ClaimView? {
        state.withLock { $0.claims[CacheID(namespace: namespace, uid: uid)] }
    }

    func removeClaim(_ claim: ClaimView) -> [ObjectKey] {
        state.withLock { state in
            guard state.claims[claim.cache]?.uid == claim.uid else { return [] }
            state.awaited[.claims]?.forget("\(claim.namespace)/\(claim.name)")
            state.deletions[.claims]?.forget(claim.uid)
            state.claims[claim.cache] = nil
            return state.key(claim.cache)
        }
    }

    /// Our deletion was accepted.
    func markDeleting(_ claim: ClaimView) {
        state.withLock { state in
            let isKnown = state.claims[claim.cache]?.uid == claim.uid
            state.deletions[.claims, default: .init()].accepted(claim.uid, isKnown: isKnown)
        }
    }

    /// - Parameter isConfirmed: the watch says so; otherwise it is the answer to a write of ours.
    package func set(_ volume: VolumeView, isConfirmed: Bool = true) -> [ObjectKey] {
        state.withLock { state in
            let known = state.volumes[volume.cacheUID]
            if isConfirmed {
                guard state.awaited[.volumes, default: .init()].admits(volume.version, of: volume.name, now: .now)
                else { return [] }
            } else if known?.uid != volume.uid {
                state.awaited[.volumes, default: .init()].wrote(volume.version, of: volume.name, now: .now)
            }
            state.volumes[volume.cacheUID] = volume
            return state.keys[volume.cacheUID].map { [$0] } ?? []
        }
    }

    func removeVolume(_ volume: VolumeView) -> [ObjectKey] {
        state.withLock { state in
            guard state.volumes[volume.cacheUID]?.uid == volume.uid else { return [] }
            state.awaited[.volumes]?.forget(volume.name)
            state.deletions[.volumes]?.forget(volume.uid)
            state.volumes[volume.cacheUID] = nil
            return state.keys[volume.cacheUID].map { [$0] } ?? []
        }
    }

    /// Our deletion was accepted.
    func markDeleting(_ volume: VolumeView) {
        state.withLock { state in
            let isKnown = state.volumes[volume.cacheUID]?.uid == volume.uid
            state.deletions[.volumes, default: .init()].accepted(volume.uid, isKnown: isKnown)
        }
    }

    /// Volumes whose ModelCache is not there.
    var orphanedVolumes: [VolumeView] {
        state.withLock { state in
            state.volumes.values.filter {
                state.keys[$0.cacheUID] == nil && !$0.isDeleting && !state.isDeleted(.volumes, $0.uid)
            }
        }
    }
}

extension ModelCache {
    /// Equal in all that a plan goes by but the status.
    fileprivate func isSame(as other: ModelCache) -> Bool {
        metadata.uid == other.metadata.uid && metadata.generation == other.metadata.generation
            && metadata.finalizers == other.metadata.finalizers
            && metadata.deletionTimestamp == other.metadata.deletionTimestamp
            && metadata.annotations == other.metadata.annotations
    }
}

extension World.State {
    /// The ModelCaches to which a change of a node means something: those whose placement names it, before or after,
    /// those that have something on it, and those that are about to go.
    func concerned(by node: String, _ views: [NodeView]) -> [ObjectKey] {
        caches.compactMap { key, cache in
            guard let uid = cache.metadata.uid else { return nil }
            if cache.metadata.deletionTimestamp != nil || reports[uid]?[node] != nil { return key }
            if memories[uid]?.holders?.contains(node) ?? false { return key }
            if case .valid(let spec)? = readings[uid], views.contains(where: { spec.placement.selects($0) }) {
                return key
            }
            return jobs[CacheID(namespace: key.namespace, uid: uid)]?.values.contains { $0.view.node == node } ?? false
                ? key : nil
        }
    }

    /// Whether the ModelCache is as it was when a write to it began.
    fileprivate func isStill(_ cache: ModelCache, _ key: ObjectKey) -> Bool {
        caches[key]?.metadata.uid == cache.metadata.uid && caches[key]?.resourceVersion == cache.resourceVersion
    }

    fileprivate func key(_ cache: CacheID) -> [ObjectKey] {
        keys[cache.uid].flatMap { $0.namespace == cache.namespace ? [$0] : nil } ?? []
    }

    /// Jobs, claim, volume and reports stay: they tell what is left to clean up.
    mutating func forget(_ cache: ModelCache) {
        guard let uid = cache.metadata.uid else { return }
        keys[uid] = nil
        readings[uid] = nil
        memories[uid] = nil
        resolutions[uid] = nil
        admitted[uid] = nil
    }
}
