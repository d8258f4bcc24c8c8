internal import LinuxShim
internal import Synchronization

/// The stated in-flight memory budget: staging buffers of 2 MiB, one per open ``BlockWriter``, shared by all models.
///
/// A fill joins, says what it wants, and is granted buffers in the order of a ``StagingQueue``. Buffers are handed out
/// last in, first out: the one handed out is likely still in the processor's cache. Memory is taken on first use and
/// kept. Any thread may call anything.
public final class StagingPool: Sendable {
    static let bufferBytes = Int(Manifest.hugePageBytes)

    /// Told to a fill, on any thread, with no lock held.
    public enum Event: Sendable {
        /// A transfer may begin. Dropped, the grant goes back.
        case granted(StagingGrant)
        /// ``StagingShare/prefetchLimit`` has changed.
        case holdChanged
    }

    struct Buffer: @unchecked Sendable {
        // Safe: exactly one owner at a time, the pool or a grant.
        let base: UnsafeMutableRawPointer
    }

    private struct State {
        var queue: StagingQueue
        var free: [Buffer] = []
        var made = 0
        var listeners: [Int: @Sendable (Event) -> Void] = [:]
        /// By fill.
        var limits: [Int: Int] = [:]
    }

    private struct Delivery {
        let listener: @Sendable (Event) -> Void
        let event: Event
    }

    private let limit: Int
    private let state: Mutex<State>

    /// Rounded down to whole buffers; at least one.
    public init(limitBytes: Int) {
        limit = max(1, limitBytes / StagingPool.bufferBytes)
        state = Mutex(State(queue: StagingQueue(limit: limit)))
    }

    deinit {
        state.withLock { state in
            for buffer in state.free { mc_unmap(buffer.base, StagingPool.bufferBytes) }
        }
    }

    public var limitBytes: Int { limit * StagingPool.bufferBytes }
    /// Held by writers and grants now.
    public var usedBytes: Int { state.withLock { $0.queue.used * StagingPool.bufferBytes } }

    /// A fill's place in the queue. `events` may be called before this returns, and until ``StagingShare/leave()``
    /// returns.
    public func join(_ events: @escaping @Sendable (Event) -> Void) -> StagingShare {
        let fill = state.withLock { state in
            let fill = state.queue.joined()
            state.listeners[fill] = events
            return fill
        }
        return StagingShare(pool: self, fill: fill)
    }

    func update(_ fill: Int, _ wants: StagingQueue.Wants, now: ContinuousClock.Instant) {
        change { state in
            guard state.listeners[fill] != nil else { return }
            state.queue.wants(fill, wants)
            state.queue.look(now: now)
        }
    }

    func leave(_ fill: Int) {
        change { state in
            state.listeners[fill] = nil
            state.queue.left(fill)
            state.queue.look(now: .now)
        }
    }

    func prefetchLimit(of fill: Int) -> Int? { state.withLock { $0.queue.prefetchLimit(of: fill) } }

    fileprivate func give(back buffer: Buffer, of fill: Int) {
        change { state in
            precondition(state.free.count < state.made, "a buffer comes back once: two writers would share it")
            state.free.append(buffer)
            state.queue.returned(by: fill)
        }
    }

    private func change(_ body: (inout State) -> Void) {
        let deliveries = state.withLock { state in
            body(&state)
            return grants(&state) + holds(&state)
        }
        for delivery in deliveries { delivery.listener(delivery.event) }
    }

    private func grants(_ state: inout State) -> [Delivery] {
        var deliveries: [Delivery] = []
        while let grant = state.queue.nextGrant() {
            guard let listener = state.listeners[grant.fill] else {
                preconditionFailure("a fill that left was granted memory")
            }
            guard let buffer = buffer(&state) else {
                state.queue.returned(by: grant.fill)
                state.queue.couldNotMake()
                break
            }
            let granted = StagingGrant(pool: self, fill: grant.fill, isForDemand: grant.lane == .demand, buffer: buffer)
            deliveries.append(Delivery(listener: listener, event: .granted(granted)))
        }
        return deliveries
    }

    private func holds(_ state: inout State) -> [Delivery] {
        let queue = state.queue
        var limits: [Int: Int] = [:]
        for fill in queue.fills { limits[fill] = queue.prefetchLimit(of: fill) }
        let changed = Set(limits.keys).union(state.limits.keys).filter { limits[$0] != state.limits[$0] }
        state.limits = limits
        return changed.compactMap { state.listeners[$0] }.map { Delivery(listener: $0, event: .holdChanged) }
    }

    private func buffer(_ state: inout State) -> Buffer? {
        if let buffer = state.free.popLast() { return buffer }
        guard let base = mc_map_huge_anonymous(StagingPool.bufferBytes) else { return nil }
        state.made += 1
        return Buffer(base: base)
    }
}

/// One fill's place in the queue for staging memory. Any thread may call anything.
public struct StagingShare: Sendable {
    let pool: StagingPool
    let fill: Int

    /// Says what the fill wants now, in place of what it said before. Grants may come before this returns.
    ///
    /// To be called at least ten times a second while the fill has transfers to begin or under way.
    ///
    /// - Parameters:
    ///   - demands: transfers that it would begin for readers.
    ///   - prefetches: transfers that it would begin for nobody yet.
    ///   - demandsUnderWay: transfers under way that a reader waits for.
    public func update(demands: Int, prefetches: Int, demandsUnderWay: Int, now: ContinuousClock.Instant = .now) {
        let wants = StagingQueue.Wants(demands: demands, prefetches: prefetches, demandsUnderWay: demandsUnderWay)
        pool.update(fill, wants, now: now)
    }

    /// So many prefetches of the fill may receive now, since a reader of another model waits; nil: all.
    public var prefetchLimit: Int? { pool.prefetchLimit(of: fill) }

    /// The fill wants nothing any more. Its granted buffers go back as its writers end.
    public func leave() { pool.leave(fill) }
}

/// The right to one transfer, with its staging buffer of 2 MiB. It goes back when the last reference goes.
public final class StagingGrant: Sendable {
    /// Whether a reader's demand was granted.
    public let isForDemand: Bool
    private let pool: StagingPool
    private let fill: Int
    private let buffer: StagingPool.Buffer

    fileprivate init(pool: StagingPool, fill: Int, isForDemand: Bool, buffer: StagingPool.Buffer) {
        self.pool = pool
        self.fill = fill
        self.isForDemand = isForDemand
        self.buffer = buffer
    }

    deinit { pool.give(back: buffer, of: fill) }

    var base: UnsafeMutableRawPointer { buffer.base }
}
