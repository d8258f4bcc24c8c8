internal import CRD
internal import Kubernetes

/// Brings a plan's picture into the status, and tells of what changed.
struct StatusWriter: Sendable {
    let client: KubernetesClient
    let world: World
    let recorder: EventRecorder

    private static let conflictPause: Duration = .seconds(1)

    /// - Returns: when to come back for a write that has to wait.
    /// - Throws: `KubernetesError`.
    func write(_ picture: Picture, of cache: ModelCache, memory: Memory, now: WallTime) async throws -> WallTime? {
        let status = ModelCacheStatus(
            picture, before: cache.status, generation: cache.metadata.generation ?? 0, now: .clock)
        var memory = memory
        let decision = StatusWrite.decide(from: cache.status, to: status, memory: &memory, now: now)
        let heldSince = memory.statusHeldSince
        world.remember(uid: cache.uid) { $0.statusHeldSince = heldSince }
        switch decision {
        case .none: return nil
        case .at(let time): return time
        case .now: break
        }
        guard let change = try StatusPatch.difference(from: cache.status, to: status) else { return nil }
        // The uid: another ModelCache of the same name is not this one.
        let patch: JSONValue = ["metadata": ["uid": .string(cache.uid)], "status": change]
        // The watch may tell of it before the answer is here, and it is no news.
        world.expect(status, of: cache.uid)
        defer { world.expect(nil, of: cache.uid) }
        do {
            let written = try await client.patch(
                ModelCache.self, cache.objectKey, .merge(patch), subresource: .status, answer: StatusAnswer.self,
                WriteOptions(fieldManager: Names.fieldOwner))
            world.confirm(status, version: written.metadata.resourceVersion, of: cache)
        } catch let error as KubernetesError where error.isNotFound {
            return nil
        } catch let error as KubernetesError where error.isConflict {
            // Another one of that name by now, which the watch tells, or a server too busy to merge: nothing else would
            // bring us back.
            return now + Self.conflictPause
        }
        var announced = memory.announced
        let events = TransitionEvents.between(cache.status, status, picture: picture, announced: &announced)
        world.remember(uid: cache.uid) { memory in
            memory.announced = announced
            StatusWrite.written(at: now, memory: &memory)
        }
        raise(events, on: cache)
        return nil
    }

    func raise(_ events: [PlannedEvent], on cache: ModelCache) {
        for event in events {
            let pod = event.pod.map {
                ObjectReference(
                    apiVersion: Pod.apiVersion, kind: Pod.kind, namespace: $0.namespace, name: $0.name, uid: $0.uid)
            }
            recorder.record(
                event.isWarning ? .warning : .normal, reason: event.reason, event.message,
                regarding: pod ?? cache.reference)
        }
    }
}

/// Of the server's answer to a write of the status: what is in it is known already.
private struct StatusAnswer: Decodable, Sendable {
    struct Metadata: Decodable, Sendable {
        var resourceVersion: String
    }

    var metadata: Metadata
}
