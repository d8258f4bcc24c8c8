/// The bookkeeping of a work queue, as a value: client-go's `workqueue` (Type and DelayingQueue).
///
/// Guarantees
/// - A key that waits is there once, however often it is added.
/// - A key in work is never handed out a second time; added meanwhile, it waits again once ``done(_:now:)``.
/// - Keys are handed out in the order in which they became ready.
///
/// Holds no clock and wakes nobody: ``WorkQueue`` does that.
public struct WorkQueueState<Key: Hashable & Sendable>: Sendable {
    public typealias Instant = ContinuousClock.Instant

    public enum Phase: Sendable, Equatable {
        case running
        /// Takes nothing new, hands out what waits.
        case draining
        /// Takes nothing and hands out nothing.
        case stopped
    }

    public private(set) var phase = Phase.running
    private var ready: [Key] = []
    /// Where in `ready` the first key is; the part before it is cut away now and then.
    private var head = 0
    /// Keys that need work, and since when: those in `ready` and those in work that were added again.
    private var dirty: [Key: Instant] = [:]
    private var processing: [Key: Instant] = [:]
    private var delayed = DelayHeap<Key>()

    public init() {}

    /// Keys that are ready and in nobody's hands.
    public var depth: Int { ready.count - head }
    /// Keys that wait for their time.
    public var delayedCount: Int { delayed.count }
    public var inWork: Int { processing.count }
    /// When ``promote(now:)`` has something to do next.
    public var nextDue: Instant? { delayed.nextDue }
    /// Nothing more will be handed out.
    public var isEnded: Bool { phase == .stopped || (phase == .draining && depth == 0 && processing.isEmpty) }

    /// - Returns: whether the key was not waiting already, which is what counts as an add.
    @discardableResult
    public mutating func add(_ key: Key, now: Instant) -> Bool {
        guard phase == .running, dirty[key] == nil else { return false }
        dirty[key] = now
        if processing[key] == nil { ready.append(key) }
        return true
    }

    /// Adds `key` at `due`; when it waits for a time already, the earlier of both counts.
    ///
    /// - Returns: as ``add(_:now:)``; false when it is only noted for later.
    @discardableResult
    public mutating func add(_ key: Key, due: Instant, now: Instant) -> Bool {
        guard phase == .running else { return false }
        guard due > now else { return add(key, now: now) }
        delayed.insert(key, due: due)
        return false
    }

    /// Makes the keys ready whose time has come.
    ///
    /// - Returns: how many of them count as adds.
    public mutating func promote(now: Instant) -> Int {
        guard phase == .running else { return 0 }
        return delayed.popDue(now).count { add($0, now: now) }
    }

    /// Hands out the next key, with the time it waited.
    public mutating func take(now: Instant) -> (key: Key, waited: Duration)? {
        guard phase != .stopped, depth > 0 else { return nil }
        let key = ready[head]
        head += 1
        if head == ready.count {
            ready.removeAll(keepingCapacity: ready.capacity <= 1024)
            head = 0
        } else if head > 1024, head * 2 > ready.count {
            ready.removeFirst(head)
            head = 0
        }
        let since = dirty.removeValue(forKey: key) ?? now
        processing[key] = now
        return (key, since.duration(to: now))
    }

    /// `key`, handed out before, is finished. If it was added meanwhile it is ready again.
    ///
    /// - Returns: how long it was in work.
    @discardableResult
    public mutating func done(_ key: Key, now: Instant) -> Duration {
        let started = processing.removeValue(forKey: key) ?? now
        if dirty[key] != nil, phase != .stopped { ready.append(key) }
        return started.duration(to: now)
    }

    /// Takes nothing new. What waits for its time is dropped; what is ready is worked off when `drain`, else dropped too.
    public mutating func shutDown(drain: Bool) {
        delayed.removeAll()
        guard !drain else {
            if phase == .running { phase = .draining }
            return
        }
        phase = .stopped
        ready = []
        head = 0
        dirty = [:]
    }

    /// Seconds of work not yet finished: of all keys together, and of the one longest in work.
    public func unfinished(now: Instant) -> (total: Duration, longest: Duration) {
        processing.values.reduce(into: (.zero, .zero)) { sums, started in
            let age = started.duration(to: now)
            sums = (sums.0 + age, max(sums.1, age))
        }
    }
}
