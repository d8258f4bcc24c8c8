internal import CRD
internal import Kubernetes

extension World {
    // MARK: ModelCaches

    func set(_ cache: ModelCache, key: ObjectKey) -> [ObjectKey] {
        // A spec is checked once a generation, and not under the lock.
        let known = state.withLock { state in
            state.caches[key].flatMap { before in
                before.metadata.uid == cache.metadata.uid && before.metadata.generation == cache.metadata.generation
                    ? cache.metadata.uid.flatMap { state.readings[$0] } : nil
            }
        }
        let reading = known ?? cache.reading(validation)
        return state.withLock { state in
            if let before = state.caches[key] {
                if isOlder(cache.version, than: before.version) { return [] }
                if before.metadata.uid != cache.metadata.uid { state.forget(before) }
            }
            let before = state.caches.updateValue(cache, forKey: key)
            if let uid = cache.metadata.uid {
                state.keys[uid] = key
                state.readings[uid] = reading
                // What we wrote ourselves comes back.
                if let before, before.isSame(as: cache), cache.status == before.status || cache.status == state.expected[uid] { return [] }
            }
            return [key]
        }
    }

    /// A write of this status begins; nil: it has ended.
    func expect(_ status: ModelCacheStatus?, of uid: String) {
        state.withLock { $0.expected[uid] = status }
    }

    /// A write of the status was accepted: counts unless the watch has told something newer.
    func confirm(_ status: ModelCacheStatus, version: String, of cache: ModelCache) {
        let key = cache.objectKey
        state.withLock { state in
            guard let before = state.caches[key], before.metadata.uid == cache.metadata.uid,
                !isOlder(UInt64(version) ?? 0, than: before.version)
            else { return }
            state.caches[key]?.status = status
            state.caches[key]?.metadata.resourceVersion = version
        }
    }

    /// The server's answer to a write of ours: counts unless the watch has told something newer, or that the object is gone.
    func confirm(_ cache: ModelCache, key: ObjectKey) {
        state.withLock { state in
            guard let before = state.caches[key], before.metadata.uid == cache.metadata.uid,
                !isOlder(cache.version, than: before.version)
            else { return }
            guard before.metadata.generation == cache.metadata.generation else { return }
            state.caches[key] = cache
        }
    }

    func remove(_ cache: ModelCache, key: ObjectKey) -> [ObjectKey] {
        state.withLock { state in
            guard let before = state.caches[key], before.metadata.uid == cache.metadata.uid else { return [] }
            state.caches[key] = nil
            state.forget(before)
            return [key]
        }
    }

    // MARK: Nodes

    func set(_ node: NodeView) -> [ObjectKey] {
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
            state.nodes.removeValue(forKey: name).map { state.concerned(by: name, [$0]) } ?? []
        }
    }

    // MARK: Jobs

    /// - Parameter isConfirmed: the watch says so; otherwise it is the answer to a creation.
    func set(_ job: JobView, isConfirmed: Bool) -> [ObjectKey] {
        state.withLock { state in
            var job = job
            if let before = state.jobs[job.cache]?[job.name]?.view {
                if isOlder(job.version, than: before.version) || (!isConfirmed && job.version == before.version) { return [] }
                job = job.following(before, now: .now)
            }
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
            state.jobs[job.cache]?[job.name] = nil
            if state.jobs[job.cache]?.isEmpty ?? false { state.jobs[job.cache] = nil }
            return state.key(job.cache)
        }
    }

    /// Our deletion was accepted.
    func markDeleting(_ job: JobView) {
        state.withLock { state in
            guard state.jobs[job.cache]?[job.name]?.view.uid == job.uid else { return }
            state.jobs[job.cache]?[job.name]?.view.isDeleting = true
        }
    }

    // MARK: Claims and volumes

    func set(_ claim: ClaimView) -> [ObjectKey] {
        state.withLock { state in
            if let before = state.claims[claim.cache], isOlder(claim.version, than: before.version) { return [] }
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
            state.claims[claim.cache] = nil
            return state.key(claim.cache)
        }
    }

    func set(_ volume: VolumeView) -> [ObjectKey] {
        state.withLock { state in
            if let before = state.volumes[volume.cacheUID], isOlder(volume.version, than: before.version) { return [] }
            state.volumes[volume.cacheUID] = volume
            return state.keys[volume.cacheUID].map { [$0] } ?? []
        }
    }

    func removeVolume(_ volume: VolumeView) -> [ObjectKey] {
        state.withLock { state in
            guard state.volumes[volume.cacheUID]?.uid == volume.uid else { return [] }
            state.volumes[volume.cacheUID] = nil
            return state.keys[volume.cacheUID].map { [$0] } ?? []
        }
    }

    /// Volumes whose ModelCache is not there.
    var orphanedVolumes: [VolumeView] {
        state.withLock { state in state.volumes.values.filter { state.keys[$0.cacheUID] == nil && !$0.isDeleting } }
    }
}

extension ModelCache {
    /// Equal in all that a plan goes by but the status.
    fileprivate func isSame(as other: ModelCache) -> Bool {
        metadata.uid == other.metadata.uid && metadata.generation == other.metadata.generation
            && metadata.finalizers == other.metadata.finalizers && metadata.deletionTimestamp == other.metadata.deletionTimestamp
            && metadata.annotations == other.metadata.annotations
    }
}

extension World.State {
    /// The ModelCaches to which a change of a node means something: those whose placement names it, before or after, those that
    /// have something on it, and those that are about to go.
    fileprivate func concerned(by node: String, _ views: [NodeView]) -> [ObjectKey] {
        caches.compactMap { key, cache in
            guard let uid = cache.metadata.uid else { return nil }
            if cache.metadata.deletionTimestamp != nil || reports[uid]?[node] != nil { return key }
            if case .valid(let spec)? = readings[uid], views.contains(where: { spec.placement.selects($0) }) { return key }
            return jobs[CacheID(namespace: key.namespace, uid: uid)]?.values.contains { $0.view.node == node } ?? false ? key : nil
        }
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
    }
}
