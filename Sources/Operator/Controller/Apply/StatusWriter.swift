internal import CRD
internal import Kubernetes

/// Brings a plan's picture into the status, and tells of what changed.
struct StatusWriter: Sendable {
    let client: KubernetesClient
    let world: World
    let recorder: EventRecorder

    /// - Returns: when to come back for a write that has to wait.
    /// - Throws: `KubernetesError`.
    func write(_ picture: Picture, of cache: ModelCache, memory: Memory, now: WallTime) async throws -> WallTime? {
        let status = ModelCacheStatus(picture, before: cache.status, generation: cache.metadata.generation ?? 0, now: now)
        switch StatusWrite.decide(from: cache.status, to: status, lastWrite: memory.statusWrittenAt, now: now) {
        case .none: return nil
        case .at(let time): return time
        case .now: break
        }
        let old = try cache.status.map { try MergePatch.json($0) }
        guard let change = MergePatch.difference(from: old, to: try MergePatch.json(status)) else { return nil }
        // The uid: another ModelCache of the same name is not this one.
        let patch: JSONValue = ["metadata": ["uid": .string(cache.uid)], "status": change]
        do {
            let written = try await client.patch(
                ModelCache.self, cache.objectKey, .merge(patch), subresource: .status, WriteOptions(fieldManager: Names.fieldOwner))
            world.confirm(written, key: cache.objectKey)
        } catch let error as KubernetesError where error.isNotFound || error.isConflict {
            // Gone, or another one by now: the watch tells.
            return nil
        }
        var announced = memory.announced
        let events = TransitionEvents.between(cache.status, status, picture: picture, announced: &announced)
        world.remember(uid: cache.uid) { memory in
            memory.announced = announced
            memory.statusWrittenAt = now
        }
        for event in events {
            recorder.record(event.isWarning ? .warning : .normal, reason: event.reason, event.message, regarding: cache.reference)
        }
        return nil
    }
}
