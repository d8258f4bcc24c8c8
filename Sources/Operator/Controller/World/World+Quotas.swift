internal import CRD
package import Kubernetes

extension World {
    /// A limit decides about every ModelCache of its namespace.
    package func set(_ quota: QuotaView) -> [ObjectKey] {
        state.withLock { state in
            guard state.quotas[quota.namespace]?[quota.name] != quota else { return [] }
            state.quotas[quota.namespace, default: [:]][quota.name] = quota
            return state.keys(in: quota.namespace)
        }
    }

    package func remove(_ quota: QuotaView) -> [ObjectKey] {
        state.withLock { state in
            guard state.quotas[quota.namespace]?.removeValue(forKey: quota.name) != nil else { return [] }
            if state.quotas[quota.namespace]?.isEmpty ?? false { state.quotas[quota.namespace] = nil }
            return state.keys(in: quota.namespace)
        }
    }

    /// A namespace's limit on a medium, for ``ControllerMetrics``.
    struct QuotaUse: Hashable {
        var namespace: String
        var medium: Cache.Medium
        var limitBytes: Int64
        /// Of the models that are admitted.
        var usedBytes: Int64
    }
}

extension World.State {
    /// Decides whether the namespace's quota has capacity for a ModelCache, and keeps that it had.
    ///
    /// It is kept at once: two ModelCaches that are planned at the same time must not get the same bytes. An operator
    /// that starts later knows it by the volume, which is made for admitted ones alone and by nobody in the namespace.
    mutating func admit(_ uid: String, in namespace: String) -> QuotaExcess? {
        guard let cache = keys[uid].flatMap({ caches[$0] }), let size = bytes(of: cache) else { return nil }
        var excess: QuotaExcess?
        if let quotas = quotas[namespace] {
            var all = demands(in: namespace)
            // A model that has grown competes anew, beside all copies that there are.
            if let own = all.firstIndex(where: { $0.uid == uid }), all[own].isAdmitted {
                if size > all[own].bytes { all[own].isAdmitted = false }
                all[own].bytes = size
            }
            excess = NamespaceQuota(quotas.values).excess(of: uid, among: all)
        }
        if excess == nil, cache.metadata.deletionTimestamp == nil { admitted[uid] = size }
        return excess
    }

    /// Of every ModelCache there whose size is known; an admitted one counts with the bytes that it was admitted with.
    /// One that is being deleted counts as long as it is there: so do its copies.
    func demands(in namespace: String) -> [QuotaDemand] {
        caches.compactMap { key, cache in
            guard key.namespace == namespace, let uid = cache.metadata.uid, let bytes = bytes(of: cache) else {
                return nil
            }
            return QuotaDemand(
                uid: uid, createdAt: cache.metadata.creationTimestamp ?? "", medium: cache.spec.cache.medium,
                bytes: admitted[uid] ?? volumes[uid]?.sizeBytes ?? bytes,
                isAdmitted: admitted[uid] != nil || volumes[uid] != nil)
        }
    }

    /// Of each namespace and medium that has a limit.
    var quotaUse: [World.QuotaUse] {
        quotas.flatMap { namespace, quotas in
            let quota = NamespaceQuota(quotas.values)
            let admitted = demands(in: namespace).filter(\.isAdmitted)
            return Cache.Medium.allCases.compactMap { medium in
                quota.limit(medium).map { limit in
                    World.QuotaUse(
                        namespace: namespace, medium: medium, limitBytes: limit.bytes,
                        usedBytes: admitted.filter { $0.medium == medium }.reduce(0) { $0.addedClamping($1.bytes) })
                }
            }
        }
    }

    /// The size of the model: from its last listing, or as the status has it.
    func bytes(of cache: ModelCache) -> Int64? {
        cache.metadata.uid.flatMap { resolutions[$0]?.resolved?.totalBytes } ?? cache.status?.source?.totalBytes
    }

    /// The ModelCaches of a namespace that has a limit, where one of them has left bytes to the others.
    func rivals(in namespace: String) -> [ObjectKey] { quotas[namespace] == nil ? [] : keys(in: namespace) }

    fileprivate func keys(in namespace: String) -> [ObjectKey] { caches.keys.filter { $0.namespace == namespace } }
}
