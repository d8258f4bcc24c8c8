internal import DequeModule

/// The state of a work queue, as a value: client-go's `workqueue` (Type and DelayingQueue).
///
/// Guarantees
/// - A key waits once, however often it is added.
/// - A key in work is never handed out a second time; if it was added meanwhile, it waits again after ``done(_:now:)``.
/// - Keys are handed out in the order in which they became ready, those of ``Priority/routine`` after all others.
///
/// It holds no clock and wakes no worker; ``WorkQueue`` does both.
public struct WorkQueueState<Key: Hashable & Sendable>: Sendable {
    public typealias Instant = ContinuousClock.Instant

    public enum Phase: Sendable, Equatable {
        case running
        /// Takes no new keys, hands out those that wait.
        case draining
        /// Takes no keys and hands out none.
        case stopped
    }

    /// The order of keys that wait.
    public enum Priority: Int, Sendable, Comparable {
        /// Something happened to the key.
        case prompt
        /// Only time passed, or little happened: the key may wait for prompt ones.
        case routine

        public static func < (left: Priority, right: Priority) -> Bool { left.rawValue < right.rawValue }
    }

    private struct Need {
        var since: Instant
        var priority: Priority
    }

    public private(set) var phase = Phase.running
    private var prompt = Deque<Key>()
    private var routine = Deque<Key>()
    /// Keys that need work: those in a line, and those in work that were added again. A line may also have keys that no
    /// longer need work or moved to the other line; ``take(now:)`` skips them.
    private var dirty: [Key: Need] = [:]
    private var processing: [Key: Instant] = [:]
    private var delayed = DelayHeap<Key, ContinuousClock.Instant>()
    private var delayedRoutine = DelayHeap<Key, ContinuousClock.Instant>()

    public init() {}

    /// Ready keys that no worker holds.
    public private(set) var depth = 0
    /// Keys whose time has not come.
    public var delayedCount: Int { delayed.count + delayedRoutine.count }
    public var inWork: Int { processing.count }
    /// When ``promote(now:)`` next has something to do.
    public var nextDue: Instant? {
        guard let first = delayed.nextDue, let second = delayedRoutine.nextDue else {
            return delayed.nextDue ?? delayedRoutine.nextDue
        }
        return min(first, second)
    }
    /// The queue will hand out no more keys.
    public var isEnded: Bool { phase == .stopped || (phase == .draining && depth == 0 && processing.isEmpty) }

    /// - Returns: whether the key was not waiting already, so that this counts as an add.
    @discardableResult
    public mutating func add(_ key: Key, priority: Priority = .prompt, now: Instant) -> Bool {
        guard phase == .running else { return false }
        if let known = dirty[key] {
            guard priority < known.priority else { return false }
            dirty[key]?.priority = priority
            if processing[key] == nil { enter(key, priority) }
            return false
        }
        dirty[key] = Need(since: now, priority: priority)
        if processing[key] == nil {
            enter(key, priority)
            depth += 1
        }
        return true
    }

    private mutating func enter(_ key: Key, _ priority: Priority) {
        switch priority {
        case .prompt: prompt.append(key)
        case .routine: routine.append(key)
        }
    }

    /// Adds `key` at `due`; of two times for one key the earlier one counts.
    ///
    /// - Returns: as ``add(_:now:)``; false when the key only waits for its time.
    @discardableResult
    public mutating func add(_ key: Key, priority: Priority = .prompt, due: Instant, now: Instant) -> Bool {
        guard phase == .running else { return false }
        guard due > now else { return add(key, priority: priority, now: now) }
        switch priority {
        case .prompt: delayed.insert(key, due: due)
        case .routine: delayedRoutine.insert(key, due: due)
        }
        return false
    }

    /// Makes the keys ready whose time has come.
    ///
    /// - Returns: how many of them count as adds.
    public mutating func promote(now: Instant) -> Int {
        guard phase == .running else { return 0 }
        return delayed.popDue(now).count { add($0, now: now) }
            + delayedRoutine.popDue(now).count { add($0, priority: .routine, now: now) }
    }

    /// Hands out the next key, and how long it waited.
    public mutating func take(now: Instant) -> (key: Key, waited: Duration)? {
        guard phase != .stopped else { return nil }
        while let (key, priority) = nextInLine() {
            guard let need = dirty[key], need.priority == priority, processing[key] == nil else { continue }
            dirty[key] = nil
            depth -= 1
            processing[key] = now
            return (key, need.since.duration(to: now))
        }
        return nil
    }

    private mutating func nextInLine() -> (Key, Priority)? {
        if let key = prompt.popFirst() { return (key, .prompt) }
        return routine.popFirst().map { ($0, .routine) }
    }

    /// The work on `key` is finished. If the key was added meanwhile, it is ready again.
    ///
    /// - Returns: how long it was in work.
    @discardableResult
    public mutating func done(_ key: Key, now: Instant) -> Duration {
        let started = processing.removeValue(forKey: key) ?? now
        if let need = dirty[key], phase != .stopped {
            enter(key, need.priority)
            depth += 1
        }
        return started.duration(to: now)
    }

    /// Takes no new keys. Drops delayed keys, and ready keys too unless `drain`.
    public mutating func shutDown(drain: Bool) {
        delayed.removeAll()
        delayedRoutine.removeAll()
        guard !drain else {
            if phase == .running { phase = .draining }
            return
        }
        phase = .stopped
        prompt = Deque()
        routine = Deque()
        depth = 0
        dirty = [:]
    }

    /// Seconds of unfinished work: of all keys together, and of the one longest in work.
    public func unfinished(now: Instant) -> (total: Duration, longest: Duration) {
        processing.values.reduce(into: (.zero, .zero)) { sums, started in
            let age = started.duration(to: now)
            sums = (sums.0 + age, max(sums.1, age))
        }
    }
}
