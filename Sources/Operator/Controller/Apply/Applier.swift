internal import CRD
internal import Kubernetes
internal import Logging
internal import ModelCacheClient

/// Carries out a plan's actions. Decides nothing: what an action brings, also a refusal, goes into the world, and the
/// next plan deals with it.
struct Applier: Sendable {
    let client: KubernetesClient
    let world: World
    let recorder: EventRecorder
    let logger: Logger
    /// The keys given need another plan.
    let wake: @Sendable ([ObjectKey]) -> Void
    /// Gives an agent an order in the background.
    let order: @Sendable (Order) -> Void
    /// Starts a look at the source in the background.
    let resolve: @Sendable (_ cache: ModelCache) -> Void

    /// Writes of Jobs in flight: what one ModelCache may take of the connections.
    private static let jobWidth = 16

    private enum Lane: Equatable {
        /// Writes on which later ones depend.
        case serial
        case jobs
        /// Orders to agents and listings, which begin beside the reconcile and depend on no write.
        case background
    }

    private static func lane(_ action: Action) -> Lane {
        switch action {
        case .deleteJob, .createJob, .replaceJob, .examineJob: .jobs
        case .addFinalizer, .removeFinalizer, .createVolume, .createClaim, .deleteVolume, .deleteClaim, .beginEviction,
            .clearEvictionRequest:
            .serial
        case .resolve, .prepare, .evict, .refresh: .background
        }
    }

    /// After a write that failed later ones are left out, and agents have their orders all the same.
    ///
    /// - Returns: why a write failed: ``WriteRefused``, ``WriteFailed`` or `KubernetesError`; nil: none did.
    /// - Throws: `CancellationError`.
    func apply(_ plan: Plan, to cache: ModelCache) async throws -> (any Error)? {
        var failure: (any Error)?
        var rest = plan.actions[...]
        while let first = rest.first {
            try Task.checkCancellation()
            let lane = Self.lane(first)
            let group = lane == .jobs ? rest.prefix { Self.lane($0) == lane } : rest.prefix(1)
            rest = rest.dropFirst(group.count)
            if failure != nil, lane != .background { continue }
            do {
                if lane == .jobs {
                    try await carryOut(Array(group), plan: plan, cache: cache)
                } else {
                    try await carryOut(first, plan: plan, cache: cache)
                }
            } catch {
                try Task.checkCancellation()
                failure = failure ?? error
            }
        }
        return failure
    }

    /// After the first error nothing new is begun, what is under way is finished.
    private func carryOut(_ actions: [Action], plan: Plan, cache: ModelCache) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            var next = actions.makeIterator()
            var running = 0
            var failure: (any Error)?
            while running < Self.jobWidth, let action = next.next() {
                group.addTask { try await carryOut(action, plan: plan, cache: cache) }
                running += 1
            }
            while running > 0 {
                do {
                    try await group.next()
                } catch {
                    failure = failure ?? error
                }
                running -= 1
                if failure == nil, let action = next.next() {
                    group.addTask { try await carryOut(action, plan: plan, cache: cache) }
                    running += 1
                }
            }
            if let failure { throw failure }
        }
    }

    private func carryOut(_ action: Action, plan: Plan, cache: ModelCache) async throws {
        let uid = cache.uid
        logger.debug("action", metadata: ["modelcache": "\(cache.objectKey)", "action": "\(action.summary)"])
        switch action {
        case .addFinalizer:
            try await setFinalizers(cache, cache.metadata.finalizers + [Finalizer.name])
            wake([cache.objectKey])
        case .removeFinalizer:
            try await setFinalizers(cache, cache.metadata.finalizers.filter { $0 != Finalizer.name })
        case .resolve: resolve(cache)
        case .createVolume(let volume): try await create(volume)
        case .createClaim(let volume): try await createClaim(volume)
        case .deleteVolume(let volume): try await delete(volume)
        case .deleteClaim(let claim): try await delete(claim)
        case .prepare(let node, let definition):
            order(
                Order(
                    uid: uid, node: node,
                    kind: .prepare(definition, generation: cache.metadata.generation ?? 0)))
        case .evict(let node, let force): order(Order(uid: uid, node: node, kind: .evict(force: force)))
        case .refresh(let node):
            let request = plan.memory.refresh?.text ?? ""
            order(Order(uid: uid, node: node, kind: .refresh(request: request, reference: cache.reference)))
        case .beginEviction(let requested):
            try await annotate(cache, [EvictionRequest.begunKey: .string(requested.mark)])
        case .clearEvictionRequest:
            try await annotate(cache, [EvictionRequest.annotationKey: .null, EvictionRequest.begunKey: .null]) {
                world.remember(uid: cache.uid) { $0.refresh = nil }
            }
        case .deleteJob(let job): try await delete(job)
        case .examineJob(let job): try await examine(job, cache: cache)
        case .createJob(let job):
            guard let template = plan.template else { return }
            try await create(template.manifest(job))
        case .replaceJob(let old, let job):
            guard let template = plan.template else { return }
            try await delete(old)
            try await create(template.manifest(job))
        }
    }

    /// With the resource version, so that nobody else's finalizer is lost.
    private func setFinalizers(_ cache: ModelCache, _ finalizers: [String]) async throws {
        let patch: JSONValue = [
            "metadata": [
                "uid": .string(cache.uid), "resourceVersion": .string(cache.resourceVersion),
                "finalizers": .array(finalizers.map { .string($0) }),
            ]
        ]
        do {
            let written = try await client.patch(
                ModelCache.self, cache.objectKey, .merge(patch), WriteOptions(fieldManager: Names.fieldOwner))
            world.confirm(written, after: cache)
        } catch let error as KubernetesError where error.isNotFound {
            return
        }
    }

    /// With the resource version: a request that is newer than the one at hand stays.
    private func annotate(
        _ cache: ModelCache, _ annotations: [String: JSONValue], done: () -> Void = {}
    ) async throws {
        let patch: JSONValue = [
            "metadata": [
                "uid": .string(cache.uid), "resourceVersion": .string(cache.resourceVersion),
                "annotations": .object(annotations),
            ]
        ]
        do {
            let written = try await client.patch(
                ModelCache.self, cache.objectKey, .merge(patch), WriteOptions(fieldManager: Names.fieldOwner))
            world.confirm(written, after: cache)
            done()
        } catch let error as KubernetesError where error.isNotFound {
            return
        }
        wake([cache.objectKey])
    }
}

extension Action {
    /// For the log: what and where.
    var summary: String {
        switch self {
        case .addFinalizer: "add finalizer"
        case .removeFinalizer: "remove finalizer"
        case .resolve: "list the source"
        case .createVolume: "create volume"
        case .createClaim: "create claim"
        case .deleteVolume: "delete volume"
        case .deleteClaim: "delete claim"
        case .prepare(let node, let definition): "prepare on \(node)\(definition.pinned ? ", pinned" : "")"
        case .evict(let node, let force): "evict on \(node)\(force ? " though it is read" : "")"
        case .refresh(let node): "refresh on \(node)"
        case .beginEviction: "begin the eviction request"
        case .clearEvictionRequest: "clear the eviction request"
        case .deleteJob(let job): "delete Job of \(job.node)"
        case .examineJob(let job): "look at the pods of the Job of \(job.node)"
        case .createJob(let job): "create Job for \(job.node)"
        case .replaceJob(_, let job): "replace Job for \(job.node)"
        }
    }
}
