/// Decides what an occurrence becomes: a new Event, a higher count of an existing one, or nothing. It is client-go's
/// `EventCorrelator`, as a value without a clock.
///
/// - An equal occurrence within ``window`` raises the count of its Event.
/// - After ``similarLimit`` different messages of one reason about one object within ``window``, further ones share an
///   Event whose message begins with "(combined from similar events): ".
/// - About one object, ``burst`` occurrences pass at once and one more every ``refill``.
///
/// Each of its three tables has at most ``capacity`` entries; the oldest entry is dropped first.
public struct EventCorrelator: Sendable {
    public typealias Instant = ContinuousClock.Instant

    /// Something that happened to an object.
    public struct Occurrence: Sendable, Hashable {
        public var type: EventType
        public var reason: String
        public var message: String
        public var regarding: ObjectReference

        public init(type: EventType, reason: String, message: String, regarding: ObjectReference) {
            self.type = type
            self.reason = reason
            self.message = message
            self.regarding = regarding
        }
    }

    public enum Decision: Sendable, Equatable {
        /// Create a new Event. Report its name with ``created(_:as:)``.
        case create(key: Key, message: String)
        /// Raise the count of the Event of that name.
        case count(key: Key, name: String, count: Int32, message: String)
        /// Record nothing: too many occurrences about this object.
        case drop
    }

    /// The properties that two occurrences share if they share an Event.
    public struct Key: Sendable, Hashable {
        var type: EventType
        var reason: String
        var regarding: ObjectReference
        /// Nil: the Event of the combined ones.
        var message: String?
    }

    public static let window = Duration.seconds(600)
    public static let similarLimit = 10
    public static let burst = 25
    public static let refill = Duration.seconds(300)
    public static let capacity = 4096

    private struct Similar {
        var messages: Set<String>
        var last: Instant
    }

    private struct Written {
        var name: String?
        var count: Int32
        var last: Instant
    }

    private var similar = RecentlyUsed<Key, Similar>(capacity: Self.capacity)
    private var written = RecentlyUsed<Key, Written>(capacity: Self.capacity)
    private var buckets = RecentlyUsed<ObjectReference, TokenBucket>(capacity: Self.capacity)

    public init() {}

    public mutating func decide(_ occurrence: Occurrence, now: Instant) -> Decision {
        // Another version of the object is the same object.
        var regarding = occurrence.regarding
        regarding.resourceVersion = nil
        regarding.fieldPath = nil

        var bucket = buckets[regarding] ?? TokenBucket(perSecond: 1 / Self.refill.inSeconds, burst: Self.burst)
        let passes = bucket.take(now: now)
        buckets[regarding] = bucket

        let (key, message) = combine(occurrence, regarding: regarding, now: now)
        guard passes else { return .drop }
        if var known = written[key], known.last.duration(to: now) <= Self.window {
            known.count += 1
            known.last = now
            written[key] = known
            // Counted but not written yet: the creation in flight is repeated.
            guard let name = known.name else { return .create(key: key, message: message) }
            return .count(key: key, name: name, count: known.count, message: message)
        }
        written[key] = Written(name: nil, count: 1, last: now)
        return .create(key: key, message: message)
    }

    /// The Event of `key` was written as `name`; repetitions count on it from now on.
    public mutating func created(_ key: Key, as name: String) {
        guard var known = written[key] else { return }
        known.name = name
        known.count = 1
        written[key] = known
    }

    /// The Event of `key` does not exist (any more): the next occurrence creates a new one.
    public mutating func forget(_ key: Key) { written[key] = nil }

    private mutating func combine(_ occurrence: Occurrence, regarding: ObjectReference, now: Instant) -> (Key, String) {
        let group = Key(type: occurrence.type, reason: occurrence.reason, regarding: regarding, message: nil)
        var one = group
        one.message = occurrence.message
        var seen = similar[group] ?? Similar(messages: [], last: now)
        if seen.last.duration(to: now) > Self.window { seen.messages = [] }
        seen.last = now
        // A message that has an Event of its own keeps it.
        let isKnown = seen.messages.contains(occurrence.message)
        let isFull = seen.messages.count >= Self.similarLimit
        if !isKnown, !isFull { seen.messages.insert(occurrence.message) }
        similar[group] = seen
        return !isKnown && isFull
            ? (group, "(combined from similar events): \(occurrence.message)") : (one, occurrence.message)
    }
}

/// A dictionary of bounded size that drops the entries set longest ago.
struct RecentlyUsed<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private var values: [Key: (value: Value, used: UInt64)] = [:]
    private var uses: UInt64 = 0
    private let capacity: Int

    init(capacity: Int) { self.capacity = capacity }

    var count: Int { values.count }

    subscript(key: Key) -> Value? {
        get { values[key]?.value }
        set {
            guard let newValue else {
                values[key] = nil
                return
            }
            uses += 1
            values[key] = (newValue, uses)
            guard values.count > capacity else { return }
            // An eighth at a time: one sort for many keys is cheaper than a linked list through all entries.
            for (old, _) in values.sorted(by: { $0.value.used < $1.value.used }).prefix(max(1, capacity / 8)) {
                values[old] = nil
            }
        }
    }
}
