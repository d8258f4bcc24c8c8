internal import CRD
internal import Kubernetes
internal import Logging

/// One ModelCache at a time: observe, plan, apply, write the status.
struct Reconciler: Sendable {
    let world: World
    let applier: Applier
    let writer: StatusWriter
    let logger: Logger

    func reconcile(_ key: ObjectKey) async throws -> ReconcileOutcome {
        let now = WallTime.now
        guard let (cache, observed) = world.observe(key, now: now) else { return .done }
        let plan = Plan.make(observed: observed, now: now)
        world.remember(plan.memory, madeFrom: observed.memory, uid: cache.uid)
        writer.raise(plan.events, on: cache)
        do {
            if let refused = try await applier.apply(plan, to: cache) {
                world.remember(uid: cache.uid) { memory in
                    memory.refusedWrites = .next(after: memory.refusedWrites, message: refused.message, now: .now)
                }
                logger.warning(
                    "the API server refuses a write",
                    metadata: ["modelcache": "\(key)", "reason": "\(refused.message)"])
                applier.wake([key])
            } else if observed.memory.refusedWrites != nil, plan.makesObjects {
                world.remember(uid: cache.uid) { $0.refusedWrites = nil }
                applier.wake([key])
            }
        } catch let error as KubernetesError where error.isConflict {
            // Somebody else wrote first; the watch brings what they wrote.
            return .requeue
        }
        var wake = plan.requeueAfter
        if let picture = plan.picture {
            // Actions may have written the object; the newest is the one to compare with.
            let current = world.cache(key).flatMap { $0.uid == cache.uid ? $0 : nil } ?? cache
            let at = try await writer.write(picture, of: current, memory: world.memory(uid: cache.uid), now: now)
            if let at { wake = min(wake ?? .seconds(3600), max(.milliseconds(10), at - .now)) }
        }
        return wake.map { .requeueAfter($0) } ?? .done
    }
}

extension Plan {
    /// Whether it makes what the API server may refuse.
    fileprivate var makesObjects: Bool {
        actions.contains { action in
            switch action {
            case .createJob, .replaceJob, .createClaim, .createVolume: true
            default: false
            }
        }
    }
}
