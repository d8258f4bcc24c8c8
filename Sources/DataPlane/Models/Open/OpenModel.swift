package import ChunkStore
internal import ObjectStore
internal import Synchronization
internal import Transfer

/// One cached model as the agent holds it: the files, those who read them, and the fill that completes them.
///
/// Here is who holds the model and hears of its changes. `OpenModel+Fill` is about its fill, `OpenModel+Swarm` about
/// other nodes, `OpenModel+Status` about what is told of both.
package final class OpenModel: Sendable {
    package let cached: CachedModel
    /// `oss://bucket/prefix/`, for people.
    package let source: String
    struct State {
        var fill: (any Fill)?
        /// Of the fill that runs.
        var inbox: FillInbox?
        /// Hold the engines of the fill's clients open, by engine.
        var leases: [ObjectIdentifier: any Sendable] = [:]
        /// This node's part in the model's swarm: outlives its fill, to serve what is whole.
        var node: SwarmFill?
        /// Serves more than `node`, and takes its place once it does.
        var successor: SwarmFill?
        var run: Task<Void, Never>?
        var pastCounters = FillCounters()
        var lastFailure: FillFailure?
        var subscribers: [ObjectIdentifier: @Sendable () -> Void] = [:]
        /// Of the last listing.
        var warnings: [ModelWarning] = []
        var detour: EndpointDetour?
        /// The set of files changes: a fill that began now would be of the former one.
        var isUpdating = false
        /// Files that failed for their names are looked at.
        var isNaming = false
        var revivedAt: ContinuousClock.Instant?
        /// The settings of each caller that holds the model, by the number of its ``ModelHold``.
        var holders: [UInt64: SourceQuery] = [:]
        /// Listens for lost chunks while somebody holds the model.
        var losses: Task<Void, Never>?
        /// A chunk was lost while the fill ran, which may have been ending.
        var hasLost = false
        /// A file was published aside from fills, and `node` does not offer it to others.
        var hasUnoffered = false
    }
    let state = Mutex(State())
    /// Of all models: a pod may hold a model and, after an eviction by force, the one that took its place.
    private static let lastHolder = Atomic<UInt64>(0)

    package init(cached: CachedModel, source: String) {
        self.cached = cached
        self.source = source
        // Weak: the model outlives its place in the registry only as long as somebody reads.
        cached.onChange { [weak self] in self?.notify() }
    }

    // MARK: Holders

    /// Until ``release(_:)`` the model is in use.
    ///
    /// - Parameter lost: called for each chunk that is lost while anybody holds the model; the first holder's.
    package func hold(_ query: SourceQuery, lost: @escaping @Sendable () async -> Void) -> ModelHold {
        cached.retain()
        let number = Self.lastHolder.wrappingAdd(1, ordering: .relaxed).newValue
        return state.withLock { state in
            state.holders[number] = query
            if state.losses == nil {
                let chunks = cached.lostChunks()
                state.losses = Task { for await _ in chunks { await lost() } }
            }
            return ModelHold(model: self, number: number)
        }
    }

    /// Once for each ``hold(_:lost:)``.
    package func release(_ hold: ModelHold) {
        let losses: Task<Void, Never>? = state.withLock { state in
            precondition(state.holders.removeValue(forKey: hold.number) != nil, "released twice")
            guard state.holders.isEmpty else { return nil }
            defer { state.losses = nil }
            return state.losses
        }
        losses?.cancel()
        cached.release()
    }

    /// The settings of those who hold the model, the latest first.
    package var holders: [SourceQuery] {
        state.withLock { state in state.holders.sorted { $0.key > $1.key }.map(\.value) }
    }

    // MARK: Notices

    /// Calls `notify` now and at every change until ``unsubscribe(_:)``: on the thread that made the change, so it must
    /// be quick and not block.
    package func subscribe(_ subscriber: ObjectIdentifier, _ notify: @escaping @Sendable () -> Void) {
        state.withLock { $0.subscribers[subscriber] = notify }
        // Without this the subscriber would not learn of a change from before its subscription.
        notify()
    }

    package func unsubscribe(_ subscriber: ObjectIdentifier) {
        state.withLock { _ = $0.subscribers.removeValue(forKey: subscriber) }
    }

    private func notify() {
        for notify in Array(state.withLock({ $0.subscribers }).values) { notify() }
    }
}
