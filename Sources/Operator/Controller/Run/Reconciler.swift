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
        let failure = try await applier.apply(plan, to: cache)
        // Somebody else wrote first; the watch brings what they wrote.
        if let failure = failure as? KubernetesError, failure.isConflict { return .requeue }
        let retry = remember(failure, of: plan, key, uid: cache.uid)
        var wake = plan.requeueAfter
        if let picture = plan.picture {
            // Actions may have written the object; the newest is the one to compare with.
            let current = world.cache(key).flatMap { $0.uid == cache.uid ? $0 : nil } ?? cache
            let at = try await writer.write(picture, of: current, memory: world.memory(uid: cache.uid), now: now)
            if let at { wake = min(wake ?? .seconds(3600), max(.milliseconds(10), at - .now)) }
        }
        // The status is written first: whatever a write brought, people see how the rest stands.
        if let retry { throw retry }
        return wake.map { .requeueAfter($0) } ?? .done
    }

    /// Takes over what became of the plan's writes.
    ///
    /// - Returns: the error to try again after; nil: the next plan knows all.
    private func remember(_ failure: (any Error)?, of plan: Plan, _ key: ObjectKey, uid: String) -> (any Error)? {
        let writes: Memory.Writes
        switch failure {
        case nil:
            guard plan.makesObjects else { return nil }
            writes = .made
        case let refused as WriteRefused: writes = .refused(refused.message)
        case let failed as WriteFailed: writes = .failed(failed.message)
        case let other: return other
        }
        var isNews = false
        world.remember(uid: uid) { isNews = $0.ended(writes, now: .now) }
        if isNews {
            switch writes {
            case .made: break
            case .refused(let why), .failed(let why):
                logger.warning(
                    "the API server refuses a write", metadata: ["modelcache": "\(key)", "reason": "\(why)"])
            }
            applier.wake([key])
            return nil
        }
        return (failure as? WriteFailed)?.cause
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
